"""A fusion of rows that were ticked: what its form starts from, and the row itself without a form. Called by
form_pages, the table, and the pages and REST that judge blends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.experiments import queries, relatives
from app.experiments import service as experiments
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs import graph, service
from app.runs import queries as run_queries
from app.runs.placement import Placement
from ml.contract.experiment import ExperimentConfig, upgrade
from ml.contract.fusion_config import METHODS, MOST_MEMBERS, FusionConfig, Method


@dataclass(frozen=True)
class Fusion:
    """The config of the first member with fusion on, the members' files, and a name."""

    config: dict[str, Any]
    name: str
    train_file_id: int
    test_file_id: int | None


def fused(session: Session, contest: Contest, ids: Sequence[int], method: Method = "rank_mean") -> Fusion:
    """A fusion of these experiments. Raises Refused that says which of them can't be fused and why, NotFound."""
    numbers = tuple(dict.fromkeys(ids))
    if not 2 <= len(numbers) <= MOST_MEMBERS:
        message = _("tick 2 to 50 rows to fuse them; ticked: %(count)s", count=len(numbers))
        raise Refused(message, [FieldError("fusion.members", message)])
    members = queries.chosen(session, contest.id, numbers)
    own = [member for member in members if member.config is not None and member.train_file_id is not None]
    base = (own or members)[0]
    asked: ExperimentConfig = upgrade(base.config or {})
    config = asked.model_copy(update={"fusion": FusionConfig(members=numbers, method=method)})
    relatives.check(session, contest, config, base.train_file_id or 0, base.test_file_id)
    graph.require_predictions(session, numbers)
    names = " + ".join(member.name for member in members)
    assert base.train_file_id is not None  # noqa: S101 - relatives.check refuses one without a config
    return Fusion(config.model_dump(), names[:200], base.train_file_id, base.test_file_id)


def make(
    session: Session, contest: Contest, ids: Sequence[int], method: Method, placement: Placement, made_by: str
) -> tuple[Experiment, bool]:
    """The row of this fusion with its run, and whether it is new: a second click leads to the first one's row. Raises
    as `fused` does."""
    asked = _asked(fused(session, contest, sorted(set(ids)), method), method) | {"made_by": made_by}
    contest_queries.lock_file(session, asked["train_file_id"])
    standing = _standing(session, contest, asked)
    if standing is not None:
        return standing, False
    return service.queue_new(session, contest, placement, **asked), True


def made(session: Session, contest: Contest, ids: Sequence[int]) -> dict[Method, int]:
    """By method the row of such a fusion that there is already. Raises as `fused` does."""
    fusion, found = fused(session, contest, sorted(set(ids))), dict[Method, int]()
    for method in METHODS:
        standing = _standing(session, contest, _asked(fusion, method))
        if standing is not None:
            found[method] = standing.id
    return found


def _asked(fusion: Fusion, method: Method) -> experiments.Asked:
    # nothing is pretrained, so no file for it is asked for; the members' other fields say of which split the row is
    changes = {"fusion": {**fusion.config["fusion"], "method": method}, "pretrain": None}
    return {
        "name": f"{method}: {fusion.name}"[:200],
        "config": ExperimentConfig.model_validate({**fusion.config, **changes}),
        "train_file_id": fusion.train_file_id,
        "test_file_id": fusion.test_file_id,
    }


def _standing(session: Session, contest: Contest, asked: experiments.Asked) -> Experiment | None:
    """The first row that asked for the same and has predictions, or will have them."""
    fingerprint = experiments.prepared(session, contest, **asked).fingerprint
    for number in queries.same_fingerprint(session, contest.id, fingerprint or ""):
        run, experiment = run_queries.final_run(session, number), queries.experiment(session, number)
        ended_badly = run is None or run.status in {"failed", "cancelled"} or run.is_stopping
        if not ended_badly and experiment.archived_at is None:
            return experiment
    return None
