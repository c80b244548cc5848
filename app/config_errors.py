"""What pydantic finds wrong with a config, as errors of fields. Called by the form and by the REST API."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from pydantic import ValidationError

from app.errors import FieldError
from app.language import gettext as _
from app.pydantic_words import said
from ml.contract.experiment import ExperimentConfig, field_names

_DOTTED = re.compile(r"^[a-z_0-9]+\.[a-z_0-9]+")


def field_errors(error: ValidationError) -> list[FieldError]:
    """One for each finding. `field` is dotted: of a number in a list the whole list's, of groups that don't fit
    together the one that the message begins with. The value is cut to what a message can hold."""
    found = []
    for item in error.errors(include_url=False):
        message = said(item).removeprefix("Value error, ")
        field = ".".join(part for part in item["loc"] if isinstance(part, str))
        if not field:
            named = _DOTTED.match(message)
            field = named[0] if named else "form"
        value = "" if isinstance(item["input"], dict) else repr(item["input"])[:100]
        found.append(
            unknown_field(field, value) if item["type"] == "extra_forbidden" else FieldError(field, message, value)
        )
    return found


def unknown_field(name: str, value: str) -> FieldError:
    """A name that is no field of the config, with the one that was perhaps meant."""
    known = [*field_names(), *ExperimentConfig.model_fields]
    near = get_close_matches(name, known, 1, 0.75)
    # the right name in the wrong group, or without its group
    near = near or [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    if near:
        return FieldError(name, _("there is no such field: did you mean %(name)s?", name=near[0]), value)
    return FieldError(name, _("there is no such field"), value)


def in_one_sentence(problems: Iterable[FieldError]) -> str:
    """Each with the value that was sent."""
    told = [
        _("%(field)s: %(message)s (got %(value)s)", field=item.field, message=item.message, value=item.value)
        for item in problems
    ]
    return _("; ").join(told)
