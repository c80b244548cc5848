"""HTML: an experiment's page, its name and note, and a score typed by hand. The form of a new one: form_pages."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.db import clock
from app.errors import AppError, Refused
from app.experiments import queries, service
from app.experiments.models import Experiment, Score
from app.leaderboard.queries import Row, ranked
from app.runs import queries as run_queries
from app.runs import service as run_service
from app.runs import waiting
from app.runs.curve_pages import ChartGroup, chart_groups
from app.runs.models import Artifact, Attempt, Run, RunEvent
from app.runs.waiting import Line, Waiting
from app.runs.worker_service import silent_for
from app.security import CHARTS_CSP, member
from app.submissions import service as submissions
from app.web import SessionDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(dependencies=[Depends(member)])
SHOWN_EVENTS = 40
CHARTS = {"Content-Security-Policy": CHARTS_CSP}


@dataclass(frozen=True)
class RunView:
    """A run with what its part of the page shows. `hidden_events` says how many older events are not shown,
    `thinned_events` how many are gone; `waiting` why it has not started, `silent` for how many seconds its worker was
    not heard of."""

    run: Run
    attempts: Sequence[Attempt]
    artifacts: Sequence[Artifact]
    events: Sequence[RunEvent]
    hidden_events: int
    thinned_events: int
    shared_with: list[int]
    waiting: Waiting | None
    silent: float | None


@dataclass(frozen=True)
class StatusView:
    """experiments/_status.html: what moves while the experiment works. `retries`: there is something to try again."""

    experiment: Experiment
    row: Row
    runs: list[RunView]
    retries: bool


@dataclass(frozen=True)
class ExperimentPage:
    """experiments/page.html."""

    contest: Contest
    metric: Metric
    experiment: Experiment
    row: Row
    runs: list[RunView]
    retries: bool
    scores: Sequence[Score]
    files: list[ContestFile]
    config: dict[str, Any] | None
    same_as: list[int]
    parent: Experiment | None
    changes: dict[str, tuple[Any, Any]]
    charts: list[ChartGroup]
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


@router.get("/experiments/{experiment_id}")
def show(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """Scores, runs and config of one experiment."""
    return page(request, "experiments/page.html", _page(session, experiment_id), headers=CHARTS)


@router.get("/experiments/{experiment_id}/status")
def status(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """The part of the page that moves, for live.js."""
    return page(request, "experiments/_status.html", _status(session, queries.experiment(session, experiment_id)))


def _status(session: Session, experiment: Experiment) -> StatusView:
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    runs = run_queries.runs_of(session, experiment.id)
    line = waiting.line(session) if any(run.status == "queued" for run in runs) else None
    return StatusView(
        experiment=experiment,
        row=ranked(session, contest, ids=[experiment.id]).rows[0],
        runs=[_run_view(session, run, experiment.id, line) for run in runs],
        retries=any(run.status in {"failed", "cancelled"} for run in runs),
    )


def _run_view(session: Session, run: Run, experiment_id: int, line: Line | None) -> RunView:
    attempts = run_queries.attempts_of(session, run.id)
    ids = [attempt.id for attempt in attempts]
    events = run_queries.events_of(session, ids, limit=SHOWN_EVENTS)
    kept = run_queries.event_count(session, ids)
    return RunView(
        run=run,
        attempts=attempts,
        artifacts=run_queries.artifacts_of(session, run),
        events=list(reversed(events)),
        hidden_events=kept - len(events),
        thinned_events=sum(attempt.stored_events for attempt in attempts) - kept,
        shared_with=[item for item in run_queries.experiment_ids_of(session, run.id) if item != experiment_id],
        waiting=line.of(run.id) if line is not None else None,
        silent=silent_for(attempts[-1] if attempts else None, clock(session)),
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
        retries=view.retries,
        scores=queries.scores_of(session, [experiment.id]),
        files=[
            contest_queries.file_by_id(session, file_id)
            for file_id in (experiment.train_file_id, experiment.test_file_id, experiment.unlabelled_file_id)
            if file_id is not None
        ],
        config=experiment.config,
        same_as=[item for item in same if item != experiment.id],
        parent=queries.experiment(session, experiment.parent_id) if experiment.parent_id else None,
        changes=queries.changes_from_parent(session, experiment),
        charts=chart_groups([item.run for item in view.runs]),
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


@router.post("/experiments/{experiment_id}/retry")
def retry(experiment_id: int, session: SessionDep) -> Response:
    """Try again what failed or was cancelled."""
    run_service.retry_experiment(session, queries.experiment(session, experiment_id))
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
            headers=CHARTS,
        )
    return RedirectResponse(f"/experiments/{experiment_id}", 303)
