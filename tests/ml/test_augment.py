"""New pairs follow from the old ones, contradictions are told and never multiplied, giants are capped."""

import time
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.augment import augment
from ml.contract.experiment import AugmentConfig
from ml.errors import RunError
from ml.pairs import Pairs

ROW = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 1))


def pairs_of(rows: list[tuple[object, object, int]]) -> Pairs:
    return Pairs([f"s{a}" for a, _, _ in rows], [f"s{b}" for _, b, _ in rows], np.array([r[2] for r in rows], np.int8))


def config(**fields: object) -> AugmentConfig:
    both = {"closure_positives": True, "closure_negatives": True, "keep_class_ratio": False, "max_per_component": 1000}
    return AugmentConfig.model_validate({**both, **fields})


def new_rows(pairs: Pairs, made: Pairs) -> list[tuple[str, str, int]]:
    start = len(pairs)
    assert (made.a[:start], made.b[:start]) == (pairs.a, pairs.b)
    return list(zip(made.a[start:], made.b[start:], made.labels_N[start:].tolist(), strict=True))


def test_the_notes_example() -> None:
    pairs = pairs_of([("a", "b", 1), ("b", "c", 1), ("c", "d", 0), ("x", "y", 0)])
    made = augment(pairs, config(), 1)
    found = {(*sorted((a, b)), label) for a, b, label in new_rows(pairs, made.pairs)}
    assert found == {("sa", "sc", 1), ("sa", "sd", 0), ("sb", "sd", 0)}
    assert (made.positives, made.negatives, made.contradictions) == (1, 2, [])
    only = augment(pairs, config(closure_negatives=False), 1)
    assert {label for _, _, label in new_rows(pairs, only.pairs)} == {1}


@settings(max_examples=80, deadline=None)
@given(st.lists(ROW, min_size=4, max_size=30), st.integers(0, 100))
def test_every_new_pair_follows(rows: list[tuple[int, int, int]], seed: int) -> None:
    """Against a closure by hand: networks of positives walked pair by pair."""
    pairs = pairs_of(rows)
    made = augment(pairs, config(), seed)
    group = {text: {text} for text in pairs.a + pairs.b}
    for a, b, label in zip(pairs.a, pairs.b, pairs.labels_N, strict=True):
        if label and group[a] is not group[b]:
            joined = group[a] | group[b]
            for text in joined:
                group[text] = joined
    negatives = [(a, b) for a, b, label in zip(pairs.a, pairs.b, pairs.labels_N, strict=True) if not label]
    bad = [group[a] for a, b in negatives if group[a] is group[b]]
    joined_groups = [(group[a], group[b]) for a, b in negatives if group[a] is not group[b]]
    known = {frozenset(pair) for pair in zip(pairs.a, pairs.b, strict=True)}
    expected = set()
    for one in {id(g): g for g in group.values()}.values():
        if not any(one is wrong for wrong in bad):
            expected |= {(frozenset(pair), 1) for pair in combinations(sorted(one), 2)}
    for one, other in joined_groups:
        if not any(g is wrong for wrong in bad for g in (one, other)):
            expected |= {(frozenset((a, b)), 0) for a in one for b in other}
    expected = {(pair, label) for pair, label in expected if pair not in known}
    found = [(frozenset((a, b)), label) for a, b, label in new_rows(pairs, made.pairs)]
    assert len(found) == len(set(found))
    assert set(found) == expected
    told = {frozenset((c.a, c.b)) for c in made.contradictions}
    assert told == {frozenset((a, b)) for a, b in negatives if group[a] is group[b] and a != b}


def test_contradictions_are_told_and_their_components_left_alone() -> None:
    pairs = pairs_of([("a", "b", 1), ("b", "c", 1), ("a", "c", 0), ("p", "q", 1), ("q", "p", 0), ("c", "z", 0)])
    made = augment(pairs, config(), 1)
    assert new_rows(pairs, made.pairs) == []
    assert [(c.a, c.b, c.kind) for c in made.contradictions] == [
        ("sa", "sc", "negative inside positives"),
        ("sq", "sp", "both labels"),
    ]
    assert made.report["contradictions"] == [
        {"a": "sa", "b": "sc", "kind": "negative inside positives"},
        {"a": "sq", "b": "sp", "kind": "both labels"},
    ]


def test_a_giant_is_capped_and_takes_no_squares() -> None:
    star = [("hub", n, 1) for n in range(30_000)]
    started = time.process_time()
    made = augment(pairs_of(star), config(max_per_component=50), 1)
    assert time.process_time() - started < 20  # all its pairs would be 450 million
    assert (made.positives, made.capped_components) == (50, 1)


@pytest.mark.parametrize("fields", [{}, {"closure_negatives": False}, {"closure_positives": False}])
def test_the_class_ratio_is_kept(fields: dict[str, object]) -> None:
    random = np.random.default_rng(0)
    rows = [(int(a), int(b), 1) for a, b in random.integers(0, 100, (60, 2)) if a != b]
    rows += [(int(a), 1000 + n, 0) for n, a in enumerate(random.integers(0, 100, 120))]
    pairs = pairs_of(rows)
    share = pairs.labels_N.mean()
    free = augment(pairs, config(max_per_component=5, **fields), 1).pairs
    kept = augment(pairs, config(max_per_component=5, keep_class_ratio=True, **fields), 1)
    assert len(kept.pairs) > len(pairs)
    assert kept.pairs.labels_N.mean() == pytest.approx(share, abs=0.01)
    assert abs(free.labels_N.mean() - share) > 0.02


def test_swap_copies_and_the_seed() -> None:
    pairs = pairs_of([("a", "b", 1), ("c", "d", 0)])
    swapped = augment(pairs, AugmentConfig(swap="copies"), 1)
    assert new_rows(pairs, swapped.pairs) == [("sb", "sa", 1), ("sd", "sc", 0)]
    assert swapped.swapped == 2
    star = pairs_of([("hub", n, 1) for n in range(20)] + [("x", "y", 0)])
    one, two, other = (augment(star, config(max_per_component=5), seed).pairs.a for seed in (1, 1, 2))
    assert one == two != other
    plain = augment(pairs, AugmentConfig(), 1)
    assert plain.pairs.a == pairs.a
    with pytest.raises(RunError, match="labels are needed"):
        augment(Pairs(["a"], ["b"], np.empty(0, np.int8)), config(), 1)
