"""Tells webhooks of a score that is the best of its contest so far. Called by service, before the score is stored."""

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.experiments import queries
from app.experiments.models import Experiment
from app.webhooks import outbox
from ml.contract.scores import METRICS

#: a train score is no achievement
TOLD = ("valid", "online")


def tell(session: Session, experiment: Experiment, split: str, metric: str, value: float) -> None:
    """Nothing unless it is better than every other of the contest's table, this experiment's earlier ones included.
    What a leak flatters is never the best, and an archived row is out of the race."""
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    if metric != contest.metric or split not in TOLD or not _counts(split, experiment):
        return
    if not outbox.is_heard(session, contest.id, "score.best"):
        return
    higher = METRICS[metric].higher_is_better
    before = queries.best_value(session, contest.id, split, metric, higher=higher)
    if before is None or (value > before if higher else value < before):
        told = {"experiment": experiment.id, "name": experiment.name, "path": f"/experiments/{experiment.id}"}
        scored = {"split": split, "metric": metric, "value": value, "before": before}
        outbox.note(session, contest.id, "score.best", {**told, **scored})


def _counts(split: str, experiment: Experiment) -> bool:
    return experiment.archived_at is None and (split == "online" or "leaking" not in experiment.marks)
