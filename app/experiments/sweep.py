"""Many experiments of one form: several values of some fields, every combination of them or some drawn at random.

Typed as lines `finetune.learning_rate = 1e-5 | 2e-5 | 5e-5`, or sent as {"finetune.learning_rate": [1e-5, 2e-5]}.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from app.config_errors import field_errors
from app.errors import FieldError, Refused
from app.experiments.service import checked_name, field_text
from app.forms import as_typed
from app.language import gettext as _
from ml.contract.experiment import ExperimentConfig, field_names, merge

#: rows that one sweep may make: more are hardly meant
MOST_ROWS = 500
Mode = Literal["grid", "random"]


@dataclass(frozen=True)
class Variant:
    """One combination: values by dotted field, and the name of its row."""

    values: dict[str, Any]
    name: str

    def laid_over(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config with these values, to be validated as any other."""
        changes: dict[str, Any] = {}
        for path, value in self.values.items():
            group, _, key = path.rpartition(".")
            (changes.setdefault(group, {}) if group else changes)[key] = value
        return merge(dict(config), changes)


def parse(text: str) -> dict[str, list[Any]]:
    """Lines as values by field. Raises Refused that names the line."""
    found: dict[str, list[Any]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, sign, rest = line.partition("=")
        values = [value.strip() for value in rest.split("|")]
        if not sign or not all(values):
            raise _refused(
                _(
                    "line %(line)s: %(text)s: write it as finetune.learning_rate = 1e-5 | 2e-5",
                    line=number,
                    text=repr(line.strip()[:80]),
                )
            )
        if name.strip() in found:
            raise _refused(
                _(
                    "line %(line)s: %(field)s was named before: put all its values on one line",
                    line=number,
                    field=name.strip()[:80],
                )
            )
        found[name.strip()] = [as_typed(name.strip(), value) for value in values]
    return found


def variants(
    name: str, values: Mapping[str, Sequence[Any]], mode: Mode = "grid", rows: int | None = None, seed: int = 0
) -> list[Variant]:
    """Every combination (grid), or `rows` different ones drawn at random. Raises Refused for a field that there is not,
    for none to combine, and for more than MOST_ROWS."""
    known = field_names()
    for field, options in values.items():
        if field not in known:
            raise _refused(_("%(field)s is no field of the config", field=repr(field[:80])))
        if not options or len({str(value) for value in options}) < len(options):
            raise _refused(
                _("%(field)s: give different values", field=field)
                if options
                else _("%(field)s: give a value at least", field=field)
            )
    if not values:
        raise _refused(_("name a field and its values"))
    everything = math.prod(len(options) for options in values.values())
    wanted = everything if mode == "grid" else min(rows or 0, everything)
    if mode == "random" and not rows:
        raise _refused(_("say how many rows to draw"), "sweep_rows")
    if wanted > MOST_ROWS:
        raise _refused(
            _(
                "that is %(count)s rows, and one sweep makes %(most)s at most: draw some at random",
                count=format(wanted, ","),
                most=MOST_ROWS,
            )
        )
    draw = random.Random(seed)  # noqa: S311 - a draw, no secret
    drawn = range(everything) if mode == "grid" else sorted(draw.sample(range(everything), wanted))
    return [_variant(name, values, number) for number in drawn]


def configs(
    name: str,
    base: ExperimentConfig,
    values: Mapping[str, Sequence[Any]],
    mode: Mode = "grid",
    rows: int | None = None,
    seed: int = 0,
) -> list[tuple[str, ExperimentConfig]]:
    """Each combination's name and config. Raises Refused that names the first that does not fit together, and why."""
    found, plain = [], base.model_dump(mode="json")
    for variant in variants(name, values, mode, rows, seed):
        try:
            found.append((variant.name, ExperimentConfig.model_validate(variant.laid_over(plain))))
        except ValidationError as error:
            problem = field_errors(error)[0]
            raise _refused(f"{variant.name!r}: {problem.field}: {problem.message}") from error
    return found


def _variant(name: str, values: Mapping[str, Sequence[Any]], number: int) -> Variant:
    chosen: dict[str, Any] = {}
    for field, options in reversed(list(values.items())):  # the last field changes fastest
        number, place = divmod(number, len(options))
        chosen[field] = options[place]
    ordered = {field: chosen[field] for field in values}
    told = ", ".join(f"{field.rpartition('.')[2]} {field_text(value)}" for field, value in ordered.items())
    return Variant(ordered, checked_name(f"{name}: {told}"[:200]))


def _refused(message: str, field: str = "sweep") -> Refused:
    return Refused(_("sweep: %(message)s", message=message), [FieldError(field, message)])
