"""Verbs on workers: note that one lives, take back what a lost one held, drain, stop what breaks its limit."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.db import clock
from app.errors import Conflict, NotFound
from app.language import gettext as _
from app.runs import lifecycle, queries, queue_queries
from app.runs.models import Attempt, Run, Worker
from ml.contract.hardware import WorkerMachine

#: a worker that has not reported for this long is taken as away
WORKER_AWAY = timedelta(seconds=45)
#: a run whose worker is silent for longer is shown so
SILENT = timedelta(seconds=60)


def worker_seen(
    session: Session,
    name: str,
    boot_id: str,
    busy_run_id: int | None,
    *,
    queues: Sequence[str] = ("pairboard",),
    machine: WorkerMachine | None = None,
) -> Worker:
    """A worker reports itself. One with a new boot id was started anew: what its predecessor held is free at once."""
    now = clock(session)
    worker = queries.worker(session, name)
    if worker is None:
        worker = Worker(name=name, boot_id="", last_seen_at=now, queues=[], machine={}, draining=False)
        session.add(worker)
    if worker.boot_id != boot_id:
        worker.started_at, worker.draining = now, False
        for attempt in queries.open_attempts(session, worker=name):
            if attempt.boot_id != boot_id:
                _lose(session, attempt, f"worker {name} stopped in the middle of it and was started anew")
    worker.boot_id, worker.busy_run_id, worker.last_seen_at, worker.queues = boot_id, busy_run_id, now, list(queues)
    if machine is not None:
        worker.machine = machine.model_dump(mode="json")
    session.flush()
    return worker


def expire_leases(session: Session) -> None:
    """Runs whose worker went silent for longer than its lease return to the queue."""
    for attempt in queries.open_attempts(session, expired_at=clock(session)):
        run = queries.run(session, attempt.run_id, lock=True)
        session.refresh(attempt)
        now = clock(session)
        if not attempt.outcome and attempt.lease_until < now:  # it may have been heard of while we waited for the lock
            silent = round((now - attempt.heartbeat_at).total_seconds())
            reason = f"worker {attempt.worker} was silent for {silent} s"
            lifecycle.return_to_queue(session, run, attempt, "lost", now, reason)


def take_all_back(session: Session, reason: str) -> int:
    """After a restore: every run under way returns to the queue, at no cost to it. Workers that still work on one have
    gone further than these rows know: they are told to stop. How many there were."""
    attempts = queries.open_attempts(session)
    for attempt in attempts:
        run = queries.run(session, attempt.run_id, lock=True)
        lifecycle.return_to_queue(session, run, attempt, "returned", clock(session), reason)
    return len(attempts)


def _lose(session: Session, attempt: Attempt, reason: str) -> None:
    """The time is taken under the lock: what was stored before it came before the end."""
    run = queries.run(session, attempt.run_id, lock=True)
    session.refresh(attempt)
    if not attempt.outcome:
        lifecycle.return_to_queue(session, run, attempt, "lost", clock(session), reason)


def over_their_limit(session: Session) -> list[tuple[Run, float]]:
    """Running runs that have worked for longer than they may, and the seconds that all attempts took together."""
    now = clock(session)
    found = []
    for run in queue_queries.running_runs(session):
        if run.max_seconds is not None and not run.cancel_requested:
            seconds = sum(
                ((attempt.ended_at or now) - attempt.claimed_at).total_seconds()
                for attempt in queries.attempts_of(session, run.id)
                if attempt.number > run.tries_from
            )
            if seconds > run.max_seconds:
                found.append((run, seconds))
    return found


def stop_what_breaks_its_limit(session: Session) -> None:
    """Have runs stopped that worked for longer than they may."""
    for run, seconds in over_their_limit(session):
        lifecycle.request_stop(
            session,
            run,
            f"worked for {seconds / 3600:.2g} h, and its limit is {(run.max_seconds or 0) / 3600:.4g} h: give it more "
            "and try again",
        )


def silent_for(attempt: Attempt | None, now: datetime) -> float | None:
    """Seconds since an attempt under way was heard of, if that is longer than it should be."""
    if attempt is None or attempt.outcome or now - attempt.heartbeat_at <= SILENT:
        return None
    return (now - attempt.heartbeat_at).total_seconds()


def drain(session: Session, name: str, *, draining: bool) -> Worker:
    """Have a worker end what it does and take nothing new, or take work again. Raises NotFound, Conflict."""
    worker = queries.worker(session, name)
    if worker is None:
        raise NotFound(_("there is no worker %(worker)r", worker=name))
    if draining and clock(session) - worker.last_seen_at > WORKER_AWAY:
        raise Conflict(
            _("worker %(worker)s is away: it takes nothing, and one that is started anew is not drained", worker=name)
        )
    worker.draining = draining
    session.flush()
    return worker


def forget(session: Session, name: str) -> None:
    """Take a worker that is away off the list. Raises NotFound, Conflict for one that lives or holds a run."""
    worker = queries.worker(session, name)
    if worker is None:
        raise NotFound(_("there is no worker %(worker)r", worker=name))
    if clock(session) - worker.last_seen_at <= WORKER_AWAY or queries.open_attempts(session, worker=name):
        raise Conflict(_("worker %(worker)s reported just now or holds a run: stop it first", worker=name))
    session.delete(worker)
    session.flush()
