"""HTML and CSV of the audit log, for owners."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain, islice
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from app.accounts import audit, audit_queries
from app.accounts.audit_queries import Asked
from app.accounts.models import AuditEntry
from app.db import Database
from app.errors import FieldError, Refused
from app.language import N_
from app.language import gettext as _
from app.security import needs
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(needs("admin"))])
SHOWN = 100
KINDS = {
    "member": N_("member"),
    "token": N_("token"),
    "local": N_("this machine’s user"),
    "nobody": N_("not signed in"),
    "command": N_("command"),
}


@dataclass(frozen=True)
class AuditPage:
    """accounts/audit.html. `query`: what was asked, for the links; `older`: the entry before which the next page
    begins, None on the last."""

    entries: Sequence[AuditEntry]
    who: str
    text: str
    since: str
    until: str
    refused: bool
    query: str
    older: int | None
    kinds: Mapping[str, str]


def asked(
    who: Annotated[str, Query(max_length=100, description="name of a member or token")] = "",
    text: Annotated[str, Query(max_length=200, description="in the address or route")] = "",
    since: Annotated[str, Query(description="a day, as 2026-11-27 (UTC)")] = "",
    until: Annotated[str, Query(description="the last day")] = "",
    refused: Annotated[bool, Query(description="only what was refused or failed")] = False,
) -> Asked:
    """Of the address. Raises Refused for what is no day."""
    last = _day("until", until)
    return Asked(who.strip(), text.strip(), _day("since", since), last and last + timedelta(days=1), refused)


AskedDep = Annotated[Asked, Depends(asked)]


def _day(name: str, text: str) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC) if text else None
    except ValueError:
        message = _("%(text)s is no day: write it as 2026-11-27", text=repr(text[:30]))
        raise Refused(message, [FieldError(name, message, text[:30])]) from None


@router.get("/audit")
def show(request: Request, session: SessionDep, wanted: AskedDep, before: int | None = None) -> Response:
    """Who did what, the newest first."""
    entries = audit_queries.newest(session, wanted, SHOWN + 1, before)
    typed = {name: request.query_params.get(name, "") for name in ("who", "text", "since", "until")}
    plain = {name: value for name, value in typed.items() if value} | ({"refused": "true"} if wanted.refused else {})
    older = entries[SHOWN - 1].id if len(entries) > SHOWN else None
    context = AuditPage(
        entries[:SHOWN], **typed, refused=wanted.refused, query=urlencode(plain), older=older, kinds=KINDS
    )
    return page(request, "accounts/audit.html", context)


@router.get("/audit.csv")
def as_csv(request: Request, wanted: AskedDep) -> Response:
    """All that is asked for, the oldest first."""
    return csv_of(request, wanted)


def csv_of(request: Request, wanted: Asked) -> Response:
    """A download, written while it is read."""
    headers = {"Content-Disposition": 'attachment; filename="audit.csv"'}
    pieces = _pieces(request.app.state.database, wanted)
    # the query is made before the answer begins, which can't become a refusal of it any more
    begun = list(islice(pieces, 2))
    return StreamingResponse(chain(begun, pieces), media_type="text/csv; charset=utf-8", headers=headers)


def _pieces(database: Database, wanted: Asked) -> Iterator[str]:
    """With a session of its own: a request's is closed before its answer leaves."""
    with database.reading() as session:
        yield from audit.lines(session, wanted)
