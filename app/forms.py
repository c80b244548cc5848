"""The experiment form: generated from the contract's fields, and read back into a config.

A field's title, help, unit, bounds and the rule of when it counts come from its declaration in ml/contract; nothing is
typed twice.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from app.config_errors import field_errors, unknown_field
from app.contract_words import help_of, unit
from app.errors import FieldError
from app.form_reasons import Clause, clauses, reason_of, title_of
from app.form_reasons import told as told_value
from app.language import gettext as _
from ml.contract.applies import rules, value_in
from ml.contract.experiment import ExperimentConfig, merge

Kind = Literal["number", "integer", "text", "choice", "switch", "numbers"]
#: the hidden mark that a switch was on the page: browsers send nothing for one that is off
SHOWN = "_shown"
#: so many changed fields does the summary of a group name
NAMED = 3


@dataclass(frozen=True)
class FormField:
    """One input of the form. `name` is dotted: encoder.hidden_size. `reference`: the parent's value, or the default;
    `reason`: why it does not count as the form stands; `words`: what finds it."""

    name: str
    title: str
    help: str
    unit: str
    kind: Kind
    value: str
    minimum: str
    maximum: str
    choices: tuple[str, ...]
    error: str
    reference: str
    changed: bool
    neutral: str
    rule: tuple[Clause, ...]
    reason: str
    words: str

    @property
    def told(self) -> str:
        """The value as a sentence shows it."""
        return told_value(self.value, switch=self.kind == "switch")

    @property
    def told_reference(self) -> str:
        """The reference as a sentence shows it."""
        return told_value(self.reference, switch=self.kind == "switch")


@dataclass(frozen=True)
class FormGroup:
    """The fields of one part of the recipe. `optional`: the whole part can be left out (pretraining); `told`: what of
    it differs from the reference, in a few words; `open`: unfolded at first."""

    name: str
    title: str
    optional: bool
    enabled: bool
    was_enabled: bool
    fields: tuple[FormField, ...]
    rule: tuple[Clause, ...] = ()
    reason: str = ""
    told: str = ""
    open: bool = False


class Parsed(NamedTuple):
    """What a form says. `typed`: nested, as it was typed; `config` is None when there are errors; `unused`: what was
    typed into parts that are switched off."""

    config: ExperimentConfig | None
    typed: dict[str, Any]
    errors: list[FieldError]
    unused: dict[str, dict[str, Any]]


def groups(
    config: Mapping[str, Any],
    errors: Mapping[str, str] = {},
    *,
    reference: Mapping[str, Any] = {},
    start: Mapping[str, Any] | None = None,
    unused: Mapping[str, Mapping[str, Any]] = {},
) -> list[FormGroup]:
    """The form filled with `config` (nested values, or the strings a person typed), errors beside their fields.

    `reference`: what a change is told against, the defaults unless given. A group that is as in `start`, from which
    the form was filled, is folded.
    """
    found = []
    loose: list[FormField] = []
    for name, info in ExperimentConfig.model_fields.items():
        model, optional = model_of(info)
        if model is None:
            if name != "version":
                loose.append(_field(name, info, config, errors, reference))
            continue
        # an optional part that is off shows what was typed into it, or its defaults
        filled = config if config.get(name) is not None else {**config, name: unused.get(name, {})}
        fields = tuple(
            _field(f"{name}.{key}", item, filled, errors, reference, live=config)
            for key, item in model.model_fields.items()
        )
        enabled, was = (not optional or given.get(name) is not None for given in (config, reference))
        found.append(FormGroup(name, title_of(name), optional, enabled, was, fields))
    found.append(FormGroup("", _("Repeatability"), optional=False, enabled=True, was_enabled=True, fields=tuple(loose)))
    return [_group(group, config, errors, reference if start is None else start) for group in found]


def _group(
    group: FormGroup, config: Mapping[str, Any], errors: Mapping[str, str], start: Mapping[str, Any]
) -> FormGroup:
    """The same with what is known only of its fields together."""
    rule = clauses(group.name) if group.name else ()
    differs = group.optional and group.enabled != (start.get(group.name) is not None)
    if group.enabled:
        differs |= any(not alike(field.value, shown(value_in(start, field.name))) for field in group.fields)
    return FormGroup(
        **{name: getattr(group, name) for name in ("name", "title", "optional", "enabled", "was_enabled", "fields")},
        rule=rule,
        reason=reason_of(rule, lambda name: value_in(config, name)),
        told=_told(group),
        open=differs or bool(errors.get(group.name)) or any(field.error for field in group.fields),
    )


def _told(group: FormGroup) -> str:
    if not group.enabled:
        return _("off")
    changed = [field for field in group.fields if field.changed]
    if not changed:
        return _("on") if group.optional else ""
    names = ", ".join(f"{field.title} {field.told}" for field in changed[:NAMED])
    return changed_message(len(changed), names + (", …" if len(changed) > NAMED else ""))


def changed_message(count: int | str, fields: str) -> str:
    """In the summary of a group; fold.js writes the same."""
    return _("%(count)s changed: %(fields)s", count=count, fields=fields)


def model_of(info: FieldInfo) -> tuple[type[BaseModel] | None, bool]:
    """The group's model, and whether the group may be null."""
    options = getattr(info.annotation, "__args__", (info.annotation,))
    models = [item for item in options if isinstance(item, type) and issubclass(item, BaseModel)]
    return (models[0], type(None) in options) if models else (None, False)


