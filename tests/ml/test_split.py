"""No sentence on both sides, the same split for the same seed, and the share that was asked for."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contract.experiment import DataConfig
from ml.errors import RunError
from ml.pairs import Pairs
from ml.split import make_split, shortfall


def held(share: float, seed: int) -> DataConfig:
    """One held-out part."""
    return DataConfig(valid_fraction=share, split_seed=seed)


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
        split = make_split(pairs, held(0.3, seed))
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
    split = make_split(pairs, held(share, seed))
    assert abs(len(split.valid_rows) - share * 400) <= 2
    assert split.components == 200
    assert split.largest_component_rows == 2
    assert split.sha256 == make_split(pairs, held(share, seed)).sha256
    assert split.sha256 != make_split(pairs, held(share, (seed + 1) % 2**31)).sha256


def test_a_giant_stays_in_train_and_is_told() -> None:
    chain = [(n, n + 1) for n in range(190)]
    pairs = pairs_of(chain + [(1000 + 2 * n, 1001 + 2 * n) for n in range(10)])
    split = make_split(pairs, held(0.2, 1))
    assert set(split.valid_rows.tolist()) <= set(range(190, 200))
    assert "190 of 200 rows hang together" in (shortfall(split) or "")


def test_a_part_of_one_label_is_refused() -> None:
    with pytest.raises(RunError, match="valid part of the split has 0 rows"):
        make_split(pairs_of([(n, n + 1) for n in range(50)]), held(0.2, 1))


def test_the_file_says_which_rows(tmp_path) -> None:
    split = make_split(pairs_of([(2 * n, 2 * n + 1) for n in range(50)]), held(0.2, 3))
    split.save(tmp_path / "split.json")
    told = json.loads((tmp_path / "split.json").read_text())
    assert told["valid_row_numbers"] == split.valid_rows.tolist()
    assert (told["rows"], told["valid_rows"], told["sha256"]) == (50, 10, split.sha256)


@given(st.integers(0, 1000), st.integers(2, 6))
@settings(max_examples=15, deadline=None)
def test_folds_hold_every_row_out_once_and_no_sentence_twice(seed: int, folds: int) -> None:
    random = np.random.default_rng(seed)
    pairs = pairs_of(
        [(int(a), int(b)) for a, b in random.integers(0, 400, (200, 2))] + [(1000 + n, n) for n in range(40)]
    )
    data = DataConfig(folds=folds, split_seed=seed)
    try:
        splits = [make_split(pairs, data, fold) for fold in range(folds)]
    except RunError:  # a giant took a whole fold's labels
        return
    assert sorted(np.concatenate([split.valid_rows for split in splits])) == list(range(len(pairs)))
    for split in splits:
        sides = [
            {plain(side[n]) for side in (pairs.a, pairs.b) for n in rows}
            for rows in (split.train_rows, split.valid_rows)
        ]
        assert not sides[0] & sides[1]


def test_folds_are_stratified() -> None:
    labels = np.array([1] * 60 + [0] * 240, np.int8)
    pairs = Pairs([f"a{n}" for n in range(300)], [f"b{n}" for n in range(300)], labels)
    shares = [pairs.labels_N[make_split(pairs, DataConfig(folds=5), fold).valid_rows].mean() for fold in range(5)]
    assert shares == pytest.approx([0.2] * 5)


def test_a_row_split_shares_sentences_and_full_data_holds_nothing_out() -> None:
    pairs = pairs_of([(n // 4, 1000 + n) for n in range(200)])
    split = make_split(pairs, DataConfig(split_by="row", valid_fraction=0.3))
    assert len(split.valid_rows) == 60
    train, valid = ({pairs.a[n] for n in rows} for rows in (split.train_rows, split.valid_rows))
    assert train & valid
    everything = make_split(pairs, DataConfig(full_data=True))
    assert (len(everything.train_rows), len(everything.valid_rows)) == (200, 0)
    assert shortfall(everything) is None
