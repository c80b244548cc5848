"""HTML: the form of a new experiment, and an experiment's page."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app import forms
from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.db import clock
from app.errors import AppError, FieldError, Refused
from app.experiments import queries, service
from app.experiments.models import Experiment, Score
from app.leaderboard.queries import Row, ranked
from app.runs import queries as run_queries
from app.runs import service as run_service
from app.runs.models import Artifact, Attempt, Run, RunEvent
from app.security import member
from app.submissions import service as submissions
from app.web import SessionDep, page
from ml.contract.experiment import upgrade
from ml.contract.presets import PRESETS, preset
from ml.contract.scores import METRICS, Metric

router = APIRouter(dependencies=[Depends(member)])
SHOWN_EVENTS = 40


@dataclass(frozen=True)
class FormPage:
    """experiments/form.html."""

    contest: Contest
    presets: dict[str, str]
    preset: str
    parent: Experiment | None
    groups: list[forms.FormGroup]
    name: str
    note: str
    train_files: Sequence[ContestFile]
    test_files: Sequence[ContestFile]
    train_file_id: int | None
    test_file_id: int | None
    errors: dict[str, str]


@dataclass(frozen=True)
class RunView:
    """A run with what its part of the page shows. `hidden_events` says how many older events are not shown."""

    run: Run
    attempts: Sequence[Attempt]
    artifacts: Sequence[Artifact]
    events: Sequence[RunEvent]
    hidden_events: int
    shared_with: list[int]


@dataclass(frozen=True)
class StatusView:
    """experiments/_status.html: what moves while the experiment works. `workers` is how many reported lately."""

    experiment: Experiment
    row: Row
    runs: list[RunView]
    workers: int


@dataclass(frozen=True)
class ExperimentPage:
    """experiments/page.html."""

    contest: Contest
    metric: Metric
    experiment: Experiment
    row: Row
    runs: list[RunView]
    workers: int
    scores: Sequence[Score]
    files: list[ContestFile]
    config: dict[str, Any] | None
    same_as: list[int]
    parent: Experiment | None
    score_key: str
    score_error: str
    score_typed: str


@dataclass(frozen=True)
class EditPage:
    """experiments/edit.html."""

    experiment: Experiment
    name: str
    note: str
    error: str


@router.get("/experiments/new")
def new(
    request: Request,
    session: SessionDep,
    contest: str,
    preset_name: Annotated[str, Query(alias="preset")] = "demo",
    clone: int | None = None,
) -> Response:
    """The form, filled from a preset or from the experiment to be cloned."""
    found = contest_queries.contest(session, contest)
    parent = queries.experiment(session, clone) if clone is not None else None
    if parent is not None and parent.config is None:
        raise Refused(f"experiment {parent.id} was trained elsewhere: it has no config to clone")
    config = upgrade(parent.config) if parent and parent.config else _preset(preset_name)
    context = _form(
        session,
        found,
        parent,
        preset_name="" if parent else preset_name,
        typed=config.model_dump(),
        values={
            "name": f"{parent.name} (variant)" if parent else "",
            "train_file_id": str(parent.train_file_id) if parent else "",
            "test_file_id": str(parent.test_file_id or "") if parent else "",
        },
    )
    return page(request, "experiments/form.html", context)


def _preset(name: str) -> Any:
    try:
        return preset(name)
    except ValueError as error:
        raise Refused(str(error)) from error


def _form(
    session: Session,
    contest: Contest,
    parent: Experiment | None,
    *,
    preset_name: str,
    typed: dict[str, Any],
    values: Mapping[str, str],
    errors: Sequence[FieldError] = (),
) -> FormPage:
    messages = {item.field: item.message for item in errors}
    return FormPage(
        contest=contest,
        presets={name: (make.__doc__ or "").strip() for name, make in PRESETS.items()},
        preset=preset_name,
        parent=parent,
        groups=forms.groups(typed, messages),
        name=values.get("name", ""),
        note=values.get("note", ""),
        train_files=contest_queries.files(session, contest.id, "train"),
        test_files=contest_queries.files(session, contest.id, "test"),
        train_file_id=_number(values.get("train_file_id")),
        test_file_id=_number(values.get("test_file_id")),
        errors=messages,
    )


async def _posted(request: Request) -> dict[str, str]:
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


@router.post("/experiments")
def create(request: Request, session: SessionDep, posted: Annotated[dict[str, str], Depends(_posted)]) -> Response:
    """Queue the experiment, or show the same form with the errors beside their fields and what was typed kept."""
    contest = contest_queries.contest(session, posted.get("contest", ""))
    parent_id = _number(posted.get("parent_id"))
    config, typed, errors = forms.parse(posted)
    problems, status = list(errors), 422
    try:
        name = service.checked_name(posted.get("name", ""))
        if config is not None:
            experiment = service.create(
                session,
                contest,
                name=name,
                note=posted.get("note", ""),
                config=config,
                train_file_id=_number(posted.get("train_file_id")),
                test_file_id=_number(posted.get("test_file_id")),
                parent_id=parent_id,
            )
            run_service.enqueue(session, experiment)
            return RedirectResponse(f"/experiments/{experiment.id}", 303)
    except AppError as error:
        problems += error.fields or [FieldError("form", error.message)]
        status = error.status
    parent = queries.experiment(session, parent_id) if parent_id is not None else None
    context = _form(
        session, contest, parent, preset_name=posted.get("preset", ""), typed=typed, values=posted, errors=problems
    )
    return page(request, "experiments/form.html", context, status)


def _number(text: str | None) -> int | None:
    """An id from a form; empty is none. Raises Refused for what no select of ours sends."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(f"{text[:30]!r} is not an id")
    return int(text)


