"""What of a valid part stands in the training part, check by check. Called by leaks, which judges the counts.

Shapes: N rows of the part that is looked for, M rows of the training part. Sentences are numbers (sentence_numbers).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ml.near_duplicates import twins
from ml.sentence_numbers import Ints, Numbered, Tokens

Flags = npt.NDArray[np.bool_]
NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Found:
    """Rows that a check found, the worst first, and the training row behind each (-1: none). `second`: see SECONDS."""

    name: str
    rows: Ints
    train_rows: Ints
    second: int | None = None


@dataclass(frozen=True, slots=True)
class Sides:
    """A part: its sides as sentences, and its labels (empty: none)."""

    a: Ints
    b: Ints
    labels: npt.NDArray[np.int8]


def duplicates(train: Sides, valid: Sides, numbers: Numbered) -> Iterator[Found]:
    """Pairs that stand in both parts: as they are, turned round, and but for how they are written. None is counted
    twice."""
    count = numbers.count
    keys = train.a * count + train.b
    seen = np.zeros(len(valid.a), bool)
    for name, wanted in (("exact", valid.a * count + valid.b), ("swapped", valid.b * count + valid.a)):
        yield _repeated(name, keys, wanted, train, valid, seen)
    normal = [_unordered(numbers.normal_of[part.a], numbers.normal_of[part.b], count) for part in (train, valid)]
    yield _repeated("normalised", *normal, train, valid, seen)


def _repeated(name: str, keys: Ints, wanted: Ints, train: Sides, valid: Sides, seen: Flags) -> Found:
    """What is not `seen` yet; it is then."""
    rows_N = first_rows(keys, wanted)
    new = np.flatnonzero((rows_N >= 0) & ~seen)
    seen[new] = True
    alike = first_rows(keys * 2 + train.labels, (wanted * 2 + valid.labels)[new]) >= 0
    return Found(name, new, rows_N[new], int(alike.sum()))


def near(train: Sides, valid: Sides, numbers: Numbered, tokens: Tokens) -> Found:
    """Pairs that nearly stand in both, and do not stand in both. `tokens`: of the normalised sentences."""
    normal_of = numbers.normal_of
    found = twins(
        tokens,
        (normal_of[train.a], normal_of[train.b]),
        (normal_of[valid.a], normal_of[valid.b]),
    )
    rows = np.flatnonzero((found.row_N >= 0) & (found.differing_N > 0))
    rows = rows[np.argsort(found.differing_N[rows], kind="stable")]
    behind = found.row_N[rows]
    return Found("near", rows, behind, int((train.labels[behind] == valid.labels[rows]).sum()))


def sentences(name: str, train: Sides, other: Sides, count: int) -> Found:
    """Rows with a sentence of the training part; those with both first."""
    row_of = np.full(count, -1, np.int64)
    rows = np.arange(len(train.a))[::-1]
    row_of[train.b[::-1]] = rows  # written backwards: the first row of a sentence stays
    row_of[train.a[::-1]] = rows
    sides = (row_of[other.a] >= 0).astype(np.int8) + (row_of[other.b] >= 0)
    found = np.flatnonzero(sides)
    found = found[np.argsort(-sides[found], kind="stable")]
    behind = np.maximum(row_of[other.a[found]], row_of[other.b[found]])
    return Found(name, found, behind, int((sides == 2).sum()))


def written_otherwise(train: Sides, valid: Sides, numbers: Numbered) -> Found:
    """Rows that share a sentence but for how it is written, and none as it stands."""
    plain = sentences("sentences", train, valid, numbers.count)
    normal = [Sides(numbers.normal_of[part.a], numbers.normal_of[part.b], part.labels) for part in (train, valid)]
    found = sentences("written_otherwise", *normal, numbers.count)
    new = ~np.isin(found.rows, plain.rows)
    return Found("written_otherwise", found.rows[new], found.train_rows[new])


def components(train: Sides, valid: Sides, count: int) -> Found:
    """Rows whose component has training rows, and how many such components there are."""
    component = connected(count, np.concatenate([train.a, valid.a]), np.concatenate([train.b, valid.b]))
    row_of = np.full(count, -1, np.int64)
    row_of[component[train.a[::-1]]] = np.arange(len(train.a))[::-1]
    behind = row_of[component[valid.a]]
    rows = np.flatnonzero(behind >= 0)
    return Found("components", rows, behind[rows], len(np.unique(component[valid.a[rows]])))


def closure(train: Sides, valid: Sides, count: int, repeated: Ints) -> tuple[Found, Found, Found]:
    """Rows whose label the training part implies (`repeated` ones, which stand there, left out); rows that it
    contradicts; training rows that contradict the positives around them."""
    positive, negative = train.labels == 1, train.labels == 0
    group = connected(count, train.a[positive], train.b[positive])
    keys = _unordered(group[train.a[negative]], group[train.b[negative]], count)
    wanted = _unordered(group[valid.a], group[valid.b], count)
    apart = first_rows(keys, wanted)
    together = (group[valid.a] == group[valid.b]) & (valid.a != valid.b)
    row_of = np.full(count, -1, np.int64)
    row_of[group[train.a[positive]]] = np.flatnonzero(positive)
    implied = together | ((apart >= 0) & (group[valid.a] != group[valid.b]))
    behind = np.where(together, row_of[group[valid.a]], np.flatnonzero(negative)[apart] if len(keys) else -1)
    right = together == (valid.labels == 1)
    implied[repeated] = False
    rows = np.flatnonzero(implied)
    inside = np.flatnonzero(negative & (group[train.a] == group[train.b]) & (train.a != train.b))
    wrong = rows[~right[rows]]
    return (
        Found("closure", rows, behind[rows], int(right[rows].sum())),
        Found("contradicted", wrong, behind[wrong]),
        Found("contradictions", inside, row_of[group[train.a[inside]]]),
    )


def contradicted(train: Sides, valid: Sides, numbers: Numbered, implied: Found) -> Found:
    """The same pair with the other label only, or one that the training part implies to be otherwise."""
    count = numbers.count
    keys, wanted = (
        _unordered(numbers.normal_of[part.a], numbers.normal_of[part.b], count) * 2 for part in (train, valid)
    )
    same = first_rows(keys + train.labels, wanted + valid.labels)
    other = first_rows(keys + train.labels, wanted + (1 - valid.labels))
    rows = np.flatnonzero((other >= 0) & (same < 0))
    new = ~np.isin(implied.rows, rows)
    return Found(
        "contradicted",
        np.concatenate([rows, implied.rows[new]]),
        np.concatenate([other[rows], implied.train_rows[new]]),
    )


def test_pairs(train: Sides, test: Sides, numbers: Numbered) -> Found:
    """Test pairs that stand in the training part, in either order, however written."""
    keys = [_unordered(numbers.normal_of[part.a], numbers.normal_of[part.b], numbers.count) for part in (train, test)]
    behind = first_rows(*keys)
    rows = np.flatnonzero(behind >= 0)
    return Found("test_pairs", rows, behind[rows])


def first_rows(keys: Ints, wanted: Ints) -> Ints:
    """For each wanted key the first place where it stands in `keys`, or -1."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    places = np.minimum(np.searchsorted(ordered, wanted), len(keys) - 1)
    return np.where(ordered[places] == wanted, order[places], -1)


def _unordered(a: Ints, b: Ints, count: int) -> Ints:
    return np.minimum(a, b) * count + np.maximum(a, b)


def connected(count: int, a: Ints, b: Ints) -> Ints:
    """Component of each of `count` sentences."""
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)
