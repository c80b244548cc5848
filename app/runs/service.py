"""Verbs on runs: queue an experiment's, claim one, cancel, take a file, note that a worker lives."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app import queue
from app.accounts.service import digest, new_secret
from app.db import clock
from app.errors import Conflict, Refused
from app.experiments.models import Experiment
from app.runs import graph, lifecycle, queries
from app.runs.intake import require_current
from app.runs.jobs import job_of
from app.runs.models import Artifact, Attempt, Run, Worker
from app.storage import Storage, Stored
from ml.contract.job import Job

#: a worker that has not reported for this long is taken as away
WORKER_AWAY = timedelta(seconds=45)


@dataclass(frozen=True)
class Claimed:
    """What a worker gets for its claim."""

    job: Job
    token: str


def enqueue(session: Session, experiment: Experiment) -> list[Run]:
    """Make the runs of a new experiment, and ring for those that can start."""
    runs = graph.make_runs(session, experiment)
    for run in runs:
        if run.status == "queued" and not queries.unmet_needs(session, run.id):
            queue.later(session, run.id)
    return runs


def claim(session: Session, run_id: int, *, worker: str, boot_id: str, lease: timedelta) -> Claimed:
    """Give the run to this worker. Raises Conflict when it is held, ended, or waits for another run.

    A worker whose claim was stored but whose answer got lost asks again and gets the same attempt with a new token.
    """
    run = queries.run(session, run_id, lock=True)
    token, now = new_secret("pb-attempt"), clock(session)
    held = queries.current_attempt(session, run)
    if (
        held
        and run.status == "running"
        and (held.worker, held.boot_id, held.stored_events, held.outcome) == (worker, boot_id, 0, "")
    ):
        held.token_digest, held.lease_until = digest(token), now + lease
        session.flush()
        return Claimed(job_of(session, run), token)
    if waits_for := queries.unmet_needs(session, run.id):
        first = waits_for[0]
        raise Conflict(f"run {run.id} waits for {first.kind} run {first.id}, which is {first.status}")
    lifecycle.claim(session, run, worker=worker, boot_id=boot_id, token_digest=digest(token), lease=lease, now=now)
    return Claimed(job_of(session, run), token)


def worker_seen(session: Session, name: str, boot_id: str, busy_run_id: int | None) -> None:
    """A worker reports itself. One with a new boot id was started anew: what its predecessor held is free at once."""
    now = clock(session)
    worker = queries.worker(session, name)
    if worker is None:
        worker = Worker(name=name, boot_id="", last_seen_at=now)
        session.add(worker)
    if worker.boot_id != boot_id:
        for attempt in queries.open_attempts(session, worker=name):
            if attempt.boot_id != boot_id:
                _lose(session, attempt, now, f"worker {name} stopped in the middle of it and was started anew")
    worker.boot_id, worker.busy_run_id, worker.last_seen_at = boot_id, busy_run_id, now
    session.flush()


def expire_leases(session: Session) -> None:
    """Runs whose worker went silent for longer than its lease return to the queue."""
    now = clock(session)
    for attempt in queries.open_attempts(session, expired_at=now):
        silent = round((now - attempt.heartbeat_at).total_seconds())
        _lose(session, attempt, now, f"worker {attempt.worker} was silent for {silent} s")


def _lose(session: Session, attempt: Attempt, now: datetime, reason: str) -> None:
    run = queries.run(session, attempt.run_id, lock=True)
    session.refresh(attempt)
    if attempt.outcome:
        return
    lifecycle.return_to_queue(session, run, attempt, "lost", now, reason)


def discard_checkpoints(session: Session, storage: Storage) -> None:
    """Free the disk of checkpoints that nobody will go on from. One that came just now waits for the next time."""
    for artifact in queries.needless_checkpoints(session):
        if queries.is_named_elsewhere(session, artifact) or storage.forget(artifact.sha256):
            session.delete(artifact)
            session.flush()


def cancel_experiment(session: Session, experiment: Experiment) -> None:
    """Cancel its runs, last first; a pretrain that another experiment waits for goes on."""
    now = clock(session)
    for run in reversed(queries.runs_of(session, experiment.id)):
        if not (run.kind == "pretrain" and queries.needed_by_others(session, run.id, experiment.id)):
            lifecycle.request_cancel(session, run, now)


def cancel_run(session: Session, run_id: int) -> Run:
    """Cancel one run, and what waits for it."""
    run = queries.run(session, run_id, lock=True)
    lifecycle.request_cancel(session, run, clock(session))
    return run


def add_artifact(session: Session, run: Run, attempt: Attempt, name: str, stored: Stored, sha256: str) -> Artifact:
    """The row of an uploaded file. The same file twice is one row; another under the same name is a Conflict."""
    require_current(run, attempt)
    if stored.sha256 != sha256:
        raise Refused(f"{name}: {stored.size} bytes arrived with sha256 {stored.sha256}, not {sha256}: send it again")
    artifact = queries.attempt_artifact(session, attempt.id, name)
    if artifact is not None:
        if artifact.sha256 != sha256:
            raise Conflict(f"attempt {attempt.number} of run {run.id} sent another {name} before")
        return artifact
    artifact = Artifact(
        run_id=run.id, attempt_id=attempt.id, name=name, sha256=sha256, size=stored.size, created_at=clock(session)
    )
    session.add(artifact)
    session.flush()
    return artifact
