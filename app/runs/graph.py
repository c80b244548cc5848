"""Which runs an experiment is made of: a shared pretrain, a finetune a fold and repeat, a blend. Called by service."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.db import clock
from app.errors import FieldError, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs import queries, queue_queries
from app.runs.models import ExperimentRun, Run, RunNeed
from app.runs.placement import Placement, likeness_of, passes_of
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


def make_runs(session: Session, experiment: Experiment, placement: Placement) -> list[Run]:
    """The rows of an experiment's runs, in the order in which they work.

    Raises Refused for an experiment without a config, and for one that needs an experiment which did not succeed.
    """
    if experiment.config is None or experiment.train_file_id is None or experiment.fingerprint is None:
        raise Refused(_("experiment %(number)s is external: it has nothing to run", number=experiment.id))
    config = upgrade(experiment.config)
    if config.fusion is not None:
        members = [(_final(session, number, "fusion.members"), number) for number in config.fusion.members]
        needs: list[tuple[Run, NeedRole, str]] = [(run, "member", f"experiment-{number}") for run, number in members]
        runs = [_add(session, experiment, placement, Planned("blend", needs))]
    else:
        runs = _trainings(session, experiment, config, placement)
    session.add_all([ExperimentRun(experiment_id=experiment.id, run_id=run.id) for run in runs])
    session.flush()
    return runs


def _trainings(session: Session, experiment: Experiment, config: ExperimentConfig, placement: Placement) -> list[Run]:
    needs: list[tuple[Run, NeedRole, str]] = []
    pretrain = _pretrain(session, experiment, config, placement)
    if pretrain is not None:
        needs.append((pretrain, "pretrained", ""))
    if config.finetune.soft_labels_from:
        teacher = _final(session, config.finetune.soft_labels_from, "finetune.soft_labels_from")
        needs.append((teacher, "teacher", ""))
    planned = [Planned("finetune", needs, fold, repeat) for fold, repeat in config.members]
    finetunes = [_add(session, experiment, placement, item) for item in planned]
    runs = ([pretrain] if pretrain else []) + finetunes
    if len(finetunes) > 1:
        parts: list[tuple[Run, NeedRole, str]] = [(run, "member", _label(run)) for run in finetunes]
        runs.append(_add(session, experiment, placement, Planned("blend", parts)))
    return runs


def _label(run: Run) -> str:
    return f"repeat-{run.repeat}" if run.fold is None else f"fold-{run.fold}-repeat-{run.repeat}"


def _final(session: Session, experiment_id: int, field_name: str) -> Run:
    """The run that has an experiment's predictions, or will have them."""
    run = queries.final_run(session, experiment_id, lock=True)
    if run is None or run.status in {"failed", "cancelled"} or run.is_stopping:
        message = (
            _("experiment %(number)s has no run: it has no predictions to build on", number=experiment_id)
            if run is None
            else _(
                "experiment %(number)s is %(status)s: it has no predictions to build on",
                number=experiment_id,
                status=_(run.status),
            )
        )
        raise Refused(f"{field_name}: {message}", [FieldError(field_name, message, str(experiment_id))])
    return run


def _pretrain(session: Session, experiment: Experiment, config: ExperimentConfig, placement: Placement) -> Run | None:
    """A pretrain that exists, or is under way, is shared instead of paid for again; who is in a hurry hurries it."""
    if config.pretrain is None:
        return None
    fingerprint = _pretrain_fingerprint(session, experiment, config)
    # one at a time for each train file: two that ask for the same at once would each find none
    contest_queries.lock_file(session, experiment.train_file_id)
    shared = queries.shared_pretrain(session, fingerprint, lock=True)
    if shared is not None:
        shared.priority = max(shared.priority, placement.priority)
        return shared
    return _add(session, experiment, placement, Planned("pretrain"), fingerprint)


def _pretrain_fingerprint(session: Session, experiment: Experiment, config: ExperimentConfig) -> str:
    ids = {
        "train": experiment.train_file_id,
        "test": experiment.test_file_id,
        "unlabelled": experiment.unlabelled_file_id,
    }
    files = {role: contest_queries.file_by_id(session, number).sha256 for role, number in ids.items() if number}
    return pretrain_fingerprint(config, files)


def require_predictions(session: Session, members: Sequence[int]) -> None:
    """Raise Refused for a member of a fusion that has no predictions, and will have none."""
    for number in members:
        _final(session, number, "fusion.members")


def foreseen(session: Session, experiment: Experiment) -> tuple[Run | None, list[RunKind]]:
    """What make_runs would do with this row, which need not be added: the pretrain that it would share, and the kinds
    of the runs that it would make. Raises Refused as make_runs does."""
    config = upgrade(experiment.config or {})
    if config.fusion is not None:
        require_predictions(session, config.fusion.members)
        return None, ["blend"]
    shared, new = None, list[RunKind]()
    if config.pretrain is not None:
        shared = queries.shared_pretrain(session, _pretrain_fingerprint(session, experiment, config))
        new += [] if shared else ["pretrain"]
    if config.finetune.soft_labels_from:
        _final(session, config.finetune.soft_labels_from, "finetune.soft_labels_from")
    new += ["finetune"] * len(config.members)
    return shared, new + (["blend"] if len(config.members) > 1 else [])


def _add(
    session: Session, experiment: Experiment, placement: Placement, planned: Planned, fingerprint: str = ""
) -> Run:
    config = upgrade(experiment.config or {})
    files = (experiment.train_file_id, experiment.test_file_id, experiment.unlabelled_file_id)
    place, now = queue_queries.last_place(session), clock(session)
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
        queued_at=now,
        place=place,
        likeness=likeness_of(config, planned.kind, files),
        passes=passes_of(config, planned.kind),
        **placement.columns(),
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


def share_instead(session: Session, experiment: Experiment, ended: Run, shared: Run) -> None:
    """The experiment's runs read `shared` in the place of a pretrain of the same fingerprint that did not succeed."""
    for run in queries.runs_of(session, experiment.id):
        for need, needed in queries.needs_of(session, run.id):
            if needed.id == ended.id:
                session.delete(need)
                session.flush()
                session.add(
                    RunNeed(
                        run_id=run.id, needs_run_id=shared.id, role=need.role, position=need.position, label=need.label
                    )
                )
    session.delete(session.get_one(ExperimentRun, (experiment.id, ended.id)))
    session.flush()
    if session.get(ExperimentRun, (experiment.id, shared.id)) is None:
        session.add(ExperimentRun(experiment_id=experiment.id, run_id=shared.id))
    session.flush()
