"""Reads of files that runs of a contest made, by their name."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contests.models import ContestFile
from app.experiments.models import Experiment
from app.runs.models import Artifact, Attempt, ExperimentRun, Run


def newest_named(session: Session, contest_id: int, name: str, limit: int) -> Sequence[Artifact]:
    """The files of this name that runs on the contest's files made in their latest attempts, newest run first."""
    query = (
        select(Artifact)
        .join(Run, Run.id == Artifact.run_id)
        .join(Attempt, Attempt.id == Artifact.attempt_id)
        .join(ContestFile, ContestFile.id == Run.train_file_id)
        .where(ContestFile.contest_id == contest_id, Artifact.name == name, Attempt.number == Run.attempt)
    )
    return session.scalars(query.order_by(Run.id.desc()).limit(limit)).all()


def experiments_with(session: Session, contest_id: int, name: str, limit: int) -> Sequence[Experiment]:
    """The contest's experiments one of whose runs made a file of this name, newest first; not those in the archive."""
    made = select(ExperimentRun.experiment_id).join(Artifact, Artifact.run_id == ExperimentRun.run_id)
    query = select(Experiment).where(
        Experiment.contest_id == contest_id,
        Experiment.archived_at.is_(None),
        Experiment.id.in_(made.where(Artifact.name == name)),
    )
    return session.scalars(query.order_by(Experiment.id.desc()).limit(limit)).all()
