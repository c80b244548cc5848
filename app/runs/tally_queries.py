"""Counts over all runs, attempts and workers, for whoever watches a set-up from outside."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.runs.models import Attempt, Run


@dataclass(frozen=True)
class Waiting:
    """Of one queue."""

    depth: int
    oldest: datetime


def runs_by_status(session: Session) -> dict[str, int]:
    """How many runs there are of each status that occurs."""
    query = select(Run.status, func.count()).group_by(Run.status)
    return dict(session.execute(query).all())


def waiting_by_queue(session: Session) -> dict[str, Waiting]:
    """Queues in which something waits."""
    query = select(Run.queue, func.count(), func.min(Run.queued_at)).where(Run.status == "queued").group_by(Run.queue)
    return {queue: Waiting(depth, oldest) for queue, depth, oldest in session.execute(query)}


def attempts_by_outcome(session: Session) -> dict[str, int]:
    """How many attempts ended in each way; '' are those under way."""
    query = select(Attempt.outcome, func.count()).group_by(Attempt.outcome)
    return dict(session.execute(query).all())
