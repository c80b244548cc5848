"""A config as JSON text: the form's other door. Called by form_pages.

What is wrong names its path and the line it stands on, for a person who looks at the text.
"""

import json
import re
from typing import Any

from pydantic import ValidationError

from app.config_errors import field_errors
from app.errors import FieldError
from app.forms import Parsed
from app.language import gettext as _
from ml.contract.experiment import CONFIG_VERSION, ExperimentConfig, upgrade

#: the field of the form that holds the text
FIELD = "json"
#: characters; a config has some 3,500
MOST = 200_000
_PARTS = set(ExperimentConfig.model_fields) - {"version", "seed"}
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')

Path = tuple[str | int, ...]


def write(config: dict[str, Any]) -> str:
    """The text of a config, or of what was typed for one."""
    return json.dumps({"version": CONFIG_VERSION, **config}, indent=2, ensure_ascii=False)


def read(text: str, *, by_line: bool = True) -> Parsed:
    """The config that the text holds, in any version that is known; what is not named is as usual. `by_line`: errors
    name the line, for a reader who has the text before him."""
    try:
        plain = _load(text)
    except ValueError as error:
        return Parsed(None, {}, [FieldError(FIELD, str(error))], {})
    if any(name in _PARTS and _is_no_part(name, value) for name, value in plain.items()):
        return Parsed(None, {}, [FieldError(FIELD, _("a part of the config is no object: write it in { }"))], {})
    try:
        return Parsed(upgrade(plain), plain, [], {})
    except ValidationError as error:
        return Parsed(None, plain, _with_lines(error, text) if by_line else field_errors(error), {})
    except ValueError as error:  # a version that is not known
        return Parsed(None, plain, [FieldError("version", str(error), repr(plain.get("version"))[:100])], {})


def _is_no_part(name: str, value: object) -> bool:
    """No fields of a form could show it."""
    return not isinstance(value, dict) and not (value is None and ExperimentConfig.model_fields[name].default is None)


def _load(text: str) -> dict[str, Any]:
    """The object. Raises ValueError, with the line, for what is no JSON object or says something twice."""
    if len(text) > MOST:
        raise ValueError(_("%(count)s characters are no config: at most %(most)s", count=len(text), most=MOST))
    try:
        plain = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        lines = text.splitlines()
        near = lines[error.lineno - 1].strip()[:60] if error.lineno <= len(lines) else ""
        raise ValueError(
            _("line %(line)s: %(near)s is no JSON: %(why)s", line=error.lineno, near=repr(near), why=error.msg)
        ) from error
    except RecursionError as error:
        raise ValueError(_("that is nested too deeply for a config")) from error
    try:
        json.dumps(plain, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            _("half a character (%(part)s) can't be kept", part=repr(error.object[error.start]))
        ) from error
    if not isinstance(plain, dict):
        raise ValueError(_("a config is an object: write it in { }"))
    return plain


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(_("%(name)s stands twice in one object", name=repr(name[:60])))
        found[name] = value
    return found


def _no_number(name: str) -> float:
    raise ValueError(_("%(name)s is no number that a config can hold", name=name))


def _with_lines(error: ValidationError, text: str) -> list[FieldError]:
    """As field_errors, each message with the line of the value, or of the nearest thing around it that is there."""
    places = lines(text)
    found = []
    for item, problem in zip(error.errors(include_url=False, include_context=False), field_errors(error), strict=True):
        path: Path = item["loc"] or tuple(problem.field.split("."))
        while path and path not in places:
            path = path[:-1]
        message = problem.message
        if path:
            message = _("line %(line)s: %(message)s", line=places[path], message=message)
        found.append(FieldError(problem.field, message, problem.value))
    return found


def lines(text: str) -> dict[Path, int]:
    """The line of each value in a text that is JSON, by its path."""
    found: dict[Path, int] = {}
    path: list[str | int] = []
    inside: list[str] = []
    named = False  # whether the next string of an object is a value
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "{[":
            found.setdefault(tuple(path), text.count("\n", 0, token.start()) + 1)
            inside.append(sign)
            path.append(0 if sign == "[" else "")
            named = False
        elif sign in "}]":
            inside.pop()
            path.pop()
        elif sign == ":":
            named = True
        elif sign == ",":
            last = path[-1]
            path[-1] = last + 1 if isinstance(last, int) else ""
            named = False
        elif inside and inside[-1] == "{" and not named:
            path[-1] = json.loads(sign)
        else:
            found[tuple(path)] = text.count("\n", 0, token.start()) + 1
    found.pop((), None)
    return found


def filled(config: ExperimentConfig | None, typed: dict[str, Any]) -> str:
    """The text to show for what was typed into fields: the config where it is one, what was typed where it is not."""
    return write(config.model_dump(mode="json", exclude={"version"}) if config else typed)
