"""REST of logs: the lines of an attempt, those that hold a text or tell what went wrong, only new ones, all as text."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from app.answers import of_bytes
from app.runs import log_queries, log_service, queries
from app.security import member
from app.web import SessionDep

router = APIRouter(prefix="/api/v1/runs/{run_id}", tags=["runs"], dependencies=[Depends(member)])
Attempt = Annotated[int | None, Query(ge=1, lt=1 << 31, description="null: the latest")]


class LineOut(BaseModel):
    """A line. `level`: of what ml told; empty for what was printed."""

    number: int
    text: str
    level: str
    wrong: bool = Field(description="it looks as if it told what went wrong")


class LogOut(BaseModel):
    """Lines of an attempt. `active`: more may come; then send `cursor` as `after`."""

    run: int
    attempt: int
    total: int = Field(description="lines that were found, of which `lines` are the last")
    lines: list[LineOut]
    cursor: str
    active: bool


@router.get("/log", response_model=LogOut)
def read_log(
    run_id: int,
    session: SessionDep,
    attempt: Attempt = None,
    after: Annotated[str, Query(description="the cursor of an answer before: only what came since")] = "",
    search: Annotated[str, Query(max_length=200, description="lines that hold this text, whatever the case")] = "",
    wrong: Annotated[bool, Query(description="lines that look as if they told what went wrong")] = False,
    limit: Annotated[int, Query(ge=1, le=100_000)] = 1000,
) -> Response:
    """An attempt's log: what ml told, what its libraries printed, and why it ended."""
    run = queries.run(session, run_id)
    log = log_service.read(session, run, log_queries.attempt(session, run, attempt), after)
    found = [line for line in log.having(search) if line.wrong or not wrong]
    # written here: FastAPI would do it in another thread, with the connection held until there is one
    out = LogOut(
        run=run.id,
        attempt=log.attempt,
        total=len(found),
        lines=[LineOut.model_validate(line, from_attributes=True) for line in found[-limit:]],
        cursor=log.cursor,
        active=log.active,
    )
    return Response(out.model_dump_json(), media_type="application/json")


@router.get("/log.txt", response_class=StreamingResponse, responses=of_bytes("text/plain", "a line each"))
def download_log(run_id: int, session: SessionDep, attempt: Attempt = None) -> StreamingResponse:
    """The whole of it as text."""
    run = queries.run(session, run_id)
    log = log_service.read(session, run, log_queries.attempt(session, run, attempt))
    headers = {"Content-Disposition": f'attachment; filename="run-{run.id}-{log.attempt}.log"'}
    return StreamingResponse(_text(log.lines), media_type="text/plain; charset=utf-8", headers=headers)


def _text(lines: list[log_service.Line]) -> Iterator[str]:
    for start in range(0, len(lines), 1000):
        part = lines[start : start + 1000]
        yield "".join(f"{line.level.upper() + ' ' if line.level else ''}{line.text}\n" for line in part)
