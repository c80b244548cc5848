"""HTML: the form of a new experiment, empty, cloned, or with its errors; as fields or as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile

from app import forms
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, FieldError, Refused
from app.experiments import config_json, queries, service, sweep, weights
from app.experiments.filled_pages import (
    PLACEMENT,
    FormPage,
    PreviewPage,
    base_of,
    cloned,
    component_safe,
    form_page,
    number,
    placement_words,
    problems_of,
    unread_of,
)
from app.experiments.models import Experiment
from app.language import gettext as _
from app.leaderboard.compare_api import numbers
from app.runs import fusing
from app.runs import service as run_service
from app.runs.placement import PRIORITIES, Placement, placement_of
from app.runs.preview import preview
from app.security import Actor, member
from app.settings import Settings
from app.web import SessionDep, SettingsDep, page
from ml.contract.experiment import ExperimentConfig, upgrade
from ml.contract.presets import preset

TEMPLATE = "experiments/form.html"
router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])


@router.get("/experiments/new")
def new(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    contest: str,
    preset_name: Annotated[str, Query(alias="preset")] = "demo",
    size: str = "",
    clone: int | None = None,
    split: Annotated[Literal["", "component"], Query(description="component: whatever it was, component-safe")] = "",
    train: int | None = None,
    fuse: Annotated[str, Query(pattern=r"^(\d{1,18}(,\d{1,18})*)?$")] = "",
    door: Annotated[Literal["fields", "json"], Query(alias="as")] = "fields",
) -> Response:
    """The form, filled from a preset, from the experiment to be cloned, or with the experiments to be fused; as fields,
    or as JSON."""
    found = contest_queries.contest(session, contest)
    if fuse:
        return page(request, TEMPLATE, _fusion(session, found, numbers(fuse), settings.queue))
    parent = cloned(session, clone)
    config = upgrade(parent.config) if parent and parent.config else _preset(preset_name, size)
    if split:
        config = component_safe(config)
    values = {"size": size, "preset": "" if parent else preset_name}
    values |= {"train_file_id": str(train)} if train else {}
    if parent:
        values |= {
            "name": _("%(name)s (variant)", name=parent.name),
            "train_file_id": str(parent.train_file_id),
            "test_file_id": str(parent.test_file_id or ""),
            "unlabelled_file_id": str(parent.unlabelled_file_id or ""),
        }
    context = form_page(
        session,
        found,
        parent,
        read=forms.Parsed(config, config.model_dump(), [], {}),
        values=values | placement_words(session, parent, settings.queue),
        text=config_json.filled(config, {}) if door == "json" else None,
    )
    return page(request, TEMPLATE, context)


def _fusion(session: Session, contest: Contest, members: list[int], queue: str) -> FormPage:
    asked = fusing.fused(session, contest, members)
    values = {"name": asked.name, "train_file_id": str(asked.train_file_id), "size": "", "preset": ""}
    values |= {"test_file_id": str(asked.test_file_id or "")} | placement_words(session, None, queue)
    read = forms.Parsed(ExperimentConfig.model_validate(asked.config), asked.config, [], {})
    return form_page(session, contest, None, read=read, values=values)


def _preset(name: str, size: str) -> ExperimentConfig:
    try:
        return preset(name, size)
    except ValueError as error:
        raise Refused(str(error)) from error


async def _posted(request: Request) -> dict[str, str]:
    """The form's fields. A file of JSON, if one was chosen, takes the place of the text."""
    found: dict[str, str] = {}
    async with request.form() as form:
        for name, value in form.items():
            if isinstance(value, str):
                found.setdefault(name, value)
            elif isinstance(value, UploadFile) and name == "json_file" and value.size:
                content = await value.read(4 * config_json.MOST + 1)
                found[config_json.FIELD] = content.decode("utf-8-sig", "replace")
    return found


Posted = Annotated[dict[str, str], Depends(_posted)]


@dataclass(frozen=True)
class Filled:
    """What was posted: the parent it is a variant of, the config, and everything that is wrong with it."""

    parent: Experiment | None
    read: forms.Parsed
    rows: list[tuple[str, ExperimentConfig]]
    placement: Placement | None
    problems: list[FieldError]


def _filled(session: Session, settings: Settings, posted: Mapping[str, str], name: str) -> Filled:
    """Read the whole form. `name`: of the row, where the posted one may still be empty."""
    parent_id = number(posted.get("parent_id"))
    parent = queries.experiment(session, parent_id) if parent_id is not None else None
    if config_json.FIELD in posted:
        read = config_json.read(posted[config_json.FIELD], by_line=posted.get("door") != "fields")
    else:
        base = base_of(parent, posted.get("preset", ""), posted.get("size", ""))
        read = forms.parse({key: text for key, text in posted.items() if not key.startswith(PLACEMENT)}, base)
    problems, rows, placement = list(read.errors), [], None
    try:
        name = service.checked_name(name)
        placement = _asked(posted, settings.queue)
        rows = _variants(name, read.config, posted, settings) if read.config else []
    except AppError as error:
        problems += error.fields or [FieldError("form", error.message)]
    return Filled(parent, read, rows, placement, problems)


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


