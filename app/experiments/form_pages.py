"""HTML: the form of a new experiment, empty, cloned, or with its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app import forms
from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.db import clock
from app.errors import AppError, FieldError, Refused
from app.experiments import queries, service, sweep, weights
from app.experiments.models import Experiment
from app.leaderboard.compare_api import numbers
from app.runs import fusing
from app.runs import queries as run_queries
from app.runs import service as run_service
from app.runs.placement import PRIORITIES, Placement, placement_of, placement_of_run
from app.runs.preview import Preview, preview
from app.runs.worker_service import WORKER_AWAY
from app.security import Actor, member
from app.settings import Settings
from app.web import SessionDep, SettingsDep, page
from ml.contract.encoder_config import SIZES
from ml.contract.experiment import ExperimentConfig, upgrade
from ml.contract.presets import PRESETS, preset, size_of

#: how the names of the fields begin that say when and where to run
PLACEMENT = "placement."
router = APIRouter(dependencies=[Depends(member)])


@dataclass(frozen=True)
class FormPage:
    """experiments/form.html."""

    contest: Contest
    presets: dict[str, str]
    preset: str
    sizes: tuple[str, ...]
    size: str
    parent: Experiment | None
    groups: list[forms.FormGroup]
    name: str
    note: str
    train_files: Sequence[ContestFile]
    test_files: Sequence[ContestFile]
    unlabelled_files: Sequence[ContestFile]
    train_file_id: int | None
    test_file_id: int | None
    unlabelled_file_id: int | None
    placement: Mapping[str, str]
    queues: Sequence[str]
    priorities: Mapping[str, int]
    errors: dict[str, str]
    sweep: Mapping[str, str]


@dataclass(frozen=True)
class PreviewPage:
    """experiments/_preview.html: one of the two. Of a sweep's `rows` the first is previewed."""

    preview: Preview | None
    problems: list[FieldError]
    rows: int


@router.get("/experiments/new")
def new(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    contest: str,
    preset_name: Annotated[str, Query(alias="preset")] = "demo",
    size: str = "",
    clone: int | None = None,
    fuse: Annotated[str, Query(pattern=r"^(\d{1,18}(,\d{1,18})*)?$")] = "",
) -> Response:
    """The form, filled from a preset, from the experiment to be cloned, or with the experiments to be fused."""
    found = contest_queries.contest(session, contest)
    if fuse:
        return page(request, "experiments/form.html", _fusion(session, found, numbers(fuse), settings.queue))
    parent = queries.experiment(session, clone) if clone is not None else None
    if parent is not None and parent.config is None:
        raise Refused(f"experiment {parent.id} was trained elsewhere: it has no config to clone")
    config = upgrade(parent.config) if parent and parent.config else _preset(preset_name, size)
    context = _form(
        session,
        found,
        parent,
        preset_name="" if parent else preset_name,
        size=size,
        typed=config.model_dump(),
        values={
            "name": f"{parent.name} (variant)" if parent else "",
            "train_file_id": str(parent.train_file_id) if parent else "",
            "test_file_id": str(parent.test_file_id or "") if parent else "",
            "unlabelled_file_id": str(parent.unlabelled_file_id or "") if parent else "",
            **{f"{PLACEMENT}{name}": value for name, value in _placement_of(session, parent, settings.queue).items()},
        },
    )
    return page(request, "experiments/form.html", context)


def _fusion(session: Session, contest: Contest, members: list[int], queue: str) -> FormPage:
    asked = fusing.fused(session, contest, members)
    placement = _placement_of(session, None, queue).items()
    values = {"name": asked.name, "train_file_id": str(asked.train_file_id)}
    values |= {"test_file_id": str(asked.test_file_id or "")}
    values |= {f"{PLACEMENT}{name}": value for name, value in placement}
    return _form(session, contest, None, preset_name="", typed=asked.config, values=values)


def _preset(name: str, size: str) -> Any:
    try:
        return preset(name, size)
    except ValueError as error:
        raise Refused(str(error)) from error


def _form(
    session: Session,
    contest: Contest,
    parent: Experiment | None,
    *,
    preset_name: str,
    size: str = "",
    typed: dict[str, Any],
    values: Mapping[str, str],
    errors: Sequence[FieldError] = (),
) -> FormPage:
    messages = {item.field: item.message for item in errors}
    return FormPage(
        contest=contest,
        presets=PRESETS,
        preset=preset_name,
        sizes=tuple(SIZES),
        size=size or (size_of(preset_name) if preset_name in PRESETS else ""),
        parent=parent,
        groups=forms.groups(typed, messages),
        name=values.get("name", ""),
        note=values.get("note", ""),
        train_files=contest_queries.files(session, contest.id, "train"),
        test_files=contest_queries.files(session, contest.id, "test"),
        unlabelled_files=contest_queries.files(session, contest.id, "unlabelled"),
        train_file_id=_number(values.get("train_file_id")),
        test_file_id=_number(values.get("test_file_id")),
        unlabelled_file_id=_number(values.get("unlabelled_file_id")),
        placement={name.removeprefix(PLACEMENT): text for name, text in values.items() if name.startswith(PLACEMENT)},
        queues=_queues(session, values.get(f"{PLACEMENT}queue", "")),
        priorities=PRIORITIES,
        errors=messages,
        sweep={name: values.get(name, "") for name in ("sweep", "sweep_mode", "sweep_rows")},
    )


