"""Why a field of the form does not count, in words made from its rule in the contract. Called by forms.

The words go to the page with the rule, so that applies.js shows the same ones when another value is chosen.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypedDict

from pydantic import BaseModel

from app.language import current
from app.language import gettext as _
from ml.contract.applies import failing, rules
from ml.contract.experiment import ExperimentConfig
from ml.contract.knob import Condition


class Clause(TypedDict):
    """One thing that must hold: any of these conditions. `refused`: otherwise another value than the default is an
    error; if not, it is only not read."""

    any: list[Condition]
    refused: bool
    reason: str


def clauses(name: str) -> tuple[Clause, ...]:
    """Of a dotted field or of a part of the recipe, with the words of this request's language."""
    rule = rules()[name]
    found = [(clause, False) for clause in rule.applies] + [(clause, True) for clause in rule.fits]
    return tuple(
        Clause(any=list(conditions), refused=refused, reason=_reason(conditions, refused=refused))
        for conditions, refused in found
    )


def reason_of(rule: tuple[Clause, ...], value_of: Callable[[str], Any]) -> str:
    """The words of the first clause that does not hold; empty when all do."""
    number = failing([clause["any"] for clause in rule], value_of)
    return "" if number is None else rule[number]["reason"]


def title_of(name: str) -> str:
    """Of a dotted field or a part of the recipe, in this request's language."""
    return _titles()[name.removesuffix(".enabled")][current() == "zh"]


def told(value: str, *, switch: bool = False) -> str:
    """What an input holds, in a sentence."""
    if switch:
        return _("on") if value else _("off")
    return value or "–"


@cache
def _titles() -> dict[str, tuple[str, str]]:
    """English and Chinese, by dotted name."""
    found = {}
    for name, info in ExperimentConfig.model_fields.items():
        found[name] = _both(name, info)
        options: Any = getattr(info.annotation, "__args__", (info.annotation,))
        for model in options:
            if isinstance(model, type) and issubclass(model, BaseModel):
                found |= {f"{name}.{key}": _both(key, item) for key, item in model.model_fields.items()}
    return found


def _both(name: str, info: Any) -> tuple[str, str]:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    title = info.title or name
    return title, str(extra.get("title_zh", "")) or title


def _reason(conditions: Sequence[Condition], *, refused: bool) -> str:
    said = _(" or ").join(_condition(condition) for condition in conditions)
    return (
        _("Only when %(condition)s.", condition=said)
        if refused
        else _("Counts only when %(condition)s.", condition=said)
    )


def _condition(condition: Condition) -> str:
    title = title_of(condition["field"])
    values: list[Any] = condition["is"] if "is" in condition else condition["not"]
    told_values = " / ".join(str(value) for value in values)
    if "is" not in condition:
        if values == [""]:
            return _("%(title)s is given", title=title)
        return _("%(title)s is not %(value)s", title=title, value=told_values)
    if values == [True]:
        return _("%(title)s is on", title=title)
    if values == [False]:
        return _("%(title)s is off", title=title)
    if values == [""]:
        return _("%(title)s is empty", title=title)
    return _("%(title)s is %(value)s", title=title, value=told_values)
