"""What is typed under the heads of columns, as terms of the search: `valid` of ">=0.9 <0.95" is valid>=0.9 valid<0.95.

Called by pages: the filter row is a second way to write the search, which stays the one truth.
"""

import re
from collections.abc import Mapping

from app.leaderboard.search import NUMBERS, RAW_TERM, compared

#: what the fields of the filter row are called in an address: where.valid
PREFIX = "where."
WORDS = ("status", "tag", "check")
_SIGNS = {"≥": ">=", "≤": "<=", "＞": ">", "＜": "<"}


def split(search: str) -> tuple[dict[str, str], str]:
    """By column what its field shows, and what of the search no column has."""
    shown: dict[str, list[str]] = {}
    rest = []
    for minus, raw in RAW_TERM.findall(search):
        term = None if minus else compared(raw)
        name, relation, value = term or ("", "", "")
        if name in NUMBERS:
            shown.setdefault(name, []).append(f"{relation}{value}")
        elif name in WORDS and relation in {":", "="} and name not in shown:
            shown[name] = [value]
        else:
            rest.append(f"{minus}{raw}")
    words = [raw for raw in rest if not raw.startswith("-") and compared(raw) is None]
    others = [raw for raw in rest if raw not in words]
    fields = {name: " ".join(parts) for name, parts in shown.items()}
    return fields | ({"name": " ".join(words)} if words else {}), " ".join(others)


def join(search: str, typed: Mapping[str, str]) -> str:
    """The search with what was typed in the place of what it said of these columns."""
    before, rest = split(search)
    found = []
    for name in ("name", *WORDS, *NUMBERS):
        text = typed.get(name, before.get(name, "")).strip()
        if name in NUMBERS:
            found += [f"{name}{bound}" for bound in _bounds(text)]
        elif text:
            found.append(text if name == "name" else f"{name}:{text}")
    return " ".join([*found, *([rest] if rest else [])])


def _bounds(text: str) -> list[str]:
    """`0.9` is at least 0.9; a sign may stand apart from its number."""
    for sign, plain in _SIGNS.items():
        text = text.replace(sign, plain)
    text = re.sub(r"(>=|<=|!=|>|<|=|:)\s+", r"\1", text)
    return [part if part[0] in "<>=!:" else f">={part}" for part in text.split()]
