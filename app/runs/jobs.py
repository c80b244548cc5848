"""Puts a run into the words of the contract: the Job that a worker is given."""

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import ContestFile
from app.runs import queries
from app.runs.models import Run
from ml.contract.experiment import upgrade
from ml.contract.job import Job, JobInput, Role
from ml.contract.pair_file import PairFileLayout


def job_of(session: Session, run: Run) -> Job:
    """The job of a claimed run. Inputs lie under inputs/ beside job.json; the worker fetches them by hash."""
    inputs = [_pair_file("train", contest_queries.file_by_id(session, run.train_file_id))]
    if run.test_file_id is not None and run.kind == "finetune":
        inputs.append(_pair_file("test", contest_queries.file_by_id(session, run.test_file_id)))
    if run.pretrain_run_id is not None:
        pretrain = queries.run(session, run.pretrain_run_id)
        inputs += [
            JobInput(
                role="pretrained",
                path=f"inputs/pretrained/{artifact.name}",
                name=artifact.name,
                sha256=artifact.sha256,
                size=artifact.size,
            )
            for artifact in queries.artifacts_of(session, pretrain)
        ]
    return Job(
        run_id=run.id,
        attempt=run.attempt,
        kind="pretrain" if run.kind == "pretrain" else "finetune",
        config=upgrade(run.config),
        inputs=tuple(inputs),
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
