"""Verbs on runs: queue an experiment's, claim one, cancel, try again, take a file. Of workers: worker_service."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Unpack

from sqlalchemy.orm import Session

from app import queue
from app.accounts.keys import ATTEMPT_PREFIX, digest, new_secret
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import Conflict
from app.experiments import service as experiments
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs import graph, lifecycle, queries, queue_queries
from app.runs.intake import require_current
from app.runs.jobs import job_of
from app.runs.models import Artifact, Attempt, Run
from app.runs.placement import Placement
from app.storage import Stored
from ml.contract.job import Job


@dataclass(frozen=True)
class Claimed:
    """What a worker gets for its claim."""

    job: Job
    token: str


def enqueue(session: Session, experiment: Experiment, placement: Placement | None = None) -> list[Run]:
    """Make the runs of a new experiment, and ring for those that can start."""
    runs = graph.make_runs(session, experiment, placement or Placement())
    _ring_for(session, runs)
    return runs


def queue_new(
    session: Session, contest: Contest, placement: Placement | None = None, **asked: Unpack[experiments.Asked]
) -> Experiment:
    """A new experiment with its runs. Raises Refused, and then leaves no row."""
    with session.begin_nested():
        experiment = experiments.create(session, contest, **asked)
        enqueue(session, experiment, placement)
    return experiment


def _ring_for(session: Session, runs: Sequence[Run]) -> None:
    for run in runs:
        if run.status == "queued" and not queries.unmet_needs(session, run.id):
            queue.later(session, run.id, run.queue)


def claim(session: Session, run_id: int, *, worker: str, boot_id: str, lease: timedelta) -> Claimed:
    """Give the run to this worker, whatever the queue's order. Raises Conflict when it is held, ended, or waits for
    another run. Workers of ours ask for what goes first: queue_service.claim_next.

    A worker whose claim was stored but whose answer got lost asks again and gets the same attempt with a new token.
    """
    run = queries.run(session, run_id, lock=True)
    token, now = new_secret(ATTEMPT_PREFIX), clock(session)
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


def retry_experiment(session: Session, experiment: Experiment) -> list[Run]:
    """Queue what of it failed or was cancelled again; what finished stands. Raises Conflict when nothing is to be
    tried again, or when it builds on another experiment that has no predictions.

    A pretrain that meanwhile exists elsewhere is shared, not trained a second time.
    """
    ended = [run for run in queries.runs_of(session, experiment.id) if run.status in {"failed", "cancelled"}]
    if not ended:
        nothing = _(
            "experiment %(number)s has no failed or cancelled run: there is nothing to try again", number=experiment.id
        )
        raise Conflict(nothing)
    own = {run.id for run in queries.runs_of(session, experiment.id)}
    now, again = clock(session), []
    for run in ended:
        if run.kind == "pretrain":
            contest_queries.lock_file(session, run.train_file_id)  # as graph does
        shared = queries.shared_pretrain(session, run.fingerprint, lock=True) if run.kind == "pretrain" else None
        if shared is not None:
            graph.share_instead(session, experiment, run, shared)
            continue
        for _need, needed in queries.needs_of(session, run.id):
            if needed.id not in own and needed.status in {"failed", "cancelled"}:
                told = {"run": run.id, "kind": _(needed.kind), "needed": needed.id, "status": _(needed.status)}
                first = _(
                    "run %(run)s needs %(kind)s run %(needed)s of another experiment, which is %(status)s: try that "
                    "one again first",
                    **told,
                )
                raise Conflict(first)
        lifecycle.retry(session, run, queue_queries.last_place(session), now)
        again.append(run)
    _ring_for(session, again)
    return again


def add_artifact(session: Session, run: Run, attempt: Attempt, name: str, stored: Stored) -> Artifact:
    """The row of an uploaded file. The same file twice is one row; another under the same name is a Conflict."""
    require_current(run, attempt)
    artifact = queries.attempt_artifact(session, attempt.id, name)
    if artifact is not None:
        if artifact.sha256 != stored.sha256:
            raise Conflict(f"attempt {attempt.number} of run {run.id} sent another {name} before")
        return artifact
    artifact = Artifact(
        run_id=run.id,
        attempt_id=attempt.id,
        name=name,
        sha256=stored.sha256,
        size=stored.size,
        created_at=clock(session),
    )
    run.reason = ""  # of a disk that was full
    session.add(artifact)
    session.flush()
    return artifact
