"""No sentence on both sides, the same split for the same seed, and the share that was asked for."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.errors import RunError
from ml.pairs import Pairs
from ml.split import make_split, shortfall


def pairs_of(edges: list[tuple[int, int]]) -> Pairs:
    labels = np.arange(len(edges), dtype=np.int8) % 2
    return Pairs([f"s {a}" for a, _ in edges], [f" s  {b} " for _, b in edges], labels)


def plain(text: str) -> str:
    return " ".join(text.split())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=60, max_size=150), st.integers(0, 2**31 - 1)
)
def test_no_sentence_is_on_both_sides(edges: list[tuple[int, int]], seed: int) -> None:
    pairs = pairs_of(edges)
    try:
        split = make_split(pairs, 0.3, seed)
    except RunError:  # one giant: told in test_a_part_of_one_label_is_refused
        return
    sides = [
        {plain(side[n]) for side in (pairs.a, pairs.b) for n in rows} for rows in (split.train_rows, split.valid_rows)
    ]
    assert not sides[0] & sides[1]
    assert sorted([*split.train_rows, *split.valid_rows]) == list(range(len(pairs)))
    assert len(split.valid_rows) <= round(0.3 * len(pairs))


@given(st.integers(0, 2**31 - 1), st.sampled_from([0.05, 0.1, 0.25, 0.5]))
@settings(max_examples=25, deadline=None)
def test_the_share_is_met_and_the_seed_decides(seed: int, share: float) -> None:
    pairs = pairs_of([(3 * (n // 2), 3 * (n // 2) + 1 + n % 2) for n in range(400)])  # components of two rows
    split = make_split(pairs, share, seed)
    assert abs(len(split.valid_rows) - share * 400) <= 2
    assert split.components == 200
    assert split.largest_component_rows == 2
    assert split.sha256 == make_split(pairs, share, seed).sha256
    assert split.sha256 != make_split(pairs, share, seed + 1).sha256


def test_a_giant_stays_in_train_and_is_told() -> None:
    chain = [(n, n + 1) for n in range(190)]
    pairs = pairs_of(chain + [(1000 + 2 * n, 1001 + 2 * n) for n in range(10)])
    split = make_split(pairs, 0.2, 1)
    assert set(split.valid_rows.tolist()) <= set(range(190, 200))
    assert "190 of 200 rows hang together" in (shortfall(split) or "")


def test_a_part_of_one_label_is_refused() -> None:
    with pytest.raises(RunError, match="valid part of the split has 0 rows"):
        make_split(pairs_of([(n, n + 1) for n in range(50)]), 0.2, 1)


def test_the_file_says_which_rows(tmp_path) -> None:
    split = make_split(pairs_of([(2 * n, 2 * n + 1) for n in range(50)]), 0.2, 3)
    split.save(tmp_path / "split.json")
    told = json.loads((tmp_path / "split.json").read_text())
    assert told["valid_row_numbers"] == split.valid_rows.tolist()
    assert (told["rows"], told["valid_rows"], told["sha256"]) == (50, 10, split.sha256)