def _field(
    name: str,
    info: FieldInfo,
    config: Mapping[str, Any],
    errors: Mapping[str, str],
    reference: Mapping[str, Any],
    live: Mapping[str, Any] | None = None,
) -> FormField:
    """`live`: the config that rules look at, where that is another one than what is shown."""
    bounds = {type(item).__name__: item for item in info.metadata}
    low = next((getattr(bounds[key], key.lower()) for key in ("Ge", "Gt") if key in bounds), "")
    high = next((getattr(bounds[key], key.lower()) for key in ("Le", "Lt") if key in bounds), "")
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    kind, value, other = _kind(info.annotation), shown(value_in(config, name)), shown(value_in(reference, name))
    looked_at = config if live is None else live
    neutral = shown(rules()[name].default)
    rule = clauses(name)
    choices = tuple(info.annotation.__args__) if kind == "choice" and info.annotation else ()
    return FormField(
        name=name,
        title=title_of(name),
        help=help_of(info),
        unit=unit(info),
        kind=kind,
        value=value,
        minimum=shown(low),
        maximum=shown(high),
        choices=choices,
        error=errors.get(name, ""),
        reference=other,
        changed=not alike(value, other),
        neutral=neutral,
        rule=rule,
        reason=reason_of(rule, lambda item: value_in(looked_at, item)),
        words=" ".join([name, info.title or "", str(extra.get("title_zh", "")), *choices]).lower(),
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


def shown(value: Any) -> str:
    """A value as an input holds it."""
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return "" if value is None else str(value)


def alike(one: str, other: str) -> bool:
    """Whether two texts of inputs mean the same: 1e-4 and 0.0001 do."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return _parts(one) == _parts(other)


def parse(form: Mapping[str, str], base: Mapping[str, Any] = {}) -> Parsed:
    """Read the posted form. What it does not send is as in `base`, from which it was filled, or as usual.

    Fields of other parts of the page (experiment name, files) are the caller's; a field that looks like a config's
    and is none is an error.
    """
    typed: dict[str, Any] = {}
    unused: dict[str, dict[str, Any]] = {}
    known = set()
    for name, info in ExperimentConfig.model_fields.items():
        model, optional = model_of(info)
        fields = {f"{name}.{key}": item for key, item in model.model_fields.items()} if model else {name: info}
        fields.pop("version", None)
        known |= set(fields)
        sent: dict[str, Any] = {}
        for dotted, item in fields.items():
            _put(sent, dotted, _kind(item.annotation), form)
        if optional and form.get(f"{name}.enabled") != "on":
            typed[name], unused[name] = None, sent.get(name, {})
        else:
            given = {name: base[name]} if base.get(name) is not None and name != "version" else {}
            typed |= merge(given, sent)
    errors = [
        unknown_field(name, form[name][:100])
        for name in form
        if "." in name and name not in known and not name.endswith((".enabled", SHOWN))
    ]
    if errors:
        return Parsed(None, typed, errors, unused)
    try:
        return Parsed(ExperimentConfig.model_validate(typed), typed, [], unused)
    except ValidationError as error:
        return Parsed(None, typed, field_errors(error), unused)


def as_typed(name: str, text: str) -> Any:
    """A field's value from what a person typed for it, as the form would read it; pydantic does the rest."""
    lists = {field.name for group in groups({}) for field in group.fields if field.kind == "numbers"}
    return _parts(text) if name in lists else text


def _put(typed: dict[str, Any], name: str, kind: Kind, form: Mapping[str, str]) -> None:
    group, _, key = name.rpartition(".")
    target = typed.setdefault(group, {}) if group else typed
    if kind == "switch":
        if name + SHOWN in form or name in form:
            target[key] = form.get(name) == "on"
    elif name in form:
        text = form[name].strip()
        target[key] = _parts(text) if kind == "numbers" else text


def _parts(text: str) -> list[str]:
    """Numbers divided by commas, Chinese ones too, or spaces."""
    return re.split(r"[\s,，、]+", text.strip(" ,，、")) if text.strip(" ,，、") else []
