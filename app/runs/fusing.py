"""What the form of a fusion starts from when its members were ticked. Called by form_pages and the table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.experiments import queries, relatives
from app.language import gettext as _
from app.runs import graph
from ml.contract.experiment import ExperimentConfig, upgrade
from ml.contract.fusion_config import FusionConfig


@dataclass(frozen=True)
class Fusion:
    """The config of the first member with fusion on, the members' files, and a name."""

    config: dict[str, Any]
    name: str
    train_file_id: int
    test_file_id: int | None


def fused(session: Session, contest: Contest, ids: Sequence[int]) -> Fusion:
    """A fusion of these experiments. Raises Refused that says which of them can't be fused and why, NotFound."""
    numbers = tuple(dict.fromkeys(ids))
    if not 2 <= len(numbers) <= 50:
        message = _("tick 2 to 50 rows to fuse them; ticked: %(count)s", count=len(numbers))
        raise Refused(message, [FieldError("fusion.members", message)])
    members = queries.chosen(session, contest.id, numbers)
    own = [member for member in members if member.config is not None and member.train_file_id is not None]
    base = (own or members)[0]
    asked: ExperimentConfig = upgrade(base.config or {})
    config = asked.model_copy(update={"fusion": FusionConfig(members=numbers)})
    relatives.check(session, contest, config, base.train_file_id or 0, base.test_file_id)
    graph.require_predictions(session, numbers)
    names = " + ".join(member.name for member in members)
    assert base.train_file_id is not None  # noqa: S101 - relatives.check refuses one without a config
    return Fusion(config.model_dump(), names[:200], base.train_file_id, base.test_file_id)
