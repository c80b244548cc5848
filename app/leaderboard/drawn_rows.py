"""Rows of the table as they were drawn before: a table that is looked at again has mostly the same rows. Used by
leaderboard/_rows.html.

What a row shows decides, not when it was drawn: one with anything else in it is drawn anew, so none is ever stale.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.leaderboard.exporting import Line

#: rows that a process keeps, about 3 KB each
MOST = 4000


@dataclass(frozen=True)
class _Drawn:
    line: Line
    beside: Any
    html: Markup


class DrawnRows:
    """Of one process. The least lately used go first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[Any, ...], _Drawn] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, around: tuple[Any, ...], line: Line, beside: Any) -> Markup | None:
        """The HTML of this line, if one just like it was drawn before. `around`: what is the same in all rows of the
        page, language and view for example; `beside`: what it has of other rows."""
        key = (line.row.id, around)
        with self._lock:
            found = self._kept.get(key)
            if found is None or found.beside != beside or found.line != line:
                return None
            self._kept.move_to_end(key)
        return found.html

    def put(self, around: tuple[Any, ...], line: Line, beside: Any, html: Markup) -> Markup:
        """Keep it, and return it."""
        with self._lock:
            key = (line.row.id, around)
            self._kept[key] = _Drawn(line, beside, html)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return html
