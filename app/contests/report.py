"""The parse report of a pair file: one streaming pass, memory bounded by a few bytes a row.

Duplicates and contradictions are found by 64-bit hashes of the sentences, kept in flat arrays: among a million rows a
chance collision has a probability of about 3e-8.
"""

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import Refused
from app.language import gettext as _
from ml.contract.pair_file import BadRow, FileKind, PairFileLayout, PairRow, read_rows
from ml.contract.strict import Strict

SHOWN_ROWS = 20
#: some 25 bytes a row are held while a file is read, and as many again while it is looked over
MOST_ROWS = 20_000_000
SHOWN_CONTRADICTIONS = 5
#: upper ends of the length histogram's bars
LENGTH_STEPS = (2, 4, 6, 8, 10, 12, 15, 20, 30, 50, 100)


class BadExample(Strict):
    """A bad row by its line."""

    line: int
    reason: str
    text: str


class Lengths(Strict):
    """Lengths of the sentences: tokens of anonymised ids, characters of raw text. `bars`: (upper end, sentences)."""

    unit: str
    shortest: int
    median: float
    p99: float
    longest: int
    bars: list[tuple[int | None, int]]


class FileReport(Strict):
    """What a pair file holds. `bad_examples` are the first of `bad_rows`."""

    rows: int
    bad_rows: int
    bad_examples: list[BadExample]
    looks_like: str
    positives: int
    negatives: int
    lengths: Lengths
    distinct_sentences: int
    duplicates: int
    swapped_duplicates: int
    contradictory_pairs: int
    contradictory_rows: int
    contradictions: list[list[int]]
    empty_sides: int
    warnings: list[str]


@dataclass
class _Seen:
    """Flat arrays over the good rows."""

    lines: array = field(default_factory=lambda: array("q"))  # type: ignore[type-arg]
    a: array = field(default_factory=lambda: array("Q"))  # type: ignore[type-arg]
    b: array = field(default_factory=lambda: array("Q"))  # type: ignore[type-arg]
    labels: array = field(default_factory=lambda: array("b"))  # type: ignore[type-arg]
    lengths: Counter[int] = field(default_factory=Counter)
    tokens: Counter[int] = field(default_factory=Counter)
    ids_only: bool = True
    empty: int = 0

    def add(self, row: PairRow) -> None:
        """Note a good row."""
        self.lines.append(row.line)
        self.a.append(_hash(plain(row.a)))
        self.b.append(_hash(plain(row.b)))
        self.labels.append(-1 if row.label is None else row.label)
        for text in (row.a, row.b):
            self.lengths[len(text)] += 1
            self.tokens[text.count(" ") + 1 if text else 0] += 1
            self.empty += not text
            if self.ids_only and text and not text.replace(" ", "").isdigit():
                self.ids_only = False


def plain(text: str) -> str:
    """A sentence with single spaces: the split, too, takes sentences for the same by it."""
    return " ".join(text.split())


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def examine(path: Path, layout: PairFileLayout, kind: FileKind) -> FileReport:
    """Read the file once and report. Bad rows are in the report; raises Refused for more rows than are taken."""
    seen, bad_rows, examples = _Seen(), 0, list[BadExample]()
    for row in read_rows(path, layout, kind):
        if isinstance(row, BadRow):
            bad_rows += 1
            if len(examples) < SHOWN_ROWS:
                examples.append(BadExample(line=row.line, reason=row.reason, text=row.text))
        elif len(seen.lines) >= MOST_ROWS:
            most = f"{MOST_ROWS:,}"
            raise Refused(_("the file has more than %(most)s rows: split it, or leave some out", most=most))
        else:
            seen.add(row)
    a, b = np.frombuffer(seen.a, np.uint64), np.frombuffer(seen.b, np.uint64)
    labels = np.frombuffer(seen.labels, np.int8)
    order, first = groups(np.minimum(a, b), np.maximum(a, b))
    duplicates, swapped = _duplicates(order, first, a)
    pairs, rows, shown = _contradictions(order, first, labels, np.frombuffer(seen.lines, np.int64))
    report = FileReport(
        rows=len(labels),
        bad_rows=bad_rows,
        bad_examples=examples,
        looks_like="ids" if seen.ids_only and len(labels) else "text",
        positives=int((labels == 1).sum()),
        negatives=int((labels == 0).sum()),
        lengths=_lengths(seen.tokens, "tokens") if seen.ids_only else _lengths(seen.lengths, "characters"),
        distinct_sentences=len(np.unique(np.concatenate([a, b]))),
        duplicates=duplicates,
        swapped_duplicates=swapped,
        contradictory_pairs=pairs,
        contradictory_rows=rows,
        contradictions=shown,
        empty_sides=seen.empty,
        warnings=[],
    )
    return report.model_copy(update={"warnings": _warnings(report, kind)})


