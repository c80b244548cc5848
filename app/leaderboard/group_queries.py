"""The table's rows summed up by a field of their config: how many, mean and deviation of each column."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.experiments.models import Experiment, ExperimentField
from app.leaderboard.queries import table
from app.leaderboard.row_queries import SPLITS
from app.leaderboard.search import field_type, terms


@dataclass(frozen=True)
class Mean:
    """Of a column's values: how many there are, and their deviation (None for one)."""

    value: float
    count: int
    deviation: float | None


@dataclass(frozen=True)
class Group:
    """Rows that have one value in a field of the config; `value` is None where it has none."""

    value: str | float | bool | None
    rows: int
    train: Mean | None
    valid: Mean | None
    online: Mean | None


def grouped(session: Session, contest: Contest, field: str, *, search: str = "", archived: bool = False) -> list[Group]:
    """The rows that a search finds, by the value of a field of their config; the largest group first. Rows that were
    trained elsewhere have no config, and are one group. Raises Refused for a path that leads to no field."""
    kind = field_type(f"group={field}", field)
    query, columns = table(session, contest, terms(search), archived=archived)
    of_field = and_(
        ExperimentField.contest_id == contest.id,
        ExperimentField.name == field,
        ExperimentField.experiment_id == Experiment.id,
    )
    query, value = query.outerjoin(ExperimentField, of_field), ExperimentField.text.expression
    sums = [
        part
        for split in SPLITS
        for part in (func.count(columns[split]), func.sum(columns[split]), func.sum(columns[split] * columns[split]))
    ]
    asked: list[Any] = [value, func.count(), *sums]
    query = query.with_only_columns(*asked, maintain_column_froms=True).group_by(value)
    found = [
        Group(
            _as(kind, key),
            rows,
            *(_mean(*numbers[place : place + 3]) for place in range(0, len(numbers), 3)),
        )
        for key, rows, *numbers in session.execute(query)
    ]
    return sorted(found, key=lambda group: (-group.rows, str(group.value)))


def _as(kind: type, text: str | None) -> str | float | bool | None:
    if text is None or kind is str:
        return text
    return text == "true" if kind is bool else float(text) if kind is float else int(text)


def _mean(count: int, total: float | None, squares: float | None) -> Mean | None:
    if not count or total is None or squares is None:
        return None
    spread = max(0.0, squares - total * total / count)
    return Mean(total / count, count, (spread / (count - 1)) ** 0.5 if count > 1 else None)
