"""A run that stands for a training done elsewhere: what somebody brought of its predictions. Called by
significance/bringing.

It was never queued and no worker has it; all that reads a finished run's files finds these as any other's.
"""

import hashlib
import io
import secrets

from sqlalchemy.orm import Session

from app.db import clock
from app.experiments import service as experiments
from app.experiments.models import Experiment
from app.runs import queries
from app.runs.models import Artifact, Attempt, ExperimentRun, Run
from app.storage import Storage
from ml.contract.events import Scored

KIND = "elsewhere"


def bring(
    session: Session,
    storage: Storage,
    experiment: Experiment,
    files: dict[str, bytes],
    scored: Scored | None,
    who: str,
) -> Run:
    """Another such run of the experiment, whose file ids are set, with these files by name; of what is not brought
    anew the last stays."""
    before, now = queries.final_run(session, experiment.id), clock(session)
    run = Run(kind=KIND, fingerprint="", config={}, status="finished", attempt=1, queued_at=now, ended_at=now)
    run.train_file_id, run.test_file_id = experiment.train_file_id or 0, experiment.test_file_id
    session.add(run)
    session.flush()
    session.add(ExperimentRun(experiment_id=experiment.id, run_id=run.id))
    digest = hashlib.sha256(secrets.token_bytes()).hexdigest()  # of a token that nobody has
    attempt = Attempt(run_id=run.id, number=1, worker=who[:100], boot_id="", token_digest=digest, outcome="finished")
    attempt.claimed_at = attempt.heartbeat_at = attempt.lease_until = attempt.ended_at = now
    session.add(attempt)
    session.flush()
    kept = {item.name: (item.sha256, item.size) for item in (queries.artifacts_of(session, before) if before else ())}
    for name, content in files.items():
        stored = storage.store(io.BytesIO(content))
        kept[name] = (stored.sha256, stored.size)
    for name, (sha256, size) in kept.items():
        row = Artifact(run_id=run.id, attempt_id=attempt.id, name=name, sha256=sha256, size=size, created_at=now)
        session.add(row)
    session.flush()
    if scored is not None:
        experiments.record_run_scores(session, experiment.id, run.id, scored)
    return run
