"""Reads of the audit log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.accounts.models import AuditEntry

PIECE = 2000


@dataclass(frozen=True)
class Asked:
    """Which entries: of whom, whose address or route holds a text, from one moment on and before another, refused ones
    alone."""

    who: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    refused: bool = False


def _where(query: Select[Any], asked: Asked) -> Select[Any]:
    if asked.who:
        query = query.where(AuditEntry.who == asked.who)
    if asked.text:
        query = query.where((AuditEntry.path + " " + AuditEntry.route).icontains(asked.text, autoescape=True))
    if asked.since is not None:
        query = query.where(AuditEntry.at >= asked.since)
    if asked.until is not None:
        query = query.where(AuditEntry.at < asked.until)
    return query.where(AuditEntry.status >= 400) if asked.refused else query


def newest(session: Session, asked: Asked, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
    """The newest first; those before an entry, if asked."""
    query = _where(select(AuditEntry), asked).order_by(AuditEntry.id.desc()).limit(limit)
    return session.scalars(query.where(AuditEntry.id < before) if before is not None else query).all()


def in_pieces(session: Session, asked: Asked) -> Iterator[Sequence[AuditEntry]]:
    """The oldest first, PIECE at a time: an export of years is never held at once."""
    last = 0
    while True:
        query = _where(select(AuditEntry), asked).where(AuditEntry.id > last).order_by(AuditEntry.id).limit(PIECE)
        entries = session.scalars(query).all()
        if not entries:
            return
        yield entries
        last = entries[-1].id
        session.expunge_all()
