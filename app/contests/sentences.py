"""How the pairs of a file hang together by their sentences, and what two files share.

One streaming pass a file into flat arrays, 25 bytes a row; then sorting. Sentences are told apart by the 64-bit hash()
of this process: nothing of it is kept, and among a million rows a chance collision has a probability of about 3e-8.
"""

from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contests.report import groups, plain
from ml.contract.pair_file import FileKind, PairFileLayout, PairRow, read_rows
from ml.contract.strict import Strict

#: upper ends of the bars of component sizes, in rows
SIZE_STEPS = (1, 2, 5, 10, 100, 1000, 10_000)
#: shares of the rows that a split may want to hold out
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
#: a component with a larger share of the rows is called a giant
GIANT = 0.05
SHOWN_GIANTS = 10
SHOWN_LINES = 20
#: rows of repeats and of contradictions that are kept for the browser
LISTED_ROWS = 5000
_MIX = np.uint64(0x9E3779B97F4A7C15)

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sentences:
    """The good rows of a file: line, hashes of both sides, label (-1: none)."""

    lines: Ints
    a: Ints
    b: Ints
    labels: NDArray[np.int8]


class SizeStep(Strict):
    """Components of up to `upper` rows (None: of more), and the rows in them."""

    upper: int | None
    components: int
    rows: int


class Reach(Strict):
    """A split that holds out `share` of the rows: how many it wants, and how many stand in components that fit."""

    share: float
    wanted: int
    rows: int


class Components(Strict):
    """Groups of rows that share no sentence with another group: what a split can't cut. `giants`: rows of the largest.

    `positive_groups`: sentences connected by pairs of label 1, two or more; `closure_pairs`: pairs inside them;
    `contradicted_rows` are labelled 0 though their sentences are connected so; `contradicted_lines` the first of them.
    """

    rows: int
    sentences: int
    components: int
    largest: int
    giants: list[int]
    giant_rows: int
    giant_count: int
    sizes: list[SizeStep]
    reach: list[Reach]
    positive_groups: int
    largest_positive_group: int
    closure_pairs: int
    contradicted_rows: int
    contradicted_lines: list[int]


class Listed(Strict):
    """Pairs that stand in several rows, their sides in either order: how many, and the lines of the first."""

    pairs: int
    rows: int
    lines: list[list[int]]


class Repeats(Strict):
    """Repeated pairs, and those of them with both labels."""

    repeats: Listed
    contradictions: Listed


class Standing(Strict):
    """A pair of the other file, by its line, and the first line of the base file where it stands."""

    line: int
    base_line: int
    label: int | None


class Overlap(Strict):
    """What another file shares with the base file. `sentences` and `rows` are the other's.

    `pairs`: rows that stand in the base file themselves, `swapped` of them only the other way round; their labels
    there: `positive`, `negative`, `both`, and without any.
    """

    sentences: int
    shared_sentences: int
    rows: int
    one_side: int
    both_sides: int
    pairs: int
    swapped: int
    positive: int
    negative: int
    both: int
    examples: list[Standing]


def read_sentences(path: Path, layout: PairFileLayout, kind: FileKind) -> Sentences:
    """Read the file once."""
    lines, a, b, labels = (array(code) for code in "qqqb")
    for row in read_rows(path, layout, kind):
        if isinstance(row, PairRow):
            lines.append(row.line)
            a.append(hash(plain(row.a)))
            b.append(hash(plain(row.b)))
            labels.append(-1 if row.label is None else row.label)
    numbers = [np.frombuffer(item, np.int64) for item in (lines, a, b)]
    return Sentences(numbers[0], numbers[1], numbers[2], np.frombuffer(labels, np.int8))


