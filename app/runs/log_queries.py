"""Reads of the events that hold lines of a run's log."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.runs.models import LOG, Attempt, Run, RunEvent


def log_events(
    session: Session, attempt_id: int, after: int = 0, until: int | None = None
) -> Sequence[tuple[int, dict[str, Any]]]:
    """(number, body) of an attempt's events with lines, after the event of one number, up to that of another."""
    query = select(RunEvent.number, RunEvent.body)
    query = query.where(RunEvent.attempt_id == attempt_id, RunEvent.number > after, text(LOG))
    query = query if until is None else query.where(RunEvent.number <= until)
    return [(number, body) for number, body in session.execute(query.order_by(RunEvent.number))]


def attempt(session: Session, run: Run, number: int | None) -> Attempt | None:
    """The attempt of this number, or the latest; None before the first. Raises NotFound."""
    wanted = run.attempt if number is None else number
    found = session.scalar(select(Attempt).where(Attempt.run_id == run.id, Attempt.number == wanted))
    if found is None and number is not None:
        raise NotFound(f"run {run.id} has no attempt {number}")
    return found
