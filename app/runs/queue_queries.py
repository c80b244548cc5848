"""Reads of what waits and what is under way. What a single run is made of: queries."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import Session, aliased, defer

from app.accounts import access
from app.experiments.models import Experiment
from app.runs.models import ExperimentRun, PausedQueue, Run, RunNeed

#: thousands of waiting runs are looked at together, and a config has a hundred fields
LIGHT = [defer(column, raiseload=True) for column in (Run.config, Run.summary, Run.detail)]


def in_order(queues: Sequence[str] = ()) -> Select[Run]:
    """Queued runs as they are handed out: highest priority first, then by place. Of these queues, or of all."""
    query = select(Run).where(Run.status == "queued").order_by(Run.priority.desc(), Run.place, Run.id)
    return query.where(Run.queue.in_(queues)) if queues else query


def ready_runs(
    session: Session,
    now: datetime,
    limit: int,
    *,
    queues: Sequence[str] = (),
    gpu_memory_gb: float | None = None,
    rung_before: datetime | None = None,
) -> Sequence[Run]:
    """Queued runs that could start now, in order: they wait for nothing, and their queue is not paused.

    `gpu_memory_gb`: of the largest card of who asks. `rung_before`: leave out those that were rung for lately.
    """
    needed = aliased(Run)
    unmet = (
        select(RunNeed.run_id)
        .join(needed, needed.id == RunNeed.needs_run_id)
        .where(RunNeed.run_id == Run.id, needed.status != "finished")
    )
    query = in_order(queues).where(
        ~exists(unmet),
        or_(Run.not_before.is_(None), Run.not_before <= now),
        Run.queue.not_in(select(PausedQueue.name)),
    )
    if gpu_memory_gb is not None:
        query = query.where(or_(Run.gpu_memory_gb.is_(None), Run.gpu_memory_gb <= gpu_memory_gb))
    if rung_before is not None:
        query = query.where(or_(Run.rung_at.is_(None), Run.rung_at < rung_before))
    return session.scalars(query.limit(limit)).all()


def last_place(session: Session) -> int:
    """The place behind everything that waits."""
    return (session.scalar(select(func.max(Run.place)).where(Run.status == "queued")) or 0) + 1


def running_runs(session: Session) -> Sequence[Run]:
    """What is under way, the oldest first."""
    return session.scalars(select(Run).where(Run.status == "running").order_by(Run.started_at, Run.id)).all()


def open_runs(session: Session, queue: str | None = None) -> Sequence[Run]:
    """Queued and running runs, last first: who cancels them one by one starts nothing in between."""
    query = select(Run).where(Run.status.in_(("queued", "running"))).order_by(Run.id.desc())
    return session.scalars(query.where(Run.queue == queue) if queue is not None else query).all()


def paused_queues(session: Session) -> dict[str, PausedQueue]:
    """The paused ones by name."""
    return {row.name: row for row in session.scalars(select(PausedQueue).order_by(PausedQueue.name))}


def needs_of_queued(session: Session) -> dict[int, list[tuple[int, str, str]]]:
    """What queued runs still wait for: run id -> [(id, kind, status) of an unfinished run]."""
    waiting, needed = aliased(Run), aliased(Run)
    query = (
        select(RunNeed.run_id, needed.id, needed.kind, needed.status)
        .join(waiting, waiting.id == RunNeed.run_id)
        .join(needed, needed.id == RunNeed.needs_run_id)
        .where(waiting.status == "queued", needed.status != "finished")
        .order_by(RunNeed.run_id, RunNeed.position, needed.id)
    )
    found: dict[int, list[tuple[int, str, str]]] = {}
    for run_id, number, kind, status in session.execute(query):
        found.setdefault(run_id, []).append((number, kind, status))
    return found


def experiments_of(session: Session, run_ids: Collection[int]) -> dict[int, list[tuple[int, str]]]:
    """(id, name) of the experiments that each of these runs works for; those that are there for who asks."""
    query = select(ExperimentRun.run_id, Experiment.id, Experiment.name).join(
        Experiment, Experiment.id == ExperimentRun.experiment_id
    )
    query = query.where(ExperimentRun.run_id.in_(run_ids), access.seen_only(Experiment.contest_id))
    found: dict[int, list[tuple[int, str]]] = {}
    for run_id, number, name in session.execute(query.order_by(Experiment.id)):
        found.setdefault(run_id, []).append((number, name))
    return found


def seconds_a_pass(session: Session, likenesses: Collection[str], newest: int) -> dict[str, list[float]]:
    """Of the newest finished runs of each likeness that needed one attempt: their seconds over their passes."""
    rank = func.row_number().over(partition_by=Run.likeness, order_by=Run.ended_at.desc()).label("rank")
    took = select(Run.likeness, Run.started_at, Run.ended_at, Run.passes, rank).where(
        Run.likeness.in_([item for item in likenesses if item]),
        Run.status == "finished",
        Run.attempt == Run.tries_from + 1,
        Run.passes > 0,
    )
    inner = took.subquery()
    found: dict[str, list[float]] = {}
    for likeness, begin, end, passes in session.execute(
        select(inner.c.likeness, inner.c.started_at, inner.c.ended_at, inner.c.passes).where(inner.c.rank <= newest)
    ):
        if begin is not None and end is not None:
            found.setdefault(likeness, []).append((end - begin).total_seconds() / passes)
    return found


def most_memory(session: Session, likenesses: Collection[str]) -> int | None:
    """The most bytes that a finished run of one of these likenesses told it took at its peak."""
    query = select(Run.progress).where(
        Run.likeness.in_([item for item in likenesses if item]), Run.status == "finished"
    )
    told = [
        (progress or {}).get("peak_memory_bytes")
        for progress in session.scalars(query.order_by(Run.id.desc()).limit(50))
    ]
    return max((size for size in told if size), default=None)


def queued_count(session: Session) -> int:
    """How many runs wait."""
    return session.scalar(select(func.count()).select_from(Run).where(Run.status == "queued")) or 0
