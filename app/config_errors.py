"""What pydantic finds wrong with a config, as errors of fields. Called by the form and by the REST API."""

import re
from collections.abc import Iterable

from pydantic import ValidationError

from app.errors import FieldError
from app.language import gettext as _
from app.pydantic_words import said

_DOTTED = re.compile(r"^[a-z_0-9]+\.[a-z_0-9]+")


def field_errors(error: ValidationError) -> list[FieldError]:
    """One for each finding. `field` is dotted: of a number in a list the whole list's, of groups that don't fit
    together the one that the message begins with. The value is cut to what a message can hold."""
    found = []
    for item in error.errors(include_url=False):
        message = _("there is no such field") if item["type"] == "extra_forbidden" else said(item)
        message = message.removeprefix("Value error, ")
        field = ".".join(part for part in item["loc"] if isinstance(part, str))
        if not field:
            named = _DOTTED.match(message)
            field = named[0] if named else "form"
        value = "" if isinstance(item["input"], dict) else repr(item["input"])[:100]
        found.append(FieldError(field, message, value))
    return found


def in_one_sentence(problems: Iterable[FieldError]) -> str:
    """Each with the value that was sent."""
    told = [
        _("%(field)s: %(message)s (got %(value)s)", field=item.field, message=item.message, value=item.value)
        for item in problems
    ]
    return _("; ").join(told)
