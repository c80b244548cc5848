"""Tells webhooks how an experiment ended. Called by lifecycle, in the transaction in which it ends."""

from typing import Any

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.runs import queries
from app.runs.models import Run
from app.webhooks import outbox


def finished(session: Session, run: Run) -> None:
    """The last run of an experiment to finish ends it; its scores stand by then."""
    for experiment in _of(session, run):
        if all(item.status == "finished" for item in queries.runs_of(session, experiment.id)):
            metric = contest_queries.contest_by_id(session, experiment.contest_id).metric
            scores = experiment_queries.scores_of(session, [experiment.id])
            told = {score.split: score.value for score in scores if score.latest and score.metric == metric}
            outbox.note(session, experiment.contest_id, "experiment.finished", {**_about(experiment), "scores": told})


def failed(session: Session, run: Run, reason: str) -> None:
    """Once an experiment, however many of its runs fail."""
    for experiment in _of(session, run):
        others = [item for item in queries.runs_of(session, experiment.id) if item.id != run.id]
        if not any(item.status == "failed" for item in others):
            told = {**_about(experiment), "run": run.id, "kind": run.kind, "reason": reason}
            outbox.note(session, experiment.contest_id, "experiment.failed", told)


def _of(session: Session, run: Run) -> list[Experiment]:
    return [experiment_queries.experiment(session, number) for number in queries.experiment_ids_of(session, run.id)]


def _about(experiment: Experiment) -> dict[str, Any]:
    return {"experiment": experiment.id, "name": experiment.name, "path": f"/experiments/{experiment.id}"}
