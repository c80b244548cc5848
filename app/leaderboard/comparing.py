"""Experiments beside each other: their scores, the fields in which they differ, the numbers that charts are made of.

Called by compare_pages and compare_api.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.experiments import queries
from app.experiments.models import Experiment
from app.language import gettext as _
from app.leaderboard.row_queries import SPLITS, Row, rows_of
from ml.contract.experiment import ExperimentConfig, flat, upgrade


@dataclass(frozen=True)
class FieldRow:
    """A field of the config with its value in each experiment; an experiment without config, or without the part that
    the field is in, has None. `differs`: not the same in all that have a config."""

    name: str
    title: str
    values: list[Any]
    differs: bool


@dataclass(frozen=True)
class Comparison:
    """Experiments in the order asked for. `best`: by split, the places of the best value."""

    experiments: Sequence[Experiment]
    rows: list[Row]
    fields: list[FieldRow]
    best: dict[str, list[int]]


def compare(session: Session, contest: Contest, ids: list[int], *, higher_is_better: bool) -> Comparison:
    """Put these experiments beside each other. Raises Refused for none, NotFound that names those it has not."""
    if not ids:
        message = _("name the experiments: ids=3,7")
        raise Refused(message, [FieldError("ids", message)])
    experiments = queries.chosen(session, contest.id, ids)
    found = {row.id: row for row in rows_of(session, contest, ids)}
    rows = [found[experiment.id] for experiment in experiments]
    configs = [flat(upgrade(item.config).model_dump(mode="json")) if item.config else None for item in experiments]
    return Comparison(experiments, rows, _fields(configs), _best(rows, higher_is_better=higher_is_better))


def _fields(configs: list[dict[str, Any] | None]) -> list[FieldRow]:
    """A part that some leave out is a row by itself; its fields differ when those that have it differ."""
    names = dict.fromkeys(name for config in configs if config for name in config)
    parts = {name.split(".")[0] for name in names if "." in name}
    rows = []
    for name in names:
        if name in parts:
            values = [None if config is None else config.get(name, "on") for config in configs]
            told = [value for value, config in zip(values, configs, strict=True) if config]
        else:
            values = [config.get(name) if config else None for config in configs]
            told = [config[name] for config in configs if config and name in config]
        rows.append(FieldRow(name, _title(name), values, any(value != told[0] for value in told)))
    return rows


def _title(name: str) -> str:
    group, _, key = name.rpartition(".")
    model: Any = ExperimentConfig
    if group:
        options = getattr(model.model_fields[group].annotation, "__args__", (model.model_fields[group].annotation,))
        model = next(item for item in options if hasattr(item, "model_fields"))
    return model.model_fields[key].title or key


def _best(rows: list[Row], *, higher_is_better: bool) -> dict[str, list[int]]:
    """What a leak flatters is never the best of train and valid."""
    found = {}
    for split in SPLITS:
        values = {
            place: score.value
            for place, row in enumerate(rows)
            if (score := getattr(row, split)) and (split == "online" or "leaking" not in row.marks)
        }
        top = (max if higher_is_better else min)(values.values()) if len(values) > 1 else None
        found[split] = [place for place, value in values.items() if value == top]
    return found


def chart_data(comparison: Comparison) -> dict[str, Any]:
    """For compare.js: the dimensions that can be drawn, and each experiment's value in them; lists as text."""
    scores = ["valid", "online", "train", "gap", "hours"]
    fields = [field for field in comparison.fields if field.differs]
    points = []
    for place, row in enumerate(comparison.rows):
        values: dict[str, Any] = {split: score.value if (score := getattr(row, split)) else None for split in SPLITS}
        values |= {"gap": row.gap, "hours": row.hours}
        for field in fields:
            value = field.values[place]
            plain = value is None or isinstance(value, int | float | str)
            values[field.name] = value if plain else ", ".join(map(str, value))
        points.append({"id": row.id, "name": row.name, "values": values})
    return {"dimensions": [*scores, *(field.name for field in fields)], "points": points}
