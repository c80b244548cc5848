"""The pairs of a file, by line: all, or those that a reader filters. Called by the browser's page and REST.

A request reads at most a stretch of WINDOW lines, however large the file is; the answer says which.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from app.contests.marking import contains
from app.contests.rows_at import PairFile, places, rows_at, rows_from
from app.contests.sentences import Listed
from ml.contract.pair_file import PairRow

#: lines that a request with a filter looks at
WINDOW = 200_000
PAGE = 50
Only = Literal["", "repeats", "contradictions"]


@dataclass(frozen=True)
class Ask:
    """What a reader wants to see. `from_line`: where the stretch begins; `offset`: found rows to pass over in it."""

    label: int | None = None
    search: str = ""
    from_line: int = 1
    offset: int = 0
    limit: int = PAGE

    @property
    def filters(self) -> bool:
        """Whether not every row is wanted."""
        return self.label is not None or bool(self.search)


@dataclass(frozen=True)
class Found:
    """Rows from place `offset` on, of `total` that were found in the lines from `first` to `last` of `lines`.

    `next_line`: where the next stretch begins, None at the end. `group`: by line, which repeated pair a row is of.
    """

    rows: list[PairRow]
    total: int
    first: int
    last: int
    lines: int
    next_line: int | None
    group: dict[int, int]


def browse(file: PairFile, ask: Ask) -> Found:
    """Rows by line. Without a filter a stretch is as long as a page."""
    lines = places(file.path).lines
    first = min(max(ask.from_line, 1), max(lines, 1))
    last = min(first + (WINDOW if ask.filters else ask.limit) - 1, lines)
    stretch = takewhile(lambda row: row.line <= last, rows_from(file, first))
    rows, total = _page(_wanted(file, (row for row in stretch if isinstance(row, PairRow)), ask), ask)
    return Found(rows, total, first, last, lines, last + 1 if last < lines else None, {})


def browse_listed(file: PairFile, listed: Listed, ask: Ask) -> Found:
    """Rows of the listed pairs, those of one pair together; only the shown ones are read unless there is a filter."""
    group = {line: number for number, lines in enumerate(listed.lines, 1) for line in lines}
    wanted = list(group)
    all_lines = places(file.path).lines
    if ask.filters:
        read = rows_at(file, wanted)
        rows, total = _page(_wanted(file, (read[line] for line in wanted if line in read), ask), ask)
    else:
        shown = wanted[ask.offset : ask.offset + ask.limit]
        read = rows_at(file, shown)
        rows, total = [read[line] for line in shown if line in read], len(wanted)
    return Found(rows, total, 1, all_lines, all_lines, None, group)


def _wanted(file: PairFile, rows: Iterable[PairRow], ask: Ask) -> Iterator[PairRow]:
    for row in rows:
        if ask.label is not None and row.label != ask.label:
            continue
        if ask.search and not any(contains(side, ask.search, ids=file.ids) for side in (row.a, row.b)):
            continue
        yield row


def _page(rows: Iterable[PairRow], ask: Ask) -> tuple[list[PairRow], int]:
    shown, total = [], 0
    for row in rows:
        if ask.offset <= total < ask.offset + ask.limit:
            shown.append(row)
        total += 1
    return shown, total
