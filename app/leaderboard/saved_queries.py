"""Reads of saved views."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.leaderboard.models import SavedView


def views_of(session: Session, contest_id: int) -> Sequence[SavedView]:
    """A contest's, by name."""
    query = select(SavedView).where(SavedView.contest_id == contest_id)
    return session.scalars(query.order_by(func.lower(SavedView.name), SavedView.id)).all()


def view_named(session: Session, contest_id: int, name: str) -> SavedView | None:
    """The one of this name."""
    return session.scalar(select(SavedView).where(SavedView.contest_id == contest_id, SavedView.name == name))


def default_of(session: Session, contest_id: int) -> SavedView | None:
    """What the table shows to whoever asks for nothing."""
    return session.scalar(select(SavedView).where(SavedView.contest_id == contest_id, SavedView.is_default))
