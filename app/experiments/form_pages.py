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
from app.errors import AppError, FieldError, Refused
from app.experiments import queries, service, weights
from app.experiments.models import Experiment
from app.runs import service as run_service
from app.security import member
from app.web import SessionDep, SettingsDep, page
from ml.contract.encoder_config import SIZES
from ml.contract.experiment import upgrade
from ml.contract.presets import PRESETS, preset, size_of

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
    errors: dict[str, str]


@router.get("/experiments/new")
def new(
    request: Request,
    session: SessionDep,
    contest: str,
    preset_name: Annotated[str, Query(alias="preset")] = "demo",
    size: str = "",
    clone: int | None = None,
) -> Response:
    """The form, filled from a preset or from the experiment to be cloned."""
    found = contest_queries.contest(session, contest)
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
        },
    )
    return page(request, "experiments/form.html", context)


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
        errors=messages,
    )


async def _posted(request: Request) -> dict[str, str]:
    return {key: value for key, value in (await request.form()).items() if isinstance(value, str)}


@router.post("/experiments")
def create(
    request: Request, session: SessionDep, settings: SettingsDep, posted: Annotated[dict[str, str], Depends(_posted)]
) -> Response:
    """Queue the experiment, or show the same form with the errors beside their fields and what was typed kept."""
    contest = contest_queries.contest(session, posted.get("contest", ""))
    parent_id = _number(posted.get("parent_id"))
    config, typed, errors = forms.parse(posted)
    problems, status = list(errors), 422
    try:
        name = service.checked_name(posted.get("name", ""))
        if config is not None:
            weights.require(config, settings)
            experiment = service.create(
                session,
                contest,
                name=name,
                note=posted.get("note", ""),
                config=config,
                train_file_id=_number(posted.get("train_file_id")),
                test_file_id=_number(posted.get("test_file_id")),
                unlabelled_file_id=_number(posted.get("unlabelled_file_id")),
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
