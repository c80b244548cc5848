"""Pairs of one part that nearly stand in another: each side the same or nearly the same, in either order.

Short sentences (most here have six tokens, where one changed token leaves a Jaccard similarity of 0.3): exactly those
one token away, by keys of the sentence with one token masked or left out. Long ones, besides: MinHash with banding
(Broder 1997; Leskovec et al., Mining of Massive Datasets, chapter 3), every candidate verified by its exact similarity.
Time grows with the tokens; memory with a stretch of sentences, not with the file. Called by the leak audit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.leak_limits import LIMITS
from ml.sentence_numbers import Ints, Tokens
from ml.text_keys import Keys, bands, one_off, shingles

#: tokens that are worked on at a time, and matches
_STRETCH = 1 << 20
_FILTER_BITS = 24
#: neighbours in a band that a long sentence is compared with
_NEXT = 16
#: long sentences that are compared at a time
_STRETCH_OF_LONG = 1 << 14


@dataclass(frozen=True, slots=True)
class Twins:
    """For each row that was looked for: a row of the other part that is nearly the same (-1: none), and in how many of
    its sides they differ."""

    row_N: Ints
    differing_N: npt.NDArray[np.int8]


def twins(tokens: Tokens, base: tuple[Ints, Ints], other: tuple[Ints, Ints]) -> Twins:
    """Look in `base` for each row of `other`; both as numbers of sentences of `tokens`."""
    there, asked = np.unique(np.concatenate(base)), np.unique(np.concatenate(other))
    count = len(tokens.lengths_S)
    both = np.intersect1d(there, asked, assume_unique=True)
    near = [(both, both), *_one_token_away(tokens, there, asked), *_similar(tokens, there, asked)]
    edges = np.unique(np.concatenate([ours * count + theirs for ours, theirs in near]))
    return _rows(np.stack([edges // count, edges % count]), base, other, count)


def _one_token_away(tokens: Tokens, there: Ints, asked: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(asked, found): sentences that differ by one token changed, added or left out."""
    ours = short(tokens, asked)
    owner_T, masked_T, deleted_T, whole_C = one_off(tokens, ours)
    longer_T = tokens.lengths_S[ours][owner_T] > LIMITS.shortest_near
    masked, deleted = _Index(masked_T, ours[owner_T]), _Index(deleted_T[longer_T], ours[owner_T[longer_T]])
    whole = _Index(whole_C, ours)
    for part in stretches(tokens, short(tokens, there)):
        owner_T, masked_T, deleted_T, whole_C = one_off(tokens, part)
        longer_T = tokens.lengths_S[part][owner_T] > LIMITS.shortest_near
        yield from masked.meet(masked_T, part[owner_T])
        yield from deleted.meet(whole_C, part)
        yield from whole.meet(deleted_T[longer_T], part[owner_T[longer_T]])


def _similar(tokens: Tokens, there: Ints, asked: Ints) -> Iterator[tuple[Ints, Ints]]:
    """(asked, found): long sentences that share most of their shingles."""
    ours, theirs = (part[tokens.lengths_S[part] >= LIMITS.shortest_long] for part in (asked, there))
    if not len(ours) or not len(theirs):
        return
    signed = [(part, bands(*shingles(tokens, part), len(part))) for part in stretches(tokens, ours)]
    numbers = np.concatenate([part for part, _ in signed])
    index = [_Index(np.concatenate([keys[band] for _, keys in signed]), numbers) for band in range(len(signed[0][1]))]
    for part in stretches(tokens, theirs):
        for one, keys_C in zip(index, bands(*shingles(tokens, part), len(part)), strict=True):
            for asked_M, found_M in one.meet(keys_C, part):
                close = _jaccard(tokens, asked_M, found_M) >= LIMITS.near_jaccard
                yield asked_M[close], found_M[close]


