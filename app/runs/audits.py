"""What leak audits found of an experiment's splits: its row's badge, and the reports behind it. Called by intake, and
by the page and REST of an experiment's leaks."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.experiments import queries as experiment_queries
from app.experiments import service as experiments
from app.experiments.models import Experiment
from app.runs import queries
from app.runs.models import Run
from app.storage import Storage
from ml.contract.events import Audited
from ml.contract.experiment import upgrade
from ml.contract.leaks import REPORT, Check, Drift, LeakReport, worst


@dataclass(frozen=True)
class RunAudit:
    """Of one run. `report` is None until the run has ended and left it; `checks` are then those of the event."""

    run: Run
    verdict: str
    checks: tuple[Check, ...]
    drifts: tuple[Drift, ...]
    report: LeakReport | None
    seconds: float


def settle(session: Session, run: Run) -> None:
    """Write what was found onto the rows that the run works for."""
    for experiment_id in queries.experiment_ids_of(session, run.id):
        experiment = experiment_queries.experiment(session, experiment_id)
        # before the others are read: folds are audited at the same time, and the last one must see all
        session.refresh(experiment, with_for_update=True)
        found = _of_members(session, experiment) or queries.audits_of(session, experiment_id)
        if found:
            experiments.record_audit(session, experiment, worst(found))


def _of_members(session: Session, experiment: Experiment) -> list[str]:
    """A fusion holds nothing out itself: it is as its members are."""
    fusion = upgrade(experiment.config or {}).fusion
    members = fusion.members if fusion else ()
    return [found for number in members if (found := experiment_queries.experiment(session, number).audit)]


def audits(session: Session, storage: Storage, experiment: Experiment) -> list[RunAudit]:
    """Of the experiment's trainings, in order; of its pretrain alone until one of them was audited."""
    runs = [run for run in queries.runs_of(session, experiment.id) if "audited" in (run.summary or {})]
    trainings = [run for run in runs if run.kind == "finetune"]
    return [_of(session, storage, run) for run in trainings or runs]


def _of(session: Session, storage: Storage, run: Run) -> RunAudit:
    told = Audited.model_validate((run.summary or {})["audited"])
    file = next((item for item in queries.artifacts_of(session, run) if item.name == REPORT), None)
    if file is None:
        return RunAudit(run, told.verdict, told.checks, (), None, told.seconds)
    report = LeakReport.model_validate_json(storage.path(file.sha256).read_bytes())
    return RunAudit(run, report.verdict, report.checks, report.drifts, report, told.seconds)
