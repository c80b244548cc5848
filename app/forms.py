"""The experiment form: generated from the contract's fields, and read back into a config.

A field's title, help, unit and bounds come from its declaration in ml/contract/experiment.py; nothing is typed twice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.config_errors import field_errors
from app.contract_words import help_of, title, title_zh, unit
from app.errors import FieldError
from app.language import gettext as _
from ml.contract.experiment import ExperimentConfig

Kind = Literal["number", "integer", "text", "choice", "switch", "numbers"]
#: the hidden mark that a switch was on the page: browsers send nothing for one that is off
SHOWN = "_shown"


@dataclass(frozen=True)
class FormField:
    """One input of the form. `name` is dotted: encoder.hidden_size."""

    name: str
    title: str
    title_zh: str
    help: str
    unit: str
    kind: Kind
    value: str
    minimum: str
    maximum: str
    choices: tuple[str, ...]
    error: str


@dataclass(frozen=True)
class FormGroup:
    """The fields of one part of the recipe. `optional`: the whole part can be left out (pretraining)."""

    name: str
    title: str
    title_zh: str
    optional: bool
    enabled: bool
    fields: tuple[FormField, ...]


def groups(config: Mapping[str, Any], errors: Mapping[str, str] = {}) -> list[FormGroup]:
    """The form filled with `config` (nested values, or the strings a person typed), errors beside their fields."""
    found = []
    loose: list[FormField] = []
    for name, info in ExperimentConfig.model_fields.items():
        model, optional = _model_of(info)
        if model is None:
            if name != "version":
                loose.append(_field(name, info, config.get(name), errors))
            continue
        values = config.get(name)
        enabled = values is not None
        values = values if values is not None else model().model_dump()
        fields = tuple(
            _field(f"{name}.{key}", item, values.get(key), errors) for key, item in model.model_fields.items()
        )
        found.append(FormGroup(name, title(info) or name, title_zh(info), optional, enabled, fields))
    found.append(FormGroup("", _("Repeatability"), "可复现", optional=False, enabled=True, fields=tuple(loose)))
    return found


def _model_of(info: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """The group's model, and whether the group may be null."""
    options = getattr(info.annotation, "__args__", (info.annotation,))
    models = [item for item in options if isinstance(item, type) and issubclass(item, BaseModel)]
    return (models[0], type(None) in options) if models else (None, False)


def _field(name: str, info: FieldInfo, value: Any, errors: Mapping[str, str]) -> FormField:
    bounds = {type(item).__name__: item for item in info.metadata}
    low = next((getattr(bounds[key], key.lower()) for key in ("Ge", "Gt") if key in bounds), "")
    high = next((getattr(bounds[key], key.lower()) for key in ("Le", "Lt") if key in bounds), "")
    return FormField(
        name=name,
        title=title(info) or name,
        title_zh=title_zh(info),
        help=help_of(info),
        unit=unit(info),
        kind=_kind(info.annotation),
        value=_shown(value),
        minimum=_shown(low),
        maximum=_shown(high),
        choices=tuple(info.annotation.__args__) if _kind(info.annotation) == "choice" and info.annotation else (),
        error=errors.get(name, ""),
    )


def _kind(annotation: Any) -> Kind:
    if annotation is bool:
        return "switch"
    if annotation is int:
        return "integer"
    if annotation is float:
        return "number"
    if get_origin(annotation) is tuple:
        return "numbers"
    return "choice" if getattr(annotation, "__args__", None) else "text"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value)
    return "" if value is None else str(value)


def parse(form: Mapping[str, str]) -> tuple[ExperimentConfig | None, dict[str, Any], list[FieldError]]:
    """Read the posted form: (config, what was typed as a nested dict, errors). Config is None when there are errors.

    Fields of other parts of the page (experiment name, files) are the caller's; a field that looks like a config's
    and is none is an error.
    """
    typed: dict[str, Any] = {}
    errors: list[FieldError] = []
    known = set()
    for group in groups({}):
        if group.optional and form.get(f"{group.name}.enabled") != "on":
            typed[group.name] = None
            known |= {field.name for field in group.fields}
            continue
        for field in group.fields:
            known.add(field.name)
            _put(typed, field, form)
    errors += [
        FieldError(name, _("there is no such field"), form[name][:100])
        for name in form
        if "." in name and name not in known and not name.endswith((".enabled", SHOWN))
    ]
    if errors:
        return None, typed, errors
    try:
        return ExperimentConfig.model_validate(typed), typed, []
    except ValidationError as error:
        return None, typed, field_errors(error)


def as_typed(name: str, text: str) -> Any:
    """A field's value from what a person typed for it, as the form would read it; pydantic does the rest."""
    lists = {field.name for group in groups({}) for field in group.fields if field.kind == "numbers"}
    return _parts(text) if name in lists else text


def _put(typed: dict[str, Any], field: FormField, form: Mapping[str, str]) -> None:
    group, _, key = field.name.rpartition(".")
    target = typed.setdefault(group, {}) if group else typed
    if field.kind == "switch":
        if field.name + SHOWN in form or field.name in form:
            target[key] = form.get(field.name) == "on"
    elif field.name in form:
        text = form[field.name].strip()
        target[key] = _parts(text) if field.kind == "numbers" else text


def _parts(text: str) -> list[str]:
    """Numbers divided by commas, Chinese ones too, or spaces."""
    return re.split(r"[\s,，、]+", text.strip(" ,，、")) if text.strip(" ,，、") else []
