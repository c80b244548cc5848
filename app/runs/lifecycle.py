"""The only place where a status changes: queued -> running -> finished | failed | cancelled; running -> queued.

Every change is a compare-and-set on the row: two web processes, two workers or a zombie of an older attempt can't
both win. Callers: intake (events of workers), service (people), sweeper (leases that ended).
"""

import logging
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import update
from sqlalchemy.orm import Session

from app import queue
from app.errors import Conflict
from app.runs import queries
from app.runs.models import Attempt, Run

log = logging.getLogger(__name__)
#: a run that keeps killing its worker ends as failed
MAX_LOST_ATTEMPTS = 5


def claim(
    session: Session, run: Run, *, worker: str, boot_id: str, token_digest: str, lease: timedelta, now: datetime
) -> Attempt:
    """queued -> running: this worker holds the run until its lease ends. Raises Conflict when it is not to be had."""
    number = session.scalar(
        update(Run)
        .where(Run.id == run.id, Run.status == "queued")
        .values(status="running", attempt=Run.attempt + 1, started_at=now, progress=None, reason="", detail="")
        .returning(Run.attempt)
    )
    session.refresh(run)
    if number is None:
        raise Conflict(f"run {run.id} is {run.status}: there is nothing to claim")
    attempt = Attempt(
        run_id=run.id,
        number=number,
        worker=worker,
        boot_id=boot_id,
        token_digest=token_digest,
        claimed_at=now,
        heartbeat_at=now,
        lease_until=now + lease,
    )
    session.add(attempt)
    session.flush()
    return attempt


def finish(session: Session, run: Run, attempt: Attempt, now: datetime) -> None:
    """running -> finished; what waited for it may start."""
    _leave_running(session, run, attempt, "finished", now)
    for waiting in queries.waiting_for(session, run.id):
        if not queries.unmet_needs(session, waiting.id):
            queue.later(session, waiting.id)


def fail(session: Session, run: Run, attempt: Attempt, now: datetime, reason: str, detail: str = "") -> None:
    """running -> failed, and so does what waited for it."""
    _leave_running(session, run, attempt, "failed", now, reason, detail)
    _end_waiting(session, run, "failed", now, f"{run.kind} run {run.id} failed: {reason}")


def cancelled(session: Session, run: Run, attempt: Attempt, now: datetime) -> None:
    """running -> cancelled: the worker stopped as it was told to."""
    _leave_running(session, run, attempt, "cancelled", now, "cancelled")
    _end_waiting(session, run, "cancelled", now, f"{run.kind} run {run.id} was cancelled")


def return_to_queue(
    session: Session, run: Run, attempt: Attempt, outcome: Literal["returned", "lost"], now: datetime, reason: str
) -> None:
    """running -> queued, with the reason; cancelled if that was asked for; failed after too many lost workers."""
    if run.cancel_requested:
        cancelled(session, run, attempt, now)
        return
    if outcome == "lost" and queries.lost_attempts(session, run.id) + 1 >= MAX_LOST_ATTEMPTS:
        end_attempt(attempt, "lost", now, reason)
        fail(session, run, attempt, now, f"lost its worker {MAX_LOST_ATTEMPTS} times; the last time: {reason}")
        return
    _move(session, run, attempt, status="queued", reason=reason, queued_at=now, rung_at=None, progress=None)
    end_attempt(attempt, outcome, now, reason)
    queue.later(session, run.id)
    log.warning("run %s attempt %s is back in the queue: %s", run.id, attempt.number, reason)


def request_cancel(session: Session, run: Run, now: datetime) -> None:
    """queued -> cancelled at once; a running one is told so in the answer to its worker's next message."""
    stopped = session.scalar(
        update(Run)
        .where(Run.id == run.id, Run.status == "queued")
        .values(status="cancelled", ended_at=now, reason="cancelled")
        .returning(Run.id)
    )
    session.refresh(run)
    if stopped is not None:
        _end_waiting(session, run, "cancelled", now, f"{run.kind} run {run.id} was cancelled")
    elif run.status == "running":
        run.cancel_requested = True
        session.flush()


def end_attempt(attempt: Attempt, outcome: str, now: datetime, reason: str = "") -> None:
    """Close the record of an attempt; its token opens nothing from here on."""
    if attempt.outcome == "":
        attempt.outcome, attempt.ended_at, attempt.reason = outcome, now, reason


def _leave_running(
    session: Session, run: Run, attempt: Attempt, status: str, now: datetime, reason: str = "", detail: str = ""
) -> None:
    _move(session, run, attempt, status=status, ended_at=now, reason=reason, detail=detail)
    end_attempt(attempt, status, now, reason)
    session.flush()


def _move(session: Session, run: Run, attempt: Attempt, **values: object) -> None:
    """The fence: only the attempt that holds the run moves it."""
    moved = session.scalar(
        update(Run)
        .where(Run.id == run.id, Run.status == "running", Run.attempt == attempt.number)
        .values(**values)
        .returning(Run.id)
    )
    if moved is None:
        raise Conflict(f"attempt {attempt.number} no longer holds run {run.id}")
    session.refresh(run)


def _end_waiting(session: Session, run: Run, status: str, now: datetime, reason: str) -> None:
    """What needs the run can't start any more, and neither can what needs that."""
    for waiting in queries.waiting_for(session, run.id):
        ended = session.scalar(
            update(Run)
            .where(Run.id == waiting.id, Run.status == "queued")
            .values(status=status, ended_at=now, reason=reason)
            .returning(Run.id)
        )
        session.refresh(waiting)
        if ended is not None:
            _end_waiting(session, waiting, status, now, reason)
