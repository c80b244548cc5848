"""What an experiment needs of others: a fusion's members, a student's teacher. Called by service."""

from typing import NoReturn

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import FieldError, NotFound, Refused
from app.experiments import queries
from app.experiments.models import Experiment
from ml.contract.experiment import ExperimentConfig, upgrade

#: fields of `data` that decide which rows are validated on
_SPLIT = ("split_by", "split_seed", "folds", "full_data")


def check(
    session: Session, contest: Contest, config: ExperimentConfig, train_file_id: int, test_file_id: int | None
) -> None:
    """Raise Refused, naming the field, unless every experiment that `config` names can serve it."""
    if config.fusion is not None:
        members = [_other(session, contest, number, "fusion.members") for number in config.fusion.members]
        for member in members:
            _same_files(member, train_file_id, test_file_id, "fusion.members")
        _one_split(members)
    if config.finetune.soft_labels_from:
        teacher = _other(session, contest, config.finetune.soft_labels_from, "finetune.soft_labels_from")
        if teacher.train_file_id != train_file_id:
            _refuse(
                "finetune.soft_labels_from", f"experiment {teacher.id} was trained on another train file", teacher.id
            )
        asked = upgrade(teacher.config or {})
        if not asked.data.folds:
            _refuse(
                "finetune.soft_labels_from",
                f"experiment {teacher.id} has no folds, so it predicts only its valid part: name one with data.folds",
                teacher.id,
            )


def marks(session: Session, config: ExperimentConfig) -> dict[str, str]:
    """The config's own marks, and those of the experiments whose predictions it is made of."""
    found = dict(config.marks) if config.fusion is None else {}
    numbers = list(config.fusion.members) if config.fusion else []
    numbers += [config.finetune.soft_labels_from] if config.finetune.soft_labels_from and not config.fusion else []
    for number in numbers:
        for mark, why in queries.experiment(session, number).marks.items():
            found.setdefault(mark, f"experiment {number}: {why}")
    return found


def _other(session: Session, contest: Contest, number: int, field: str) -> Experiment:
    try:
        found = queries.experiment(session, number)
    except NotFound:
        found = None
    if found is None or found.contest_id != contest.id:
        _refuse(field, f"contest {contest.slug!r} has no experiment {number}", number)
    if found.config is None:
        _refuse(field, f"experiment {number} was trained elsewhere: pairboard has no predictions of it", number)
    return found


def _same_files(member: Experiment, train_file_id: int, test_file_id: int | None, field: str) -> None:
    if member.train_file_id != train_file_id:
        _refuse(field, f"experiment {member.id} was trained on another train file", member.id)
    if member.test_file_id != test_file_id:
        _refuse(field, f"experiment {member.id} predicts another test file, or none", member.id)


def _one_split(members: list[Experiment]) -> None:
    """Members that were validated on different rows can't be compared, let alone blended."""
    first = None
    for member in members:
        asked = upgrade(member.config or {})
        if asked.data.full_data:
            _refuse("fusion.members", f"experiment {member.id} has no valid part (data.full_data)", member.id)
        if asked.augment.augment_before_split:
            _refuse("fusion.members", f"experiment {member.id} was validated on made-up rows (it leaks)", member.id)
        own = {name: getattr(asked.data, name) for name in _SPLIT}
        if not asked.data.folds:
            own["valid_fraction"] = asked.data.valid_fraction
        if first is None:
            first, of = own, member.id
        elif own != first:
            differing = ", ".join(name for name in own if own.get(name) != first.get(name))
            _refuse(
                "fusion.members",
                f"experiments {of} and {member.id} are of different splits (data: {differing or 'folds'}): "
                "blend experiments whose split fields are the same",
                member.id,
            )


def _refuse(field: str, message: str, number: int) -> NoReturn:
    raise Refused(f"{field}: {message}", [FieldError(field, message, str(number))])