def _placement_of(session: Session, parent: Experiment | None, queue: str) -> dict[str, str]:
    """What the form shows of when and where to run: as the parent was asked to, or as usual."""
    runs = run_queries.runs_of(session, parent.id) if parent else []
    asked = placement_of_run(runs[-1]) if runs else Placement().on(queue)
    plain = asked.model_dump()
    title = next((title for title, value in PRIORITIES.items() if value == asked.priority), str(asked.priority))
    return {
        name: "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in {**plain, "priority": title}.items()
    }


def _queues(session: Session, chosen: str) -> list[str]:
    """The queues that workers listen on now, and the chosen one."""
    seen = run_queries.workers_seen(session, clock(session) - WORKER_AWAY)
    return sorted({chosen, *(name for worker in seen for name in worker.queues)} - {""})


def _asked(posted: Mapping[str, str], queue: str) -> Placement:
    """The placement that was typed; an empty field is as usual. Raises Refused."""
    typed: dict[str, Any] = {
        name.removeprefix(PLACEMENT): text.strip()
        for name, text in posted.items()
        if name.startswith(PLACEMENT) and text.strip()
    }
    if typed.get("priority") in PRIORITIES:
        typed["priority"] = PRIORITIES[typed["priority"]]
    return placement_of(typed, queue)


async def _posted(request: Request) -> dict[str, str]:
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


@router.post("/experiments/preview")
def show_preview(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    posted: Annotated[dict[str, str], Depends(_posted)],
) -> Response:
    """What queueing the form as it stands would do, or what is wrong with it; for preview.js."""
    contest = contest_queries.contest(session, posted.get("contest", ""))
    config, _, errors = forms.parse({name: text for name, text in posted.items() if not name.startswith(PLACEMENT)})
    found, problems, rows = None, list(errors), 1
    if config is not None:
        try:
            asked = _variants("a preview", config, posted, settings)  # the form's own name may be empty yet
            _asked(posted, settings.queue)
            found, rows = preview(session, contest, **_row(posted, *asked[0])), len(asked)
        except AppError as error:
            problems += error.fields or [FieldError("form", error.message)]
    return page(request, "experiments/_preview.html", PreviewPage(found, problems, rows))


@router.post("/experiments")
def create(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    who: Annotated[Actor, Depends(member)],
    posted: Annotated[dict[str, str], Depends(_posted)],
) -> Response:
    """Queue the experiment, or show the same form with the errors beside their fields and what was typed kept."""
    contest = contest_queries.contest(session, posted.get("contest", ""))
    parent_id = _number(posted.get("parent_id"))
    config, typed, errors = forms.parse({name: text for name, text in posted.items() if not name.startswith(PLACEMENT)})
    problems, status = list(errors), 422
    try:
        name = service.checked_name(posted.get("name", ""))
        placement = _asked(posted, settings.queue)
        if config is not None:
            asked = _variants(name, config, posted, settings)
            with session.begin_nested():  # of many rows all or none
                rows: list[service.Asked] = [{**_row(posted, *item), "made_by": who.name} for item in asked]
                made = [run_service.queue_new(session, contest, placement, **row) for row in rows]
            if len(made) == 1:
                return RedirectResponse(f"/experiments/{made[0].id}", 303)
            request.session["told"] = f"{len(made)} experiments are queued; these are they."
            numbers = ",".join(str(experiment.id) for experiment in made)
            return RedirectResponse(f"/contests/{contest.slug}?search=id:{numbers}", 303)
    except AppError as error:
        problems += error.fields or [FieldError("form", error.message)]
        status = error.status
    parent = queries.experiment(session, parent_id) if parent_id is not None else None
    context = _form(
        session, contest, parent, preset_name=posted.get("preset", ""), typed=typed, values=posted, errors=problems
    )
    return page(request, "experiments/form.html", context, status)


def _row(posted: Mapping[str, str], name: str, config: ExperimentConfig) -> service.Asked:
    return {
        "name": name,
        "config": config,
        "note": posted.get("note", ""),
        "train_file_id": _number(posted.get("train_file_id")),
        "test_file_id": _number(posted.get("test_file_id")),
        "unlabelled_file_id": _number(posted.get("unlabelled_file_id")),
        "parent_id": _number(posted.get("parent_id")),
    }


def _variants(
    name: str, config: ExperimentConfig, posted: Mapping[str, str], settings: Settings
) -> list[tuple[str, ExperimentConfig]]:
    """The rows that the form asks for, by name: one, or those of its sweep. Raises Refused."""
    found = [(name, config)]
    if values := sweep.parse(posted.get("sweep", "")):
        mode: sweep.Mode = "random" if posted.get("sweep_mode") == "random" else "grid"
        found = sweep.configs(name, config, values, mode, _number(posted.get("sweep_rows", "").strip()))
    for _, variant in found:
        weights.require(variant, settings)
    return found


def _number(text: str | None) -> int | None:
    """An id from a form; empty is none. Raises Refused for what no select of ours sends."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refused(f"{text[:30]!r} is not an id")
    return int(text)
