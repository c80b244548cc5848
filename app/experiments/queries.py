"""Reads of experiments and their scores."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import CTE, func, select
from sqlalchemy.orm import Session

from app.accounts import access
from app.among import among
from app.errors import NotFound
from app.experiments.models import Experiment, ExperimentField, ExperimentTag, RemovedExperiment, Score
from app.language import gettext as _
from ml.contract.experiment import differences, upgrade


def experiment(session: Session, experiment_id: int) -> Experiment:
    """The experiment of this id. Raises NotFound, and Forbidden as access.lets does."""
    found = session.get(Experiment, experiment_id)
    if found is None or not access.lets(found.contest_id):
        raise NotFound(_("there is no experiment %(id)s", id=experiment_id))
    return found


def free_number(session: Session) -> Any:
    """For a new experiment; None where the database counts by itself. SQLite would give the number of a removed row
    again, and what people wrote down of it would mean another."""
    if session.get_bind().dialect.name != "sqlite":
        return None
    newest = session.scalar(select(func.max(Experiment.id))) or 0
    return max(newest, session.scalar(select(func.max(RemovedExperiment.id))) or 0) + 1


def changes_from_parent(session: Session, experiment: Experiment) -> dict[str, tuple[Any, Any]]:
    """Fields in which a variant's config differs from its parent's: (the parent's value, its own)."""
    parent = session.get(Experiment, experiment.parent_id) if experiment.parent_id else None
    if parent is None or parent.config is None or experiment.config is None:
        return {}
    return differences(*(upgrade(item.config or {}).model_dump(mode="json") for item in (parent, experiment)))


def experiments_of(session: Session, contest_id: int) -> Sequence[Experiment]:
    """The contest's experiments, oldest first."""
    return session.scalars(select(Experiment).where(Experiment.contest_id == contest_id).order_by(Experiment.id)).all()


def chosen(session: Session, contest_id: int, ids: Sequence[int]) -> Sequence[Experiment]:
    """The contest's experiments of these ids, in their order. Raises NotFound that names the missing."""
    query = select(Experiment).where(Experiment.contest_id == contest_id, Experiment.id.in_(ids))
    found = {experiment.id: experiment for experiment in session.scalars(query)}
    if missing := [str(number) for number in dict.fromkeys(ids) if number not in found]:
        raise NotFound(_("this contest has no experiment %(ids)s", ids=", ".join(missing)))
    return [found[number] for number in dict.fromkeys(ids)]


def tags_of(session: Session, experiment_ids: Sequence[int]) -> dict[int, list[str]]:
    """Tags of each of these experiments that has any, in order."""
    query = select(ExperimentTag.experiment_id, ExperimentTag.tag).order_by(ExperimentTag.tag)
    tags: dict[int, list[str]] = {}
    for row in session.execute(query.where(among(ExperimentTag.experiment_id, experiment_ids))):
        tags.setdefault(row.experiment_id, []).append(row.tag)
    return tags


def _every_tag() -> CTE:
    """The tags of all rows, from one to the next by the index: they are few beside the rows that have them."""
    first = select(func.min(ExperimentTag.tag).label("tag")).cte("tags", recursive=True)
    following = select(func.min(ExperimentTag.tag)).where(ExperimentTag.tag > first.c.tag).scalar_subquery()
    return first.union_all(select(following).where(first.c.tag.is_not(None)))


#: a column `tag`, of every contest
TAGS = _every_tag()


def tags_in(session: Session, contest_id: int) -> Sequence[str]:
    """Every tag of the contest's rows, in order."""
    # With a limit, or Postgres reads all of them to join them at once.
    of_contest = (
        select(Experiment.id)
        .join(ExperimentTag, ExperimentTag.experiment_id == Experiment.id)
        .where(ExperimentTag.tag == TAGS.c.tag, Experiment.contest_id == contest_id)
        .limit(1)
    )
    query = select(TAGS.c.tag).where(of_contest.scalar_subquery().is_not(None))
    return session.scalars(query.order_by(TAGS.c.tag)).all()


def field_texts(session: Session, experiment_id: int, names: Sequence[str]) -> dict[str, str]:
    """What these fields of its config are set to, as text."""
    query = select(ExperimentField.name, ExperimentField.text).where(
        ExperimentField.experiment_id == experiment_id, ExperimentField.name.in_(names)
    )
    of_contest = select(Experiment.contest_id).where(Experiment.id == experiment_id).scalar_subquery()
    return {row.name: row.text for row in session.execute(query.where(ExperimentField.contest_id == of_contest))}


def same_fingerprint(session: Session, contest_id: int, fingerprint: str) -> list[int]:
    """Ids of the contest's experiments that asked for exactly the same."""
    query = select(Experiment.id).where(Experiment.contest_id == contest_id, Experiment.fingerprint == fingerprint)
    return sorted(session.scalars(query))  # here: in an order, SQLite looks through all rows of the contest


def scores_of(session: Session, experiment_ids: Sequence[int]) -> Sequence[Score]:
    """Every score of these experiments, oldest first."""
    return session.scalars(select(Score).where(Score.experiment_id.in_(experiment_ids)).order_by(Score.id)).all()


def latest_scores(session: Session, experiment_id: int, split: str, metric: str) -> Sequence[Score]:
    """The score that the table shows: one, or none."""
    of = select(Score).where(Score.experiment_id == experiment_id, Score.split == split, Score.metric == metric)
    return session.scalars(of.where(Score.latest)).all()


def score_by_key(session: Session, experiment_id: int, key: str) -> Score | None:
    """The score that was posted under this idempotency key."""
    return session.scalar(select(Score).where(Score.experiment_id == experiment_id, Score.idempotency_key == key))


def scores_of_run(session: Session, run_id: int) -> Sequence[Score]:
    """The scores that a run reported."""
    return session.scalars(select(Score).where(Score.run_id == run_id)).all()


def best_value(session: Session, contest_id: int, split: str, metric: str, *, higher: bool) -> float | None:
    """The best score that stands in the contest's table; of valid scores, of those that no leak flatters."""
    query = (
        select(Score.value, Experiment.marks)
        .join(Experiment, Experiment.id == Score.experiment_id)
        .where(Experiment.contest_id == contest_id, Experiment.archived_at.is_(None))
        .where(Score.split == split, Score.metric == metric, Score.latest)
        .order_by(Score.value.desc() if higher else Score.value.asc())
    )
    with session.no_autoflush:  # the score that is compared may be half filled
        found = session.execute(query)
        return next((value for value, marks in found if split == "online" or "leaking" not in marks), None)
