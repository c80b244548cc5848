"""Reads one cell of a prediction file: a probability, a label, an id. Called by reading."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.language import N_
from app.language import gettext as _
from app.submissions.format import SubmissionFormat
from app.submissions.malformed import Malformed

SIGNS = {"\t": N_("tabs"), ",": N_("commas"), ";": N_("semicolons"), " ": N_("spaces")}
SHOWN = 50
#: what Python's float takes besides (1_0, wide digits) is nothing that another grader would
#: each digit has one place in it only: `\d+\.?\d*` tries all pairs of them where a long one is none in the end
_NUMBER = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$", re.ASCII)
#: ASCII: without case a dotless i is an i, but not to float
_NAN = re.compile(r"^[+-]?nan$", re.IGNORECASE | re.ASCII)
_INFINITE = re.compile(r"^[+-]?inf(inity)?$", re.IGNORECASE | re.ASCII)
COMMA_DECIMAL = re.compile(r"^[+-]?\d+,\d+$", re.ASCII)
_WHOLE = re.compile(r"^\d{1,18}$", re.ASCII)
_LABELS = {"0": 0.0, "1": 1.0, "0.0": 0.0, "1.0": 1.0}
Where = Mapping[str, Any]


def probability(text: str, where: Where) -> float:
    """A number from 0 to 1. Raises Malformed."""
    text = text.strip()
    if _NUMBER.match(text) and 0 <= (value := float(text)) <= 1:
        return value
    told = {**where, "value": repr(text[:SHOWN])}
    _require_number(text, told)
    if math.isinf(float(text)):
        raise Malformed(
            "infinite", _("%(file)s, line %(line)s: %(value)s is infinite: write a number from 0 to 1", **told), text
        )
    outside = _(
        "%(file)s, line %(line)s: %(value)s is not from 0 to 1: send probabilities (a sigmoid makes them)", **told
    )
    raise Malformed("out_of_range", outside, text)


def _require_number(text: str, told: Where) -> None:
    if not text:
        raise Malformed("no_value", _("%(file)s, line %(line)s: the prediction is missing: write a number", **told))
    if '"' in text or "'" in text:
        quoted = _("%(file)s, line %(line)s: %(value)s stands in quotes: write the bare number", **told)
        raise Malformed("quotes", quoted, text)
    if COMMA_DECIMAL.match(text):
        raise comma_decimal(told)
    if text.endswith("%"):
        percent = _("%(file)s, line %(line)s: %(value)s is a percentage: write it as 0.87", **told)
        raise Malformed("percent", percent, text)
    if _NAN.match(text):
        none = _(
            "%(file)s, line %(line)s: %(value)s can't be ranked: the model diverged, or a row has no prediction",
            **told,
        )
        raise Malformed("nan", none, text)
    if not _INFINITE.match(text) and not _NUMBER.match(text):
        raise Malformed(
            "not_a_number", _("%(file)s, line %(line)s: %(value)s is not a number: write it as 0.8778", **told), text
        )


def comma_decimal(told: Where) -> Malformed:
    """Of 0,87."""
    message = _("%(file)s, line %(line)s: %(value)s has a decimal comma: write a point", **told)
    return Malformed("comma_decimal", message, str(told["value"]))


def label(text: str, where: Where) -> float:
    """0 or 1. Raises Malformed."""
    text = text.strip()
    found = _LABELS.get(text)
    if found is not None:
        return found
    told = {**where, "value": repr(text[:SHOWN])}
    if is_number(text):
        other = _("%(file)s, line %(line)s: the label %(value)s is neither 0 nor 1: round it", **told)
        raise Malformed("label_number", other, text)
    words = _("%(file)s, line %(line)s: the label is the text %(value)s: write 1 for yes and 0 for no", **told)
    raise Malformed("label_text", words, text)


def whole_number(text: str) -> int | None:
    """None for what is none."""
    text = text.strip()
    return int(text) if _WHOLE.match(text) else None


def is_number(text: str) -> bool:
    """Whether a cell holds one."""
    return bool(_NUMBER.match(text.strip()))


def looks_like_header(form: SubmissionFormat, fields: Sequence[str]) -> bool:
    """Words where numbers are asked for. A lone label column may hold words by mistake: they are told as such."""
    numbers = [part.strip() for part, column in zip(fields, form.columns, strict=False) if column not in ("a", "b")]
    if form.columns == ("label",):
        return bool(numbers) and numbers[0].lower() in {"label", "labels", "prediction", "pred", "target"}
    words = [part for part in numbers if any(sign.isalpha() for sign in part)]
    odd = [part for part in words if is_number(part) or _NAN.match(part) or _INFINITE.match(part)]
    return bool(numbers) and len(words) == len(numbers) and not odd


def plain(text: str) -> str:
    """With single spaces, as everywhere where sentences are compared."""
    return " ".join(text.split())
