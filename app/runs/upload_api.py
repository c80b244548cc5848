"""How a worker's files come: announced by their hash, sent in pieces, and gone on with where a cut connection stopped.

POST uploads -> offset; PATCH uploads/{sha256}?offset=… as often as it takes; POST uploads -> the artifact. Bytes that
a run sent before, this one or another, are not sent again.
"""

import contextlib
import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.bodies import SlowBody
from app.db import Database
from app.errors import NoRoom, TooLarge
from app.partial import Partial
from app.runs import intake, queries, service
from app.runs.api import ARTIFACT_NAME, ArtifactOut, Strict, require_held
from app.security import attempt, bearer
from app.storage import Storage

log = logging.getLogger(__name__)
router = APIRouter(prefix="/api/v1", tags=["runs"], dependencies=[Depends(attempt)])
SHA256 = r"^[0-9a-f]{64}$"
PIECE_BYTES = 4 << 20  # held in memory; what a cut connection costs


class UploadBody(Strict):
    """A file that the run made."""

    name: str = Field(pattern=ARTIFACT_NAME)
    sha256: str = Field(pattern=SHA256)
    size: int = Field(ge=0)


class UploadOut(BaseModel):
    """Where to go on from, or the artifact once it is whole. `problem`: what came had another hash and was dropped."""

    offset: int
    piece_bytes: int = PIECE_BYTES
    artifact: ArtifactOut | None = None
    problem: str = ""


@router.post("/runs/{run_id}/uploads")
def begin_or_end_upload(request: Request, run_id: int, body: UploadBody) -> UploadOut:
    """Announce a file, ask how much of it is here, and name it once it is whole.

    No session of the request: a large file is hashed and synced while nobody waits for the database.
    """
    database: Database = request.app.state.database
    storage: Storage = request.app.state.storage
    token = bearer(request)
    known = _require_current(database, run_id, token, body.sha256)
    partial = Partial(storage, run_id, body.sha256, body.size)
    stored = storage.find(body.sha256, body.size) if known else None
    if stored is None and (offset := partial.offset) < body.size:
        return UploadOut(offset=offset)
    if stored is None and (stored := partial.keep()) is None:
        problem = f"{body.name}: {body.size} bytes arrived that do not have the sha256 {body.sha256}: send them again"
        log.warning("run %s: %s", run_id, problem)
        return UploadOut(offset=0, problem=problem)
    with database.writing() as session:
        holder = require_held(session, run_id, token)
        row = service.add_artifact(session, holder.run, holder.attempt, body.name, stored)
        return UploadOut(offset=body.size, artifact=ArtifactOut.model_validate(row, from_attributes=True))


@router.patch(
    "/runs/{run_id}/uploads/{sha256}",
    openapi_extra={
        "requestBody": {
            "description": f"a piece of the file, at most {PIECE_BYTES} bytes",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def send_piece(
    request: Request,
    run_id: int,
    sha256: Annotated[str, Path(pattern=SHA256)],
    offset: Annotated[int, Query(ge=0)],
    size: Annotated[int, Query(ge=0, description="of the whole file")],
) -> UploadOut:
    """Bytes from `offset` on, as the raw body. A piece that does not go on where the file ends is left.

    async: the body is read as it comes, and no more of it than a piece. What came before a connection was cut counts:
    a bad line gets on by less than a piece at a time.
    """
    database: Database = request.app.state.database
    storage: Storage = request.app.state.storage
    token = bearer(request)
    await run_in_threadpool(_require_current, database, run_id, token)
    piece = bytearray()
    with contextlib.suppress(ClientDisconnect, SlowBody):
        async for chunk in request.stream():
            piece += chunk
            if len(piece) > PIECE_BYTES:
                raise TooLarge(f"a piece of more than {PIECE_BYTES} bytes: send smaller ones")

    def write() -> int:
        try:
            return Partial(storage, run_id, sha256, size).write(offset, bytes(piece))
        except NoRoom as error:
            _tell(database, run_id, token, error.message)
            raise

    return UploadOut(offset=await run_in_threadpool(write))


def _require_current(database: Database, run_id: int, token: str | None, sha256: str = "") -> bool:
    """Before a byte is taken; checked again, under the lock, when the file is named. Whether a run made such a file:
    only those count as known, or who names a hash would get at a contest's file."""
    with database.reading() as session:
        holder = require_held(session, run_id, token)
        intake.require_current(holder.run, holder.attempt)
        return queries.is_artifact(session, sha256)


def _tell(database: Database, run_id: int, token: str | None, reason: str) -> None:
    """On the run's page, as far as the database itself can be written: its events wait behind the file."""
    try:
        with database.writing() as session:
            holder = require_held(session, run_id, token)
            holder.run.reason = f"the worker's files can't be taken: {reason}. It tries again."
    except SQLAlchemyError:
        log.exception("run %s: its page can't say that %s", run_id, reason)
