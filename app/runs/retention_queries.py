"""Reads and deletions of rows that have served their time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Text, cast, delete, exists, func, select
from sqlalchemy.orm import Session

from app.runs.models import Attempt, Run, RunEvent, Worker

#: an event every second or so; everything else of an attempt is said once, and kept
FREQUENT = ("progress", "measured")
SOME = 500  # rows a statement


@dataclass(frozen=True)
class Crowd:
    """Events of one type of an attempt, of which there are more than are kept."""

    attempt_id: int
    type: str


def crowds(session: Session, ended_before: datetime, points: int) -> list[Crowd]:
    """Of runs that ended before a moment."""
    query = (
        select(RunEvent.attempt_id, RunEvent.type)
        .join(Attempt, Attempt.id == RunEvent.attempt_id)
        .join(Run, Run.id == Attempt.run_id)
        .where(
            Run.status.in_(("finished", "failed", "cancelled")),
            Run.ended_at < ended_before,
            Attempt.stored_events > points,
            RunEvent.type.in_(FREQUENT),
        )
        .group_by(RunEvent.attempt_id, RunEvent.type)
        .having(func.count() > points)
    )
    return [Crowd(*row) for row in session.execute(query.order_by(RunEvent.attempt_id, RunEvent.type))]


def numbers_and_sizes(session: Session, crowd: Crowd) -> list[tuple[int, int]]:
    """Of its events, in order; the size is that of the JSON."""
    query = select(RunEvent.number, func.length(cast(RunEvent.body, Text)))
    query = query.where(RunEvent.attempt_id == crowd.attempt_id, RunEvent.type == crowd.type)
    return [(number, size) for number, size in session.execute(query.order_by(RunEvent.number))]


def delete_events(session: Session, attempt_id: int, numbers: Sequence[int]) -> int:
    """Delete events of an attempt, and have it remember how many these were, which is returned."""
    deleted = 0
    for start in range(0, len(numbers), SOME):
        some = numbers[start : start + SOME]
        query = delete(RunEvent).where(RunEvent.attempt_id == attempt_id, RunEvent.number.in_(some))
        deleted += len(session.scalars(query.returning(RunEvent.number)).all())
    session.get_one(Attempt, attempt_id, with_for_update=True).thinned_events += deleted
    return deleted


def silent_workers(session: Session, since: datetime) -> Sequence[Worker]:
    """Workers that were not heard of since a moment and hold no run."""
    holds = exists().where(Attempt.worker == Worker.name, Attempt.outcome == "")
    return session.scalars(select(Worker).where(Worker.last_seen_at < since, ~holds).order_by(Worker.name)).all()
