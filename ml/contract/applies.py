"""Which fields count, given the values of the others: the rules that knobs declare, put to a config.

Called by the fingerprint, which leaves out what nothing reads, and by the form, which says so beside the field.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from ml.contract.experiment import ExperimentConfig
from ml.contract.knob import Condition, Rule


@dataclass(frozen=True)
class Rules:
    """Of one field, or of a whole part of the recipe; every name in them dotted."""

    applies: Rule
    fits: Rule
    default: Any = None


@cache
def rules() -> dict[str, Rules]:
    """By dotted field, and by part."""
    found: dict[str, Rules] = {}
    for name, info in ExperimentConfig.model_fields.items():
        found[name] = _rules(info, "")
        options = getattr(info.annotation, "__args__", (info.annotation,))
        for model in options:
            if isinstance(model, type) and issubclass(model, BaseModel):
                found |= {f"{name}.{key}": _rules(item, name) for key, item in model.model_fields.items()}
    return found


def _rules(info: Any, group: str) -> Rules:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}

    def absolute(rule: Rule) -> Rule:
        return [
            [
                {**each, "field": each["field"] if "." in each["field"] else f"{group}.{each['field']}"}
                for each in clause
            ]
            for clause in rule
        ]

    return Rules(absolute(extra.get("applies", [])), absolute(extra.get("fits", [])), info.get_default())


def failing(rule: Rule, value_of: Callable[[str], Any]) -> int | None:
    """The number of the first clause that does not hold; None: the rule holds."""
    for number, clause in enumerate(rule):
        if not any(_holds(condition, value_of(condition["field"])) for condition in clause):
            return number
    return None


def _holds(condition: Condition, value: Any) -> bool:
    if "is" in condition:
        return any(same(value, wanted) for wanted in condition["is"])
    return not any(same(value, unwanted) for unwanted in condition["not"])


def same(value: Any, other: Any) -> bool:
    """Whether a value, perhaps typed by a person and not looked over yet, is that of the config."""
    if isinstance(other, bool):
        return value is other or (not isinstance(value, bool) and str(value).strip().lower() in _WORDS[other])
    if isinstance(other, int | float):
        try:
            return float(value) == other
        except (TypeError, ValueError):
            return False
    return str(value).strip() == str(other)


_WORDS = {True: {"on", "true", "1", "yes"}, False: {"", "off", "false", "0", "no"}}


def value_in(config: Mapping[str, Any], name: str) -> Any:
    """Of a dotted name: what the (nested) config says, or else the default."""
    group, _, key = name.rpartition(".")
    if key == "enabled":
        return config.get(group) is not None
    part = config.get(group) if group else config
    if isinstance(part, Mapping) and key in part:
        return part[key]
    return rules()[name].default


def idle(config: ExperimentConfig) -> dict[str, Any]:
    """Fields that do not count here although they are not as they would be if nobody had given them."""
    plain = config.model_dump(mode="json")
    bare = applied(config).model_dump(mode="json")
    return {name: value_in(plain, name) for name in _unread(plain) if value_in(plain, name) != value_in(bare, name)}


def applied(config: ExperimentConfig) -> ExperimentConfig:
    """The same experiment with every field that nothing reads as if nobody had given it."""
    plain = config.model_dump(mode="json")
    for name in _unread(plain):
        group, _, key = name.rpartition(".")
        del (plain[group] if group else plain)[key]
    return ExperimentConfig.model_validate(plain)


def _unread(plain: Mapping[str, Any]) -> list[str]:
    """Dotted names of the given fields whose own rule, or whose part's, does not hold."""
    found = []
    for name, rule in rules().items():
        group, _, _ = name.rpartition(".")
        whole = [*rule.applies, *(rules()[group].applies if group else [])]
        given = plain.get(group) is not None if group else not isinstance(plain.get(name), Mapping)
        if whole and given and failing(whole, lambda other: value_in(plain, other)) is not None:
            found.append(name)
    return found
