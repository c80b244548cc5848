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
from app.language import gettext as _
from app.runs import queries, telling
from app.runs.models import Attempt, Run

log = logging.getLogger(__name__)
#: the first lost worker is taken for bad luck; from the second on the run waits, twice as long each time
RETRY_AFTER, LONGEST_RETRY = timedelta(seconds=10), timedelta(minutes=10)
LAST_WORDS = 20


def claim(
    session: Session, run: Run, *, worker: str, boot_id: str, token_digest: str, lease: timedelta, now: datetime
) -> Attempt:
    """queued -> running: this worker holds the run until its lease ends. Raises Conflict when it is not to be had."""
    fresh = {"progress": None, "reason": "", "detail": "", "not_before": None}
    number = session.scalar(
        update(Run)
        .where(Run.id == run.id, Run.status == "queued")
        .values(status="running", attempt=Run.attempt + 1, started_at=now, **fresh)
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
    log.info("claimed by %s", worker, extra=_ids(run, attempt))
    return attempt


def finish(session: Session, run: Run, attempt: Attempt, now: datetime) -> None:
    """running -> finished; what waited for it may start."""
    _leave_running(session, run, attempt, "finished", now)
    telling.finished(session, run)
    for waiting in queries.waiting_for(session, run.id):
        if not queries.unmet_needs(session, waiting.id):
            queue.later(session, waiting.id, waiting.queue)


def fail(session: Session, run: Run, attempt: Attempt, now: datetime, reason: str, detail: str = "") -> None:
    """running -> failed, and so does what waited for it."""
    _leave_running(session, run, attempt, "failed", now, reason, detail)
    telling.failed(session, run, reason)
    _end_waiting(session, run, "failed", now, f"{run.kind} run {run.id} failed: {reason}")


def cancelled(session: Session, run: Run, attempt: Attempt, now: datetime) -> None:
    """running -> cancelled: the worker stopped as it was told to; failed when it was told to for a broken limit."""
    if run.stop_reason:
        fail(session, run, attempt, now, run.stop_reason)
        return
    _leave_running(session, run, attempt, "cancelled", now, "cancelled")
    _end_waiting(session, run, "cancelled", now, f"{run.kind} run {run.id} was cancelled")


def return_to_queue(
    session: Session,
    run: Run,
    attempt: Attempt,
    outcome: Literal["returned", "lost"],
    now: datetime,
    reason: str,
    detail: str = "",
) -> None:
    """running -> queued, with the reason, at its old place; cancelled if that was asked for; failed after as many lost
    workers as the run may cost."""
    if run.cancel_requested:
        cancelled(session, run, attempt, now)
        return
    not_before = None
    if outcome == "lost":
        lost = queries.lost_attempts(session, run) + 1
        if lost >= run.max_attempts:
            end_attempt(attempt, "lost", now, reason)
            detail = "\n\n".join(filter(None, (detail, queries.last_words(session, attempt, LAST_WORDS))))
            fail(session, run, attempt, now, f"was lost {lost} times; the last time: {reason}", detail)
            return
        if lost > 1:
            not_before = now + min(RETRY_AFTER * 2 ** (lost - 2), LONGEST_RETRY)
    _move(session, run, attempt, status="queued", reason=reason, rung_at=None, progress=None, not_before=not_before)
    end_attempt(attempt, outcome, now, reason)
    if not_before is None:
        queue.later(session, run.id, run.queue)
    log.warning("back in the queue: %s", reason, extra=_ids(run, attempt))


def retry(session: Session, run: Run, place: int, now: datetime) -> None:
    """failed or cancelled -> queued, behind what waits; what it lost before does not count. Raises Conflict."""
    again = {"queued_at": now, "rung_at": None, "started_at": None, "ended_at": None, "not_before": None}
    blank = {
        "reason": "",
        "detail": "",
        "progress": None,
        "summary": None,
        "stop_reason": "",
        "cancel_requested": False,
    }
    moved = session.scalar(
        update(Run)
        .where(Run.id == run.id, Run.status.in_(("failed", "cancelled")))
        .values(status="queued", tries_from=Run.attempt, place=place, **again, **blank)
        .returning(Run.id)
    )
    session.refresh(run)
    if moved is None:
        told = {"run": run.id, "status": _(run.status)}
        raise Conflict(_("run %(run)s is %(status)s: only a failed or cancelled one is tried again", **told))


def request_stop(session: Session, run: Run, reason: str) -> None:
    """A running run is told to stop in the answer to its worker's next message, and ends as failed with this reason."""
    if run.status == "running" and not run.cancel_requested:
        run.cancel_requested, run.stop_reason = True, reason
        session.flush()


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
        run.cancel_requested, run.stop_reason = True, ""
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
    log.info("%s%s", status, f": {reason}" if reason else "", extra=_ids(run, attempt))


def _ids(run: Run, attempt: Attempt) -> dict[str, int]:
    return {"run": run.id, "attempt": attempt.number}


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