def components(read: Sentences) -> Components:
    """Connected components of the rows by shared sentences; of the sentences by positive pairs."""
    known, a, b = _numbered(read)
    sizes = np.bincount(_connected(known, a, b)[a])
    sizes = np.sort(sizes[sizes > 0])[::-1]
    rows = len(a)
    giants = sizes[sizes > GIANT * rows]
    positive = read.labels == 1
    group = _connected(known, a[positive], b[positive])
    members = np.bincount(group)
    members = members[members > 1]
    contradicted = read.lines[(read.labels == 0) & (group[a] == group[b])]
    return Components(
        rows=rows,
        sentences=known,
        components=len(sizes),
        largest=int(sizes[0]) if rows else 0,
        giants=giants[:SHOWN_GIANTS].tolist(),
        giant_rows=int(giants.sum()),
        giant_count=len(giants),
        sizes=_size_steps(sizes),
        reach=[_reach(sizes, rows, share) for share in SHARES],
        positive_groups=len(members),
        largest_positive_group=int(members.max(initial=0)),
        closure_pairs=int((members * (members - 1) // 2).sum()),
        contradicted_rows=len(contradicted),
        contradicted_lines=contradicted[:SHOWN_LINES].tolist(),
    )


def component_of_rows(read: Sentences) -> Ints:
    """The component of each row, shape (rows,), by the sentences that rows share, however far."""
    known, a, b = _numbered(read)
    return _connected(known, a, b)[a]


def _numbered(read: Sentences) -> tuple[int, Ints, Ints]:
    """How many sentences there are, and both sides of each row as numbers of sentences."""
    known, ends = np.unique(np.concatenate([read.a, read.b]), return_inverse=True)
    return len(known), ends[: len(read.a)], ends[len(read.a) :]


def _connected(nodes: int, a: Ints, b: Ints) -> Ints:
    """Component of each node."""
    from scipy.sparse import coo_array  # half a second to import, and few web processes ever come here
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(nodes, nodes))
    found: Ints = connected_components(graph, directed=False)[1].astype(np.int64)
    return found


def _size_steps(sizes: Ints) -> list[SizeStep]:
    steps, below = [], 0
    for upper in (*SIZE_STEPS, None):
        inside = sizes[(sizes > below) & (sizes <= upper)] if upper is not None else sizes[sizes > below]
        steps.append(SizeStep(upper=upper, components=len(inside), rows=int(inside.sum())))
        below = upper or below
    return steps


def _reach(sizes: Ints, rows: int, share: float) -> Reach:
    """As ml's split does it: a component is held out whole, if it is no larger than what is wanted."""
    wanted = round(share * rows)
    return Reach(share=share, wanted=wanted, rows=int(sizes[sizes <= wanted].sum()))


def repeats(read: Sentences) -> Repeats:
    """Rows that hold the same pair, in either order."""
    order, first = groups(*_sides(read))
    starts = np.flatnonzero(first)
    sizes = np.diff(np.append(starts, len(order)))
    several = sizes > 1
    both = several.copy()
    if len(order):
        ordered = read.labels[order]
        both = (np.maximum.reduceat(ordered, starts) == 1) & (np.minimum.reduceat(ordered, starts) == 0)
    listed = [_listed(read.lines, order, starts[part], sizes[part]) for part in (several, both)]
    return Repeats(repeats=listed[0], contradictions=listed[1])


def _listed(lines: Ints, order: Ints, starts: Ints, sizes: Ints) -> Listed:
    """In the order of the first line of each."""
    by_line = np.argsort(lines[order[starts]], kind="stable")
    shown = by_line[np.cumsum(sizes[by_line]) <= LISTED_ROWS]
    found = [lines[order[starts[i] : starts[i] + sizes[i]]].tolist() for i in shown]
    return Listed(pairs=len(starts), rows=int(sizes.sum()), lines=found)


def _sides(read: Sentences) -> tuple[NDArray[Any], NDArray[Any]]:
    """Smaller and larger hash of each row, so that the order of the sides does not count."""
    a, b = read.a.view(np.uint64), read.b.view(np.uint64)
    return np.minimum(a, b), np.maximum(a, b)


def overlap(base: Sentences, other: Sentences) -> Overlap:
    """What `other` shares with `base`."""
    known = np.unique(np.concatenate([base.a, base.b]))
    in_a, in_b = np.isin(other.a, known), np.isin(other.b, known)
    own = np.unique(np.concatenate([other.a, other.b]))
    keys, labels_low, labels_high, lines = _pairs_of(base)
    wanted = _key(*_sides(other))
    places = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    stands = keys[places] == wanted if len(keys) else np.zeros(len(wanted), bool)
    low, high = labels_low[places[stands]], labels_high[places[stands]]
    same_way = np.isin(
        _key(other.a.view(np.uint64), other.b.view(np.uint64)), _key(base.a.view(np.uint64), base.b.view(np.uint64))
    )
    return Overlap(
        sentences=len(own),
        shared_sentences=int(np.isin(own, known).sum()),
        rows=len(other.a),
        one_side=int((in_a ^ in_b).sum()),
        both_sides=int((in_a & in_b).sum()),
        pairs=int(stands.sum()),
        swapped=int((stands & ~same_way).sum()),
        positive=int((low == 1).sum()),
        negative=int((high == 0).sum()),
        both=int(((low == 0) & (high == 1)).sum()),
        examples=[
            Standing(line=line, base_line=at, label=label if label >= 0 else None)
            for line, at, label in zip(
                other.lines[stands][:SHOWN_LINES].tolist(), lines[places[stands]].tolist(), high.tolist(), strict=False
            )
        ],
    )


def _key(low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A pair in 64 bits."""
    return low * _MIX + high


def _pairs_of(base: Sentences) -> tuple[NDArray[np.uint64], NDArray[np.int8], NDArray[np.int8], Ints]:
    """Every pair of the file by its key, ascending: smallest label, largest label, first line."""
    keys = _key(*_sides(base))
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    if not len(starts):
        return ordered, base.labels, base.labels, base.lines
    labels = base.labels[order]
    low, high = np.minimum.reduceat(labels, starts), np.maximum.reduceat(labels, starts)
    return ordered[starts], low, high, base.lines[order[starts]]