@router.get("/experiments/{experiment_id}")
def show(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """Scores, runs and config of one experiment."""
    return page(request, "experiments/page.html", _page(session, experiment_id))


@router.get("/experiments/{experiment_id}/status")
def status(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """The part of the page that moves, for live.js."""
    return page(request, "experiments/_status.html", _status(session, queries.experiment(session, experiment_id)))


def _status(session: Session, experiment: Experiment) -> StatusView:
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    return StatusView(
        experiment=experiment,
        row=ranked(session, contest, ids=[experiment.id]).rows[0],
        runs=[_run_view(session, run, experiment.id) for run in run_queries.runs_of(session, experiment.id)],
        workers=len(run_queries.workers_seen(session, clock(session) - run_service.WORKER_AWAY)),
    )


def _run_view(session: Session, run: Run, experiment_id: int) -> RunView:
    attempts = run_queries.attempts_of(session, run.id)
    ids = [attempt.id for attempt in attempts]
    events = run_queries.events_of(session, ids, limit=SHOWN_EVENTS)
    return RunView(
        run=run,
        attempts=attempts,
        artifacts=run_queries.artifacts_of(session, run),
        events=list(reversed(events)),
        hidden_events=run_queries.event_count(session, ids) - len(events),
        shared_with=[item for item in run_queries.experiment_ids_of(session, run.id) if item != experiment_id],
    )


def _page(session: Session, experiment_id: int, *, error: str = "", typed: str = "") -> ExperimentPage:
    experiment = queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    view = _status(session, experiment)
    same = queries.same_fingerprint(session, contest.id, experiment.fingerprint) if experiment.fingerprint else []
    return ExperimentPage(
        contest=contest,
        metric=METRICS[contest.metric],
        experiment=experiment,
        row=view.row,
        runs=view.runs,
        workers=view.workers,
        scores=queries.scores_of(session, [experiment.id]),
        files=[
            contest_queries.file_by_id(session, file_id)
            for file_id in (experiment.train_file_id, experiment.test_file_id)
            if file_id is not None
        ],
        config=experiment.config,
        same_as=[item for item in same if item != experiment.id],
        parent=queries.experiment(session, experiment.parent_id) if experiment.parent_id else None,
        score_key=str(uuid.uuid4()),
        score_error=error,
        score_typed=typed,
    )


@router.get("/experiments/{experiment_id}/edit")
def edit_form(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """Name and note."""
    experiment = queries.experiment(session, experiment_id)
    return page(request, "experiments/edit.html", EditPage(experiment, experiment.name, experiment.note, ""))


@router.post("/experiments/{experiment_id}/edit")
def edit(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    name: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    """Keep a new name and note."""
    experiment = queries.experiment(session, experiment_id)
    try:
        service.edit(session, experiment, name=name, note=note)
    except Refused as error:
        return page(request, "experiments/edit.html", EditPage(experiment, name, note, error.message), 422)
    return RedirectResponse(f"/experiments/{experiment_id}", 303)


@router.post("/experiments/{experiment_id}/cancel")
def cancel(experiment_id: int, session: SessionDep) -> Response:
    """Cancel what has not ended."""
    run_service.cancel_experiment(session, queries.experiment(session, experiment_id))
    return RedirectResponse(f"/experiments/{experiment_id}", 303)


@router.post("/experiments/{experiment_id}/online-scores")
def post_score(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    value: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    key: Annotated[str | None, Form()] = None,
) -> Response:
    """Append an online score typed by a person; sent twice by a double click it is kept once."""
    experiment = queries.experiment(session, experiment_id)
    try:
        score = submissions.OnlineScore(submissions.number(value), note.strip(), text=value.strip(), source="form")
        submissions.post_online_score(session, experiment, score, key=key)
    except AppError as error:
        return page(
            request,
            "experiments/page.html",
            _page(session, experiment_id, error=error.message, typed=value),
            error.status,
        )
    return RedirectResponse(f"/experiments/{experiment_id}", 303)
