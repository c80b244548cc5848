"""Reads of contests and files by their names; experiments are found by the leaderboard's own search."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from app.accounts import access
from app.contests.models import Contest, ContestFile


def _hold(words: Sequence[str], *texts: Any) -> ColumnElement[bool]:
    """Each word stands in one of these."""
    return and_(*(or_(*(text.icontains(word, autoescape=True) for text in texts)) for word in words))


def contests_named(session: Session, words: Sequence[str], limit: int) -> tuple[Sequence[Contest], int]:
    """Contests whose name, address or note hold every word, newest first, and how many there are."""
    held = and_(access.seen_only(Contest.id), _hold(words, Contest.name, Contest.slug, Contest.note))
    total = session.scalar(select(func.count()).select_from(Contest).where(held)) or 0
    return session.scalars(select(Contest).where(held).order_by(Contest.id.desc()).limit(limit)).all(), total


def files_named(session: Session, words: Sequence[str], limit: int) -> tuple[list[tuple[ContestFile, Contest]], int]:
    """Files whose name holds every word or whose hash begins with it, with their contests, newest first."""
    held = and_(
        access.seen_only(ContestFile.contest_id),
        *(or_(_hold([word], ContestFile.name), ContestFile.sha256.startswith(word, autoescape=True)) for word in words),
    )
    total = session.scalar(select(func.count()).select_from(ContestFile).where(held)) or 0
    query = select(ContestFile, Contest).join(Contest, Contest.id == ContestFile.contest_id).where(held)
    found = session.execute(query.order_by(ContestFile.id.desc()).limit(limit))
    return [(file, contest) for file, contest in found], total
