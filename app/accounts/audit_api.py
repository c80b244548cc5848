"""REST of the audit log, for owners and tokens for admin."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from app.accounts import audit_queries
from app.accounts.audit_pages import AskedDep, csv_of
from app.answers import of_bytes
from app.security import needs
from app.web import SessionDep

router = APIRouter(prefix="/api/v1", tags=["accounts"], dependencies=[Depends(needs("admin"))])


class EntryOut(BaseModel):
    """A request that may have changed something, or a command (method CLI, status 0)."""

    id: int
    at: datetime
    who: str
    kind: str
    member_id: int | None
    token_id: int | None
    method: str
    route: str
    path: str
    status: int
    address: str
    request_id: str


class EntriesOut(BaseModel):
    """The newest first. `older`: send it as `before` for those that follow; null: there are no more."""

    entries: list[EntryOut]
    older: int | None


@router.get("/audit")
def read_audit(
    session: SessionDep,
    wanted: AskedDep,
    before: int | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EntriesOut:
    """Who did what, when, from where, with which token."""
    found = audit_queries.newest(session, wanted, limit + 1, before)
    entries = [EntryOut.model_validate(entry, from_attributes=True) for entry in found[:limit]]
    return EntriesOut(entries=entries, older=entries[-1].id if len(found) > limit else None)


@router.get("/audit.csv", response_class=Response, responses=of_bytes("text/csv", "the entries"))
def export_audit(request: Request, wanted: AskedDep) -> Response:
    """All that is asked for as CSV, the oldest first."""
    return csv_of(request, wanted)