def similar_edges(tokens: Tokens, chosen: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Of each two long sentences that share most of their shingles, but where very many look alike: of each with the
    next ones of its band and with the first, so that what is compared grows with the sentences."""
    if not len(chosen):
        return
    signed = [(part, bands(*shingles(tokens, part), len(part))) for part in stretches(tokens, chosen)]
    numbers, count = np.concatenate([part for part, _ in signed]), len(tokens.lengths_S)
    seen = np.empty(0, np.int64)
    for band in range(len(signed[0][1])):
        asked = _within(np.concatenate([keys[band] for _, keys in signed]), numbers, count)
        asked = np.setdiff1d(asked, seen, assume_unique=True)
        seen = np.union1d(seen, asked)
        for some in np.array_split(asked, len(asked) // _STRETCH_OF_LONG + 1):
            one_M, other_M = some // count, some % count
            close = _jaccard(tokens, one_M, other_M) >= LIMITS.near_jaccard
            yield one_M[close], other_M[close]


def _within(key_C: Keys, numbers: Ints, count: int) -> Ints:
    """Two sentences of the same key as one number, each two once."""
    order = np.argsort(key_C, kind="stable")
    key_C, of_C = key_C[order], numbers[order]
    begins = np.flatnonzero(np.concatenate([[True], key_C[1:] != key_C[:-1]]))
    first_C = np.repeat(begins, np.diff(np.concatenate([begins, [len(key_C)]])))
    found = []
    for step in (*range(1, _NEXT + 1), 0):
        other_C = first_C if step == 0 else np.maximum(np.arange(len(key_C)) - step, first_C)
        apart = np.flatnonzero(other_C < np.arange(len(key_C)))
        one, other = of_C[apart], of_C[other_C[apart]]
        found.append(np.minimum(one, other) * count + np.maximum(one, other))
    return np.unique(np.concatenate(found))


def short(tokens: Tokens, chosen: Ints) -> Ints:
    """Those that are looked at token by token."""
    lengths = tokens.lengths_S[chosen]
    return chosen[(lengths >= LIMITS.shortest_near) & (lengths <= LIMITS.longest_one_off)]


def stretches(tokens: Tokens, chosen: Ints) -> Iterator[Ints]:
    """The chosen sentences, so many at a time that they hold about _STRETCH tokens."""
    upto = np.cumsum(tokens.lengths_S[chosen])
    cuts = np.searchsorted(upto, np.arange(_STRETCH, int(upto[-1]) if len(upto) else 0, _STRETCH)) + 1
    yield from (part for part in np.split(chosen, cuts) if len(part))


class _Index:
    """Keys and what they belong to, sorted; a filter of bits says at once of most other keys that they are not here."""

    def __init__(self, keys: Keys, numbers: Ints) -> None:
        order = np.argsort(keys)
        self._keys, self._numbers = keys[order], numbers[order]
        self._filter = np.zeros(1 << _FILTER_BITS, bool)
        self._filter[_low(keys)] = True

    def meet(self, keys: Keys, numbers: Ints) -> Iterator[tuple[Ints, Ints]]:
        """(ours, theirs) of each two with the same key, some at a time."""
        maybe = np.flatnonzero(self._filter[_low(keys)])
        keys, numbers = keys[maybe], numbers[maybe]
        first = np.searchsorted(self._keys, keys)
        counts = np.searchsorted(self._keys, keys, side="right") - first
        for some in _portions(counts):
            ours = self._numbers[ranges(first[some], counts[some])]
            theirs = np.repeat(numbers[some], counts[some])
            other = ours != theirs
            yield ours[other], theirs[other]


def _low(keys: Keys) -> Ints:
    return (keys >> np.uint64(64 - _FILTER_BITS)).astype(np.int64)


def _portions(counts: Ints) -> Iterator[Ints]:
    """Places with a count, so many at a time that their counts add up to about _STRETCH."""
    places = np.flatnonzero(counts)
    upto = np.cumsum(counts[places])
    cuts = np.searchsorted(upto, np.arange(_STRETCH, int(upto[-1]) if len(upto) else 0, _STRETCH)) + 1
    yield from (part for part in np.split(places, cuts) if len(part))


def ranges(first: Ints, counts: Ints) -> Ints:
    """first[0], first[0] + 1, ... (counts[0] of them), then those of first[1], and so on."""
    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) + np.repeat(first - starts, counts)


def _jaccard(tokens: Tokens, one_M: Ints, other_M: Ints) -> npt.NDArray[np.float64]:
    """Exact similarity of the shingles of each two sentences."""
    owners, keys = zip(*(shingles(tokens, part) for part in (one_M, other_M)), strict=True)
    sizes = [np.bincount(owner, minlength=len(one_M)) for owner in owners]
    owner, key = np.concatenate(owners), np.concatenate(keys)
    order = np.lexsort((key, owner))
    owner, key = owner[order], key[order]
    twice = (owner[1:] == owner[:-1]) & (key[1:] == key[:-1])
    shared = np.bincount(owner[1:][twice], minlength=len(one_M))
    together = sizes[0] + sizes[1] - shared
    return np.divide(shared, together, out=np.zeros(len(one_M)), where=together > 0)


def _rows(edges: Ints, base: tuple[Ints, Ints], other: tuple[Ints, Ints], count: int) -> Twins:
    """From sentences that are near to rows that are: of each row the side with fewer rows behind it is followed."""
    stands = np.concatenate(base)
    order = np.argsort(stands, kind="stable")
    per_sentence = np.bincount(stands, minlength=count)
    begin_S = np.cumsum(per_sentence) - per_sentence  # of the places of a sentence in `order`
    near_S = np.bincount(edges[0], minlength=count)
    edge_S = np.cumsum(near_S) - near_S
    work_S = np.bincount(edges[0], weights=per_sentence[edges[1]], minlength=count).astype(np.int64)
    both_N = (near_S[other[0]] > 0) & (near_S[other[1]] > 0)
    turned_N = work_S[other[1]] < work_S[other[0]]
    from_N, to_N = np.where(turned_N, other[1], other[0]), np.where(turned_N, other[0], other[1])
    best_N = np.full(len(from_N), np.iinfo(np.int64).max)
    known = edges[0] * count + edges[1]
    rows = len(base[0])
    for some in _portions(np.where(both_N, work_S[from_N], 0)):
        owner_E = np.repeat(some, near_S[from_N[some]])
        found_E = edges[1][ranges(edge_S[from_N[some]], near_S[from_N[some]])]
        owner_M = np.repeat(owner_E, per_sentence[found_E])
        place_M = order[ranges(begin_S[found_E], per_sentence[found_E])]
        far_M = stands[(place_M + rows) % (2 * rows)]  # the other side of that row
        wanted_M = to_N[owner_M] * count + far_M
        meets_M = known[np.minimum(np.searchsorted(known, wanted_M), len(known) - 1)] == wanted_M
        differing_M = (stands[place_M] != from_N[owner_M]).astype(np.int64) + (far_M != to_N[owner_M])
        np.minimum.at(best_N, owner_M[meets_M], (differing_M * rows + place_M % rows)[meets_M])
    found_N = best_N < np.iinfo(np.int64).max
    row_N = np.where(found_N, best_N % rows, -1)
    return Twins(row_N, np.where(found_N, best_N // rows, 0).astype(np.int8))
