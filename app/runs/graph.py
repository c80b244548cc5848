"""Which runs an experiment is made of: a shared pretrain, a finetune a fold and repeat, a blend. Called by service."""

from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.db import clock
from app.errors import FieldError, Refused
from app.experiments.models import Experiment
from app.runs import queries
from app.runs.models import ExperimentRun, Run, RunNeed
from ml.contract.experiment import ExperimentConfig, upgrade
from ml.contract.fingerprint import pretrain_fingerprint
from ml.contract.job import RunKind

NeedRole = Literal["pretrained", "member", "teacher"]


@dataclass
class Planned:
    """A run to be made, and what it needs: (run, role, label)."""

    kind: RunKind
    needs: list[tuple[Run, NeedRole, str]] = field(default_factory=list)
    fold: int | None = None
    repeat: int = 0


def is_part(run: Run) -> bool:
    """Whether a run is one of several trainings whose blend speaks for the experiment."""
    return run.kind == "finetune" and len(upgrade(run.config).members) > 1


def make_runs(session: Session, experiment: Experiment) -> list[Run]:
    """The rows of an experiment's runs, in the order in which they work.

    Raises Refused for an experiment without a config, and for one that needs an experiment which did not succeed.
    """
    if experiment.config is None or experiment.train_file_id is None or experiment.fingerprint is None:
        raise Refused(f"experiment {experiment.id} is external: it has nothing to run")
    config = upgrade(experiment.config)
    if config.fusion is not None:
        members = [(_final(session, number, "fusion.members"), number) for number in config.fusion.members]
        needs: list[tuple[Run, NeedRole, str]] = [(run, "member", f"experiment-{number}") for run, number in members]
        runs = [_add(session, experiment, Planned("blend", needs))]
    else:
        runs = _trainings(session, experiment, config)
    session.add_all([ExperimentRun(experiment_id=experiment.id, run_id=run.id) for run in runs])
    session.flush()
    return runs


def _trainings(session: Session, experiment: Experiment, config: ExperimentConfig) -> list[Run]:
    needs: list[tuple[Run, NeedRole, str]] = []
    pretrain = _pretrain(session, experiment, config)
    if pretrain is not None:
        needs.append((pretrain, "pretrained", ""))
    if config.finetune.soft_labels_from:
        teacher = _final(session, config.finetune.soft_labels_from, "finetune.soft_labels_from")
        needs.append((teacher, "teacher", ""))
    finetunes = [_add(session, experiment, Planned("finetune", needs, fold, repeat)) for fold, repeat in config.members]
    runs = ([pretrain] if pretrain else []) + finetunes
    if len(finetunes) > 1:
        parts: list[tuple[Run, NeedRole, str]] = [(run, "member", _label(run)) for run in finetunes]
        runs.append(_add(session, experiment, Planned("blend", parts)))
    return runs


def _label(run: Run) -> str:
    return f"repeat-{run.repeat}" if run.fold is None else f"fold-{run.fold}-repeat-{run.repeat}"


def _final(session: Session, experiment_id: int, field_name: str) -> Run:
    """The run that has an experiment's predictions, or will have them."""
    run = queries.final_run(session, experiment_id)
    if run is None or run.status in {"failed", "cancelled"} or run.cancel_requested:
        state = "has no run" if run is None else f"is {run.status}"
        message = f"experiment {experiment_id} {state}: it has no predictions to build on"
        raise Refused(f"{field_name}: {message}", [FieldError(field_name, message, str(experiment_id))])
    return run


def _pretrain(session: Session, experiment: Experiment, config: ExperimentConfig) -> Run | None:
    """A pretrain that exists, or is under way, is shared instead of paid for again."""
    if config.pretrain is None:
        return None
    ids = {
        "train": experiment.train_file_id,
        "test": experiment.test_file_id,
        "unlabelled": experiment.unlabelled_file_id,
    }
    files = {role: contest_queries.file_by_id(session, number).sha256 for role, number in ids.items() if number}
    fingerprint = pretrain_fingerprint(config, files)
    shared = queries.shared_pretrain(session, fingerprint)
    if shared is not None:
        return shared
    return _add(session, experiment, Planned("pretrain"), fingerprint)


def _add(session: Session, experiment: Experiment, planned: Planned, fingerprint: str = "") -> Run:
    run = Run(
        kind=planned.kind,
        fingerprint=fingerprint or experiment.fingerprint,
        config=experiment.config,
        train_file_id=experiment.train_file_id,
        test_file_id=experiment.test_file_id,
        unlabelled_file_id=experiment.unlabelled_file_id,
        fold=planned.fold,
        repeat=planned.repeat,
        status="queued",
        queued_at=clock(session),
    )
    session.add(run)
    session.flush()
    session.add_all(
        [
            RunNeed(run_id=run.id, needs_run_id=needed.id, role=role, position=position, label=label)
            for position, (needed, role, label) in enumerate(planned.needs)
        ]
    )
    session.flush()
    return run
