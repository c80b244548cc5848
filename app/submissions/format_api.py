"""REST: the form in which a contest wants its prediction files, and an experiment's file in it."""

import hashlib
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from fastapi.responses import Response

from app.answers import of_bytes
from app.contests import queries
from app.experiments import queries as experiment_queries
from app.security import member
from app.submissions import files, remembering
from app.submissions import format as formats
from app.submissions.format import SubmissionFormat
from app.submissions.sample import sample_of
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1", tags=["submissions"], dependencies=[Depends(member)])


@router.get("/contests/{slug}/submission-format")
def read_format(slug: str, session: SessionDep) -> SubmissionFormat:
    """How prediction files of this contest are written and read."""
    return formats.format_of(queries.contest(session, slug))


@router.put("/contests/{slug}/submission-format")
def set_format(slug: str, body: dict[str, Any], session: SessionDep) -> SubmissionFormat:
    """Set it; what is left out is as usual: one number a line, in the order of the test file."""
    form = formats.checked(body)
    formats.set_format(session, queries.contest(session, slug), form)
    return form


@router.post("/contests/{slug}/submission-format/preview")
def preview_format(slug: str, body: dict[str, Any], session: SessionDep, storage: StorageDep) -> dict[str, Any]:
    """The first lines of a file in this form, with made-up probabilities; nothing is changed."""
    return asdict(sample_of(session, storage, queries.contest(session, slug), formats.checked(body)))


@router.get(
    "/experiments/{experiment_id}/submission-file",
    response_class=Response,
    responses=of_bytes("text/plain", "the file", "application/zip", X_Content_SHA256="its hash"),
)
def read_submission_file(
    request: Request, experiment_id: int, session: SessionDep, storage: StorageDep, background: BackgroundTasks
) -> Response:
    """An experiment's predictions of the test file as its contest wants them. Always the same bytes; X-Content-SHA256
    is their hash, by which POST /api/v1/contests/{slug}/online-scores finds the experiment."""
    name, content = files.content_of(session, storage, experiment_queries.experiment(session, experiment_id))
    background.add_task(remembering.remember, request.app.state.database, storage, experiment_id)
    named, sha256 = f"attachment; filename*=utf-8''{quote(name)}", hashlib.sha256(content).hexdigest()
    headers = {"X-Content-SHA256": sha256, "Content-Disposition": named}
    kind = "application/zip" if name.endswith(".zip") else "text/plain; charset=utf-8"
    return Response(content, media_type=kind, headers=headers)
