"""What a reader types into the table's search box, as terms that a query can hold. Pages, REST and CLI share it.

`n-gram "last 3" -roberta valid>=0.95 gap<0.02 status:failed tag:send encoder.model_type:bert id:3,7`: words stand
in name, verdict, note or a tag, or are what a field of the config is set to; everything has to hold, and a minus before
a term turns it round.
"""

import math
import operator
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from app.errors import FieldError, Refused
from app.language import N_
from app.language import gettext as _
from ml.contract.experiment import ExperimentConfig, field_names

STATES = (N_("queued"), N_("running"), N_("finished"), N_("failed"), N_("cancelled"), N_("external"))
#: what a row's checks say (check_queries); differs: one of the three that are not as they should be
CHECKS = (
    *(N_("differs"), N_("reloads"), N_("reloads-otherwise"), N_("same-data"), N_("other-data")),
    *(N_("same-code"), N_("other-code"), N_("swap")),
)
#: names whose value is a word -> one for an example
WORDS = {"status": "failed", "check": "differs", "mark": "leaking", "audit": "clean", "tag": "send", "by": "ann"}
NUMBERS = ("train", "valid", "online", "gap", "swap")
RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    ":": operator.eq,
}
RAW_TERM = re.compile(r'(-?)((?:[^\s"]|"[^"]*")+)')
_COMPARED = re.compile(r"([A-Za-z_][\w.]*)(>=|<=|!=|>|<|=|:)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Term:
    """One condition. `name`: empty for a word, else a number's column, one of WORDS, id (`value`: numbers divided by
    commas), or the dotted path of a field of the config, whose `value` has the field's type."""

    name: str
    relation: str
    value: str | float | bool
    negated: bool = False


def terms(text: str) -> list[Term]:
    """The terms of a search. Raises Refused that names the one that can't be understood."""
    found = []
    for minus, raw in RAW_TERM.findall(text):
        term = compared(raw)
        if term is None:
            found.append(Term("", ":", raw.replace('"', ""), bool(minus)))
            continue
        name, relation, value = term
        found.append(Term(name, relation, _value(raw, name, relation, value), bool(minus)))
    return [term for term in found if term.value != "" or term.name]


def compared(raw: str) -> tuple[str, str, str] | None:
    """Name, relation and value of a term; None for a word."""
    match = None if raw.startswith('"') else _COMPARED.fullmatch(raw)
    return None if match is None else (match[1], match[2], match[3].replace('"', ""))


def _value(raw: str, name: str, relation: str, value: str) -> str | float | bool:
    if name in NUMBERS:
        return _number(raw, value)
    if name == "id":
        if relation not in {":", "=", "!="} or not re.fullmatch(r"\d{1,18}(,\d{1,18})*", value, re.ASCII):
            raise _refused(raw, _("write id:3,7"))
        return value
    if name in WORDS:
        if relation not in {":", "=", "!="}:
            raise _refused(raw, _("%(name)s is a word: write %(name)s:%(example)s", name=name, example=WORDS[name]))
        if name == "status" and value not in STATES:
            raise _refused(raw, _("the states are %(states)s", states=", ".join(STATES)))
        if name == "check" and value not in CHECKS:
            raise _refused(raw, _("the checks are %(checks)s", checks=", ".join(CHECKS)))
        return value
    if "." in name:
        return _field_value(raw, name, relation, value)
    raise _refused(
        raw,
        _(
            "%(name)s is no column: %(columns)s, id, or a field of the config such as encoder.model_type; put a text "
            "that holds a sign into double quotes",
            name=repr(name),
            columns=", ".join((*NUMBERS, *WORDS)),
        ),
    )


def _field_value(raw: str, name: str, relation: str, value: str) -> str | float | bool:
    kind = field_type(raw, name)
    if kind is bool:
        if value not in {"true", "false", "on", "off"}:
            raise _refused(raw, _("%(name)s is true or false", name=name))
        return value in {"true", "on"}
    if kind in {int, float}:
        return _number(raw, value)
    if relation not in {":", "=", "!="}:
        raise _refused(raw, _("%(name)s is no number: write %(name)s:%(value)s", name=name, value=value))
    return value


def field_type(raw: str, name: str) -> type:
    """bool, int, float, or str for everything else. Raises Refused for a path that leads to no field."""
    model: Any = ExperimentConfig
    for part in name.split("."):
        fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if part not in fields:
            near = get_close_matches(part, fields, 1, 0.5)
            raise _refused(raw, _no_field(name, near[0] if near else "", ", ".join(fields)))
        model = _bare(fields[part].annotation)
    return model if model in {bool, int, float} else str


def _no_field(name: str, near: str, fields: str) -> str:
    if near:
        return _("the config has no field %(name)s; did you mean %(near)s?", name=name, near=near)
    if fields:
        return _("the config has no field %(name)s; there are %(fields)s", name=name, fields=fields)
    return _("the config has no field %(name)s; there are no fields inside it", name=name)


def _bare(annotation: Any) -> Any:
    """The type itself of `X | None` and of Annotated."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        kept = [item for item in typing.get_args(annotation) if item is not type(None)]
        return _bare(kept[0])
    if typing.get_origin(annotation) is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    return annotation


def _number(raw: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _refused(raw, _("%(value)s is not a number: write it as 0.95", value=repr(value)))
    return number


def _refused(raw: str, why: str) -> Refused:
    message = _("the search term %(term)s can't be used: %(why)s", term=repr(raw[:80]), why=why)
    return Refused(message, [FieldError("search", message, raw[:80])])


#: dotted paths of the config's fields; a search names those inside a group
FIELDS = tuple(field_names())


def _choices() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in FIELDS:
        model: Any = ExperimentConfig
        for part in name.split("."):
            info = model.model_fields[part]
            model = _bare(info.annotation)
        if typing.get_origin(model) is typing.Literal:
            for value in typing.get_args(model):
                if value != info.default:
                    found.setdefault(str(value).lower(), []).append(name)
    return found


#: a word that is one of the choices of a field stands in the config, unless it is what the field is set to by itself,
#: which says nothing: nezha -> encoder.model_type
CHOICES = _choices()
