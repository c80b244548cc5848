"""Reads of rows that were scored on the same split."""

from typing import Any

from sqlalchemy import BigInteger, Select, case, cast, exists, func, select
from sqlalchemy.orm import Session, aliased

from app.contests.models import Contest
from app.experiments.models import Experiment, ExperimentField, Score

#: with the train file they say which rows are held out (ml.split)
SPLIT_FIELDS = ("data.split_by", "data.valid_fraction", "data.folds", "data.split_seed", "data.full_data")


def scored_on_the_split_of(session: Session, experiment: Experiment) -> int:
    """How many experiments of the contest have a valid score on this one's split; itself and archived ones count."""
    query = select(func.count(Experiment.id)).where(
        Experiment.contest_id == experiment.contest_id,
        Experiment.train_file_id == experiment.train_file_id,
        exists().where(Score.experiment_id == Experiment.id, Score.split == "valid"),
    )
    own = dict(
        session.execute(
            select(ExperimentField.name, ExperimentField.text).where(
                ExperimentField.contest_id == experiment.contest_id,
                ExperimentField.name.in_(SPLIT_FIELDS),
                ExperimentField.experiment_id == experiment.id,
            )
        ).all()
    )
    for name, text in own.items():
        other = aliased(ExperimentField)
        query = query.join(
            other,
            (other.contest_id == experiment.contest_id)
            & (other.name == name)
            & (other.experiment_id == Experiment.id)
            & (other.text == text),
        )
    return session.scalar(query) or 0


def _with_valid(contest: Contest) -> Select[Any]:
    """Rows of the table, not of the archive, with a valid score."""
    of_table = Experiment.contest_id == contest.id, Experiment.archived_at.is_(None)
    return select(Experiment).where(*of_table, Experiment.shown_valid.is_not(None))


#: beyond, values count as this one: the sum has to stay in 64 bits
_MOST = 1000.0


def stamp(session: Session, contest: Contest) -> str:
    """Another one when valid scores came or rows went."""
    # whole numbers: of floats the sum depends on the order of rows, which every update changes on Postgres
    value = case((Experiment.shown_valid > _MOST, _MOST), else_=Experiment.shown_valid)
    billionths = func.sum(cast(value * 1e9, BigInteger))
    columns = func.count(), func.sum(Experiment.id), billionths
    return "/".join(str(part or 0) for part in session.execute(_with_valid(contest).with_only_columns(*columns)).one())


def best_valid(session: Session, contest: Contest, limit: int, higher_is_better: bool) -> tuple[int, list[Experiment]]:
    """How many rows have a valid score, and the best of them, of the same score the older first."""
    query = _with_valid(contest)
    total = session.scalar(query.with_only_columns(func.count())) or 0
    order = Experiment.shown_valid.desc() if higher_is_better else Experiment.shown_valid.asc()
    return total, list(session.scalars(query.order_by(order, Experiment.id).limit(limit)))
