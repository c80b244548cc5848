"""The audit log: who did what, when, from where, with which token. Rows are only ever added.

Called by app.audit_log for requests and by cli for commands; read by audit_pages and audit_api.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, fields

from sqlalchemy.orm import Session

from app.accounts import audit_queries
from app.accounts.models import AuditEntry
from app.db import clock
from app.spreadsheets import harmless

COLUMNS = tuple(column.name for column in AuditEntry.__table__.columns)


@dataclass(frozen=True)
class Deed:
    """What is written down of a request or command."""

    who: str
    kind: str
    method: str
    route: str
    path: str
    status: int
    address: str = ""
    request_id: str = ""
    member_id: int | None = None
    token_id: int | None = None


def record(session: Session, deed: Deed) -> None:
    """Add it. What is longer than its column is cut."""
    values = {item.name: getattr(deed, item.name) for item in fields(deed)}
    for name, most in (("who", 100), ("kind", 10), ("method", 10), ("route", 200), ("path", 500), ("address", 100)):
        values[name] = values[name][:most]
    session.add(AuditEntry(**values, at=clock(session)))
    session.flush()


def by_command(session: Session, command: str, about: str) -> None:
    """Somebody who sits at the server."""
    record(session, Deed("command line", "command", "CLI", f"pairboard {command}", about, 0))


def lines(session: Session, asked: audit_queries.Asked) -> Iterator[str]:
    """All that is asked for as CSV, the oldest first."""
    yield ",".join(COLUMNS) + "\n"
    for entries in audit_queries.in_pieces(session, asked):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [_cell(getattr(entry, name)) for name in COLUMNS] for entry in entries
        )
        yield text.getvalue()


def _cell(value: object) -> object:
    return harmless("" if value is None else value.isoformat() if hasattr(value, "isoformat") else str(value))
