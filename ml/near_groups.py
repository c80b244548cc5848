"""Which rows have to stay on one side so that no pair nearly stands in the other part. Called by split.

Two rows that share a sentence (but for how it is written) hang together, and so do two whose sides are the same or
nearly the same, in either order: by one token changed, added or left out, or, of long sentences, by most shingles.

Sentences that are near each other meet in a hub: the sentence with one token masked, the sentence with one left out, or
a cluster of long ones. Rows meet where both of their sides do. Each row has no more places to meet than its sentences
have hubs, however many rows are alike, so time grows with the rows: no two rows are ever compared.
"""

from dataclasses import dataclass

import numpy as np

from ml.leak_checks import connected
from ml.leak_limits import LIMITS
from ml.near_duplicates import ranges, short, similar_edges, stretches
from ml.pairs import Pairs
from ml.sentence_numbers import Ints, Tokens, numbered, tokens_of
from ml.text_keys import one_off

#: meeting places that are sorted at a time
_AT_ONCE = 1 << 24


@dataclass(frozen=True, slots=True)
class Hubs:
    """The hubs of each sentence s: `number[begin_S[s] : begin_S[s] + count_S[s]]`; the first is its own."""

    number: Ints
    begin_S: Ints
    count_S: Ints
    total: int


def near_groups(pairs: Pairs) -> Ints:
    """The group of each row (N), numbered from 0."""
    numbers = numbered([pairs])
    a, b = numbers.normal(0)
    component_N = connected(len(numbers.texts), a, b)[a]
    keys = np.minimum(a, b) * len(numbers.texts) + np.maximum(a, b)
    _, first = np.unique(keys, return_index=True)
    found = hubs(tokens_of(numbers.texts, ids=numbers.ids))
    ours, theirs = _meetings(found, a[first], b[first])
    group_C = connected(int(component_N.max()) + 1, component_N[first[ours]], component_N[first[theirs]])
    return np.unique(group_C[component_N], return_inverse=True)[1].astype(np.int64)


def hubs(tokens: Tokens) -> Hubs:
    """Where sentences meet that are nearly the same; a hub of a single sentence, beside its own, is none."""
    count = len(tokens.lengths_S)
    everyone = np.arange(count)
    found = [(everyone, everyone), *_one_token_away(tokens, count)]
    long = everyone[tokens.lengths_S >= LIMITS.shortest_long]
    edges = list(similar_edges(tokens, long))
    if edges:
        one, other = (np.concatenate(side) for side in zip(*edges, strict=True))
        cluster = connected(count, one, other)
        several = np.bincount(cluster, minlength=count)[cluster] > 1
        found.append((everyone[several], _next(found) + cluster[several]))
    owner, number = (np.concatenate(side) for side in zip(*found, strict=True))
    order = np.argsort(owner, kind="stable")
    count_S = np.bincount(owner, minlength=count)
    return Hubs(number[order], np.cumsum(count_S) - count_S, count_S, int(number.max(initial=0)) + 1)


def _next(found: list[tuple[Ints, Ints]]) -> int:
    """The first number that no hub has."""
    return max(int(number.max(initial=-1)) for _, number in found) + 1


def _one_token_away(tokens: Tokens, count: int) -> list[tuple[Ints, Ints]]:
    """(sentence, hub): one for each masked form that several share, and the sentence itself for one that becomes it by
    leaving a token out."""
    masked, owners, shorter = [], [], []
    chosen = short(tokens, np.arange(count))
    whole = np.concatenate([one_off(tokens, part)[3] for part in stretches(tokens, chosen)] or [np.empty(0, np.uint64)])
    order = np.argsort(whole)
    whole, whole_of = whole[order], chosen[order]
    for part in stretches(tokens, chosen):
        owner_T, masked_T, deleted_T, _ = one_off(tokens, part)
        masked.append(masked_T)
        owners.append(part[owner_T])
        longer = tokens.lengths_S[part[owner_T]] > LIMITS.shortest_near
        place = np.minimum(np.searchsorted(whole, deleted_T), len(whole) - 1)
        there = longer & (whole[place] == deleted_T)
        shorter.append((part[owner_T[there]], whole_of[place[there]]))
    if not masked:
        return []
    keys, owner = np.concatenate(masked), np.concatenate(owners)
    _, hub, counts = np.unique(keys, return_inverse=True, return_counts=True)
    several = counts[hub] > 1
    pairs = [(owner[several], count + hub[several])]
    left, right = (np.concatenate(side) for side in zip(*shorter, strict=True))
    edges = np.unique(left * count + right)
    return [*pairs, (edges // count, edges % count)]


def _meetings(found: Hubs, a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """(row, row) that meet in both sides, enough of them to connect all that do."""
    places = found.count_S[a] * found.count_S[b]
    parts = int(places.sum()) // _AT_ONCE + 1
    ours, theirs = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    upto = np.cumsum(places)
    cuts = np.searchsorted(upto, np.arange(_AT_ONCE, int(upto[-1]), _AT_ONCE)) + 1
    portions = np.split(np.arange(len(a)), cuts)
    for part in range(parts):  # the same place falls into the same part, so that a part can be sorted by itself
        keys, owners = [], []
        for some in portions:
            owner, key = _places(found, a, b, some, places)
            mine = key % parts == part
            keys.append(key[mine])
            owners.append(owner[mine])
        key, owner = np.concatenate(keys), np.concatenate(owners)
        order = np.argsort(key, kind="stable")
        key, owner = key[order], owner[order]
        same = key[1:] == key[:-1]
        ours.append(owner[1:][same])
        theirs.append(owner[:-1][same])
    return np.concatenate(ours), np.concatenate(theirs)


def _places(found: Hubs, a: Ints, b: Ints, some: Ints, places: Ints) -> tuple[Ints, Ints]:
    """Of these rows each meeting place: a hub of one side with a hub of the other, in either order."""
    owner = np.repeat(some, places[some])
    place = ranges(np.zeros(len(some), np.int64), places[some])
    of_b = found.count_S[b[owner]]
    first = found.number[found.begin_S[a[owner]] + place // of_b]
    second = found.number[found.begin_S[b[owner]] + place % of_b]
    return owner, np.minimum(first, second) * found.total + np.maximum(first, second)
