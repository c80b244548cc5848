"""What the contract says of its fields and presets, for the catalogue and in the reader's language.

Titles stand in the contract in both languages; help, units and the presets' descriptions only in English, and their
Chinese lies in app/locale/zh/contract.po. Called by the form, by pages that name fields, and by `make words`.
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.language import current, lookup
from ml.contract import leaks, presets, scores
from ml.contract.experiment import MARK_REASONS, ExperimentConfig


def title(info: FieldInfo) -> str:
    """Of a field or a group."""
    return _extra(info, "title_zh") if current() == "zh" else info.title or ""


def title_zh(info: FieldInfo) -> str:
    """The Chinese one, whoever reads."""
    return _extra(info, "title_zh")


def help_of(info: FieldInfo) -> str:
    """What a field means."""
    return lookup(info.description or "")


def unit(info: FieldInfo) -> str:
    """What a field's number counts; empty when it counts nothing."""
    return lookup(_extra(info, "unit"))


def metric_title(metric: scores.Metric) -> str:
    """Of a metric."""
    return metric.title_zh if current() == "zh" else metric.title


def _extra(info: FieldInfo, name: str) -> str:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return str(extra.get(name, ""))


def contract_messages() -> Iterator[tuple[str, Path]]:
    """Every text of the contract that a page shows and that no call of `words.text` holds, and where it stands."""
    for info, model in _fields(ExperimentConfig):
        file = Path(*model.__module__.split(".")).with_suffix(".py")
        for message in (info.description, _extra(info, "unit")):
            if message:
                yield message, file
    for message in presets.PRESETS.values():
        yield message, Path("ml/contract/presets.py")
    for metric in scores.METRICS.values():
        yield metric.title, Path("ml/contract/scores.py")
    for message in leaks.messages():
        yield message, Path("ml/contract/leaks.py")
    for message in MARK_REASONS:
        yield message, Path("ml/contract/experiment.py")


def _fields(model: type[BaseModel]) -> Iterator[tuple[FieldInfo, type[BaseModel]]]:
    for info in model.model_fields.values():
        yield info, model
        options = getattr(info.annotation, "__args__", (info.annotation,))
        for below in options:
            if isinstance(below, type) and issubclass(below, BaseModel):
                yield from _fields(below)
