"""What an experiment needs of others: a fusion's members, a student's teacher. Called by service."""

from typing import NoReturn

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import FieldError, NotFound, Refused
from app.experiments import queries
from app.experiments.models import Experiment
from app.language import gettext as _
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
                "finetune.soft_labels_from",
                _("experiment %(id)s was trained on another train file", id=teacher.id),
                teacher.id,
            )
        asked = upgrade(teacher.config or {})
        if not asked.data.folds:
            _refuse(
                "finetune.soft_labels_from",
                _(
                    "experiment %(id)s has no folds, so it predicts only its valid part: name one with data.folds",
                    id=teacher.id,
                ),
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
        _refuse(field, _("contest %(slug)s has no experiment %(id)s", slug=repr(contest.slug), id=number), number)
    if found.config is None and found.train_file_id is None:  # nobody brought any
        _refuse(
            field,
            _("experiment %(id)s was trained elsewhere: pairboard has no predictions of it", id=number),
            number,
        )
    return found


def _same_files(member: Experiment, train_file_id: int, test_file_id: int | None, field: str) -> None:
    if member.train_file_id != train_file_id:
        _refuse(field, _("experiment %(id)s was trained on another train file", id=member.id), member.id)
    if member.test_file_id != test_file_id:
        _refuse(field, _("experiment %(id)s predicts another test file, or none", id=member.id), member.id)


def _one_split(members: list[Experiment]) -> None:
    """Members that were validated on different rows can't be compared, let alone blended."""
    first = None
    for member in members:
        if member.config is None:
            continue  # its rows alone say of which split it is: the page and the run compare them
        asked = upgrade(member.config or {})
        if asked.data.full_data:
            _refuse(
                "fusion.members", _("experiment %(id)s has no valid part (data.full_data)", id=member.id), member.id
            )
        if asked.augment.augment_before_split:
            _refuse(
                "fusion.members",
                _("experiment %(id)s was validated on made-up rows (it leaks)", id=member.id),
                member.id,
            )
        own = {name: getattr(asked.data, name) for name in _SPLIT}
        if not asked.data.folds:
            own["valid_fraction"] = asked.data.valid_fraction
        if first is None:
            first, of = own, member.id
        elif own != first:
            differing = ", ".join(name for name in own if own.get(name) != first.get(name))
            _refuse(
                "fusion.members",
                _(
                    "experiments %(first)s and %(second)s are of different splits (data: %(fields)s): blend "
                    "experiments whose split fields are the same",
                    first=of,
                    second=member.id,
                    fields=differing or "folds",
                ),
                member.id,
            )


def _refuse(field: str, message: str, number: int) -> NoReturn:
    raise Refused(f"{field}: {message}", [FieldError(field, message, str(number))])
