"""Puts a run into the words of the contract: the Job that a worker is given."""

from typing import cast

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import ContestFile
from app.runs import queries
from app.runs.models import Artifact, Run, RunNeed
from ml.contract.experiment import upgrade
from ml.contract.fingerprint import pretrain_reads
from ml.contract.job import Job, JobInput, Role, RunKind
from ml.contract.pair_file import PairFileLayout

#: what a blend and a student read of another run
_PREDICTIONS = {
    "member": ("valid_predictions.tsv", "test_predictions.tsv", "scores.json"),
    "teacher": ("valid_predictions.tsv",),
}


def job_of(session: Session, run: Run, attempt: int | None = None) -> Job:
    """The job of a run's current attempt, or of another number. Its inputs are named by hash,
    by which the worker fetches them."""
    config = upgrade(run.config)
    reads = pretrain_reads(config) if run.kind == "pretrain" else {"test"}
    inputs = [_pair_file("train", contest_queries.file_by_id(session, run.train_file_id))]
    if run.test_file_id is not None and "test" in reads:
        inputs.append(_pair_file("test", contest_queries.file_by_id(session, run.test_file_id)))
    if run.unlabelled_file_id is not None and "unlabelled" in reads:
        inputs.append(_pair_file("unlabelled", contest_queries.file_by_id(session, run.unlabelled_file_id)))
    for need, needed in queries.needs_of(session, run.id):
        inputs += _made_by(session, need, needed)
    inputs += [_made("checkpoint", "checkpoint", saved) for saved in queries.checkpoints_of(session, run.id)]
    return Job(
        run_id=run.id,
        attempt=run.attempt if attempt is None else attempt,
        kind=cast(RunKind, run.kind),
        config=config,
        inputs=tuple(inputs),
        fold=run.fold,
        repeat=run.repeat,
    )


def _made_by(session: Session, need: RunNeed, needed: Run) -> list[JobInput]:
    """The files of another run that this one reads."""
    wanted = _PREDICTIONS.get(need.role)
    return [
        _made(cast(Role, need.role), need.label or need.role, artifact)
        for artifact in queries.artifacts_of(session, needed)
        if wanted is None or artifact.name in wanted
    ]


def _made(role: Role, folder: str, artifact: Artifact) -> JobInput:
    return JobInput(
        role=role,
        path=f"inputs/{folder}/{artifact.name}",
        name=artifact.name,
        sha256=artifact.sha256,
        size=artifact.size,
    )


def _pair_file(role: Role, file: ContestFile) -> JobInput:
    return JobInput(
        role=role,
        path=f"inputs/{role}.tsv",
        name=file.name,
        sha256=file.sha256,
        size=file.size,
        layout=PairFileLayout.model_validate(file.layout),
        rows=file.rows,
    )
