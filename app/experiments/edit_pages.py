"""HTML: an experiment's name, verdict and note are edited; what the note will look like is shown before it is kept."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from app.errors import Refused
from app.experiments import queries, service
from app.experiments.models import Experiment
from app.experiments.note import rendered
from app.security import member
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])


@dataclass(frozen=True)
class EditPage:
    """experiments/edit.html. `preview`: the note as it will look, once that was asked for."""

    experiment: Experiment
    name: str
    verdict: str
    note: str
    error: str = ""
    preview: Markup | None = None


@dataclass(frozen=True)
class NotePreview:
    """experiments/_note.html, for preview.js."""

    preview: Markup | None


@router.get("/experiments/{experiment_id}/edit")
def edit_form(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """Name, verdict and note."""
    row = queries.experiment(session, experiment_id)
    return page(request, "experiments/edit.html", EditPage(row, row.name, row.verdict, row.note))


@router.post("/experiments/{experiment_id}/edit")
def edit(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    name: Annotated[str, Form()] = "",
    verdict: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    """Keep a new name, verdict and note."""
    experiment = queries.experiment(session, experiment_id)
    try:
        service.edit(session, experiment, name=name, note=note, verdict=verdict)
    except Refused as error:
        typed = EditPage(experiment, name, verdict, note, error.message)
        return page(request, "experiments/edit.html", typed, 422)
    return RedirectResponse(f"/experiments/{experiment_id}", 303)


@router.post("/experiments/{experiment_id}/edit/preview")
def preview(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    name: Annotated[str, Form()] = "",
    verdict: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    """The same form with what was typed, and the note below it as it will look. Keeps nothing."""
    row = queries.experiment(session, experiment_id)
    return page(request, "experiments/edit.html", EditPage(row, name, verdict, note, preview=rendered(note)))


@router.post("/notes/preview")
def preview_note(request: Request, note: Annotated[str, Form()] = "") -> Response:
    """The note alone, for preview.js."""
    return page(request, "experiments/_note.html", NotePreview(rendered(note) if note.strip() else None))
