"""Reads of rows with their valid and online scores as the table shows them, and of what they predicted for the test."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.contests.models import Contest
from app.experiments.models import Experiment, ExperimentField, Score
from app.runs.models import Artifact, Attempt, ExperimentRun, Run
from app.significance.queries import SPLIT_FIELDS

TEST_FILE = "test_predictions.tsv"


def scored_rows(session: Session, contest: Contest) -> Sequence[Any]:
    """Rows of the table, oldest first, that have a valid or an online score in the contest's metric."""
    valid, online = aliased(Score), aliased(Score)
    query = (
        select(
            *(Experiment.id, Experiment.name, Experiment.origin, Experiment.marks),
            *(Experiment.train_file_id, Experiment.test_file_id),
            *(valid.value.label("valid"), valid.low, valid.high, valid.uncertain.label("valid_uncertain")),
            *(online.value.label("online"), online.text, online.note, online.uncertain.label("online_uncertain")),
        )
        .outerjoin(valid, _latest(valid, contest.metric, "valid"))
        .outerjoin(online, _latest(online, contest.metric, "online"))
        .where(Experiment.contest_id == contest.id, Experiment.archived_at.is_(None))
        .where(or_(valid.id.is_not(None), online.id.is_not(None)))
    )
    return session.execute(query.order_by(Experiment.id)).all()


def _latest(score: Any, metric: str, split: str) -> ColumnElement[bool]:
    return and_(score.experiment_id == Experiment.id, score.metric == metric, score.split == split, score.latest)


def split_settings(session: Session, contest_id: int) -> dict[int, tuple[tuple[str, str], ...]]:
    """Of each experiment with a config the fields that say which rows it held out, by name."""
    query = select(ExperimentField.experiment_id, ExperimentField.name, ExperimentField.text).where(
        ExperimentField.contest_id == contest_id, ExperimentField.name.in_(SPLIT_FIELDS)
    )
    found: dict[int, list[tuple[str, str]]] = {}
    for number, name, text in session.execute(query.order_by(ExperimentField.name)):
        found.setdefault(number, []).append((name, text))
    return {number: tuple(fields) for number, fields in found.items()}


def test_predictions(session: Session, contest_id: int) -> dict[int, str]:
    """By experiment the hash of what its last run, once finished, predicted for the test file."""
    final = (
        select(ExperimentRun.experiment_id, func.max(Run.id).label("run_id"))
        .join(Run, Run.id == ExperimentRun.run_id)
        .join(Experiment, Experiment.id == ExperimentRun.experiment_id)
        .where(Experiment.contest_id == contest_id, Run.kind != "pretrain")
        .group_by(ExperimentRun.experiment_id)
        .subquery()
    )
    query = (
        select(final.c.experiment_id, Artifact.sha256)
        .join(Run, Run.id == final.c.run_id)
        .join(Attempt, and_(Attempt.run_id == Run.id, Attempt.number == Run.attempt))
        .join(Artifact, and_(Artifact.attempt_id == Attempt.id, Artifact.name == TEST_FILE))
        .where(Run.status == "finished")
    )
    return {row.experiment_id: row.sha256 for row in session.execute(query)}
