"""How a field of the recipe is declared. Called by the config modules of the contract."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

#: `field` is one of the same group, or dotted; `is` or `not` holds its values
Condition = dict[str, Any]
#: all of these, each of which is any of its conditions
Rule = Sequence[Sequence[Condition]]


def knob(
    default: Any, en: str, zh: str, help: str, *, unit: str = "", applies: Rule = (), fits: Rule = (), **bounds: Any
) -> Any:
    """A field of the recipe with its English and Chinese title, help text, unit and bounds.

    `applies`: when it counts at all; otherwise nothing reads it (ml.contract.applies). `fits`: when another value than
    the default is taken; otherwise a validator refuses it. Pydantic's `ge`, `gt`, `le`, `lt`, `max_length` and
    `pattern` are the bounds; pages and API docs read all of it from the JSON schema.
    """
    told = {"unit": unit, "applies": applies, "fits": fits}
    extra: dict[str, Any] = {"title_zh": zh, **{name: value for name, value in told.items() if value}}
    return Field(default, title=en, description=help, json_schema_extra=extra, **bounds)


def when(field: str, *values: Any) -> Rule:
    """The field has one of these values. `pretrain.enabled`: whether that part of the recipe is there."""
    return [[{"field": field, "is": list(values)}]]


def unless(field: str, *values: Any) -> Rule:
    """The field has none of these values."""
    return [[{"field": field, "not": list(values)}]]


def either(*rules: Rule) -> Rule:
    """One of them is enough; each a single condition."""
    return [[condition for rule in rules for clause in rule for condition in clause]]


def both(*rules: Rule) -> Rule:
    """All of them."""
    return [clause for rule in rules for clause in rule]
