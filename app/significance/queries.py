"""Reads of rows that were scored on the same split."""

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

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