@router.post("/experiments/preview")
def show_preview(request: Request, session: SessionDep, settings: SettingsDep, posted: Posted) -> Response:
    """What queueing the form as it stands would do, or what is wrong with it; for preview.js."""
    contest = contest_queries.contest(session, posted.get("contest", ""))
    return page(request, "experiments/_preview.html", _look(session, settings, contest, posted)[1])


def _look(
    session: Session, settings: Settings, contest: Contest, posted: Mapping[str, str]
) -> tuple[Filled, PreviewPage]:
    filled = _filled(session, settings, posted, "a preview")  # the form's own name may be empty yet
    found, problems, config = None, list(filled.problems), filled.read.config
    if filled.rows and not problems:
        try:
            found = preview(session, contest, **_row(posted, *filled.rows[0]))
        except AppError as error:
            problems += error.fields or [FieldError("form", error.message)]
    told = problems_of(problems, as_text=config_json.FIELD in posted)
    return filled, PreviewPage(found, told, len(filled.rows), unread_of(config) if config else [])


@router.post("/experiments/form")
def turn(request: Request, session: SessionDep, settings: SettingsDep, posted: Posted) -> Response:
    """The same form with what was typed: through the other door (fields or JSON), or looked over. Queues nothing."""
    contest = contest_queries.contest(session, posted.get("contest", ""))
    filled, looked = _look(session, settings, contest, posted)
    read, door, typed_text = filled.read, posted.get("door", ""), posted.get(config_json.FIELD)
    text = typed_text
    if door == "json" and typed_text is None:
        text = config_json.filled(read.config, read.typed)
    elif door == "fields" and typed_text is not None and (read.config or read.typed):
        text = None  # what is no JSON at all stays where it can be mended
        read = read._replace(typed=read.config.model_dump()) if read.config else read
    context = form_page(
        session, contest, filled.parent, read=read, values=posted, errors=filled.problems, text=text, looked=looked
    )
    return page(request, TEMPLATE, context, 422 if filled.problems else 200)


@router.post("/experiments")
def create(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    who: Annotated[Actor, Depends(member)],
    posted: Posted,
) -> Response:
    """Queue the experiment, or show the same form with the errors beside their fields and what was typed kept."""
    contest = contest_queries.contest(session, posted.get("contest", ""))
    filled = _filled(session, settings, posted, posted.get("name", ""))
    problems, status = list(filled.problems), 422
    if not problems and filled.placement is not None:
        try:
            with session.begin_nested():  # of many rows all or none
                rows: list[service.Asked] = [{**_row(posted, *item), "made_by": who.name} for item in filled.rows]
                made = [run_service.queue_new(session, contest, filled.placement, **row) for row in rows]
            if len(made) == 1:
                return RedirectResponse(f"/experiments/{made[0].id}", 303)
            request.session["told"] = _("%(count)s experiments are queued; these are they.", count=len(made))
            numbers = ",".join(str(experiment.id) for experiment in made)
            return RedirectResponse(f"/contests/{contest.slug}?search=id:{numbers}", 303)
        except AppError as error:
            problems += error.fields or [FieldError("form", error.message)]
            status = error.status
    text = posted.get(config_json.FIELD)
    context = form_page(session, contest, filled.parent, read=filled.read, values=posted, errors=problems, text=text)
    return page(request, TEMPLATE, context, status)


def _row(posted: Mapping[str, str], name: str, config: ExperimentConfig) -> service.Asked:
    return {
        "name": name,
        "config": config,
        "note": posted.get("note", ""),
        "train_file_id": number(posted.get("train_file_id")),
        "test_file_id": number(posted.get("test_file_id")),
        "unlabelled_file_id": number(posted.get("unlabelled_file_id")),
        "parent_id": number(posted.get("parent_id")),
    }


def _variants(
    name: str, config: ExperimentConfig, posted: Mapping[str, str], settings: Settings
) -> list[tuple[str, ExperimentConfig]]:
    """The rows that the form asks for, by name: one, or those of its sweep. Raises Refused."""
    found = [(name, config)]
    if values := sweep.parse(posted.get("sweep", "")):
        mode: sweep.Mode = "random" if posted.get("sweep_mode") == "random" else "grid"
        found = sweep.configs(name, config, values, mode, number(posted.get("sweep_rows", "").strip()))
    for _name, variant in found:
        weights.require(variant, settings)
    return found
