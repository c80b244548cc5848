"""Verbs on the queue: hand out what goes first, put a run elsewhere, pause a queue, cancel all."""

import contextlib
import itertools
from datetime import timedelta
from typing import Any, Literal

from sqlalchemy.orm import Session

from app import queue
from app.db import clock
from app.errors import Conflict, NotFound
from app.language import gettext as _
from app.runs import lifecycle, queries, queue_queries, service
from app.runs.models import PausedQueue, Run, Worker
from app.runs.placement import Placement, placement_of, placement_of_run
from app.runs.service import Claimed
from app.runs.waiting import memory_gb

Direction = Literal["first", "up", "down", "last"]
#: many are handed out at once: who loses the race for these looks for the next
CANDIDATES = 5


def claim_next(session: Session, worker: Worker, lease: timedelta) -> Claimed | None:
    """Give a worker what goes first of its queues, or None: nothing there can start, or the worker is draining.

    A worker whose claim was stored but whose answer got lost asks again and gets the same attempt with a new token.
    """
    held = queries.held_without_events(session, worker.name, worker.boot_id)
    if held is not None:
        return _hand_out(session, held.run_id, worker, lease)
    if worker.draining:
        return None
    now, memory = clock(session), memory_gb(worker)
    tried: set[int] = set()
    while True:
        ready = queue_queries.ready_runs(session, now, CANDIDATES, queues=worker.queues, gpu_memory_gb=memory)
        left = [run.id for run in ready if run.id not in tried]
        if not left:
            return None
        for run_id in left:
            tried.add(run_id)
            with contextlib.suppress(Conflict):
                return _hand_out(session, run_id, worker, lease)


def _hand_out(session: Session, run_id: int, worker: Worker, lease: timedelta) -> Claimed:
    claimed = service.claim(session, run_id, worker=worker.name, boot_id=worker.boot_id, lease=lease)
    worker.busy_run_id = run_id
    session.flush()
    return claimed


def move(session: Session, run_id: int, to: Direction) -> Run:
    """Put a waiting run elsewhere in its queue; past runs of another priority it takes theirs. Raises Conflict.

    What goes first goes at once: it does not wait any longer for having lost its workers.
    """
    run = _waiting(session, run_id)
    if to == "first" and run.not_before is not None:
        run.not_before = None
        queue.later(session, run.id, run.queue)
    line = list(session.scalars(queue_queries.in_order([run.queue])))
    at = line.index(run)
    line.remove(run)
    to_place = {"first": 0, "up": max(0, at - 1), "down": min(len(line), at + 1), "last": len(line)}[to]
    line.insert(to_place, run)
    before, after = line[to_place - 1] if to_place else None, line[to_place + 1] if to_place + 1 < len(line) else None
    if before is not None and run.priority > before.priority:
        run.priority = before.priority
    if after is not None and run.priority < after.priority:
        run.priority = after.priority
    for place, item in zip(sorted(item.place for item in line), line, strict=True):
        item.place = place
    _spread(line)
    session.flush()
    return run


def _spread(line: list[Run]) -> None:
    """Places must rise: equal ones (a run that came back beside one that came after) would go by number."""
    for before, after in itertools.pairwise(line):
        after.place = max(after.place, before.place + 1)


def change(session: Session, run_id: int, values: dict[str, Any]) -> Run:
    """Another queue, priority or limit for a run; what it waits for is as urgent. Raises Refused, Conflict."""
    run = queries.run(session, run_id, lock=True)
    if run.status not in {"queued", "running"}:
        told = {"run": run.id, "status": _(run.status)}
        raise Conflict(_("run %(run)s is %(status)s: there is nothing to change", **told))
    before = placement_of_run(run)
    after: Placement = placement_of({**before.model_dump(), **values}, run.queue)
    if run.status == "running" and (after.queue, after.gpu_memory_gb) != (before.queue, before.gpu_memory_gb):
        raise Conflict(_("run %(run)s is running: its queue and its card stay", run=run.id))
    for name, value in after.columns().items():
        setattr(run, name, value)
    session.flush()
    _hurry_needs(session, run)
    if run.status == "queued" and not queries.unmet_needs(session, run.id):
        queue.later(session, run.id, run.queue)
    session.flush()
    return run


def _hurry_needs(session: Session, run: Run) -> None:
    for needed in queries.unmet_needs(session, run.id):
        if needed.priority < run.priority:
            needed.priority = run.priority
            _hurry_needs(session, needed)


def _waiting(session: Session, run_id: int) -> Run:
    run = queries.run(session, run_id, lock=True)
    if run.status != "queued":
        told = {"run": run.id, "status": _(run.status)}
        raise Conflict(_("run %(run)s is %(status)s: only what waits has a place in the queue", **told))
    return run


def pause(session: Session, name: str, reason: str, who: str) -> None:
    """Hand out nothing of this queue; what runs goes on. Paused again: the newer reason stands."""
    row = session.get(PausedQueue, name)
    now = clock(session)
    if row is None:
        row = PausedQueue(name=name, reason="", paused_by="", paused_at=now)
        session.add(row)
    row.reason, row.paused_by, row.paused_at = reason.strip()[:500], who, now
    session.flush()


def resume(session: Session, name: str) -> None:
    """Hand out again, at once. Raises NotFound for a queue that is not paused."""
    row = session.get(PausedQueue, name)
    if row is None:
        raise NotFound(_("queue %(queue)r is not paused", queue=name))
    session.delete(row)
    session.flush()
    for run in queue_queries.ready_runs(session, clock(session), limit=100, queues=[name]):
        queue.later(session, run.id, run.queue)


def cancel_all(session: Session, name: str | None = None) -> int:
    """Cancel everything that waits or runs, or what of one queue does; how many runs that was."""
    now = clock(session)
    runs = queue_queries.open_runs(session, name)
    for run in runs:
        lifecycle.request_cancel(session, run, now)
    return len(runs)