def groups(low: NDArray[np.uint64], high: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows ordered so that equal pairs (in either order) stand together, earliest first; True where one begins."""
    order = np.lexsort((high, low)).astype(np.int64)
    first = np.ones(len(order), bool)
    first[1:] = (low[order][1:] != low[order][:-1]) | (high[order][1:] != high[order][:-1])
    return order, first


def _duplicates(order: NDArray[np.int64], first: NDArray[np.bool_], a: NDArray[np.uint64]) -> tuple[int, int]:
    """Rows that repeat an earlier pair, and how many of them with the sides the other way round than its first row."""
    if not len(order):
        return 0, 0
    leader = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    swapped = ~first & (a[order] != a[leader])
    return int((~first).sum()), int(swapped.sum())


def _contradictions(
    order: NDArray[np.int64], first: NDArray[np.bool_], labels: NDArray[np.int8], lines: NDArray[np.int64]
) -> tuple[int, int, list[list[int]]]:
    """Pairs that stand with both labels: how many, in how many rows, and the line numbers of the first few."""
    if not len(order):
        return 0, 0, []
    starts = np.flatnonzero(first)
    sizes = np.diff(np.append(starts, len(order)))
    ordered = labels[order]
    both = (np.maximum.reduceat(ordered, starts) == 1) & (np.minimum.reduceat(ordered, starts) == 0)
    shown = [sorted(lines[order[starts[i] : starts[i] + sizes[i]]].tolist()) for i in np.flatnonzero(both)]
    return int(both.sum()), int(sizes[both].sum()), [found[:10] for found in sorted(shown)[:SHOWN_CONTRADICTIONS]]


def _lengths(counts: Counter[int], unit: str) -> Lengths:
    values = np.array(sorted(counts) or [0])
    weights = np.array([counts[int(value)] for value in values] if counts else [1]).cumsum()

    def quantile(share: float) -> int:
        return int(values[np.searchsorted(weights, share * weights[-1])])

    bars: list[tuple[int | None, int]] = []
    below = -1
    for step in LENGTH_STEPS:
        bars.append((step, sum(count for value, count in counts.items() if below < value <= step)))
        below = step
    bars.append((None, sum(count for value, count in counts.items() if value > below)))
    return Lengths(
        unit=unit,
        shortest=int(values[0]),
        median=quantile(0.5),
        p99=quantile(0.99),
        longest=int(values[-1]),
        bars=bars,
    )


def _warnings(report: FileReport, kind: FileKind) -> list[str]:
    found = []
    if kind == "train" and report.rows and not (report.positives and report.negatives):
        found.append(f"every label is {int(report.positives > 0)}: nothing can be learned from one class")
    if report.contradictory_pairs:
        found.append(
            f"{report.contradictory_pairs} pairs stand with both labels, in {report.contradictory_rows} rows: "
            "the order of the sentences does not count"
        )
    if kind == "test" and report.empty_sides:
        found.append(f"{report.empty_sides} sentences are empty; they are predicted all the same")
    return found
