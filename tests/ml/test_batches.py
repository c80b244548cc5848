"""Every row once, in batches of like length; padded tensors hold the rows and nothing else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.batches import WIDTH_MULTIPLE, epoch_plan, make_batch, scoring_plan, steps_per_epoch, training_plan
from ml.encoded import EncodedPairs


def encoded_of(lengths: list[int]) -> EncodedPairs:
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    return EncodedPairs(np.arange(5, 5 + offsets[-1], dtype=np.int32), offsets, np.array(lengths, np.int32) // 2 + 1)


LENGTHS = st.lists(st.integers(3, 60), min_size=1, max_size=300)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 70), st.integers(0, 1000))
def test_every_row_once(lengths: list[int], size: int, seed: int) -> None:
    lengths_N = np.array(lengths)
    for plan in (epoch_plan(lengths_N, size, np.random.default_rng(seed)), scoring_plan(lengths_N, size)):
        assert len(plan) == steps_per_epoch(len(lengths), size)
        assert sorted(np.concatenate(plan).tolist()) == list(range(len(lengths)))
        assert max(map(len, plan)) <= size


def test_passes_differ_and_the_seed_decides() -> None:
    lengths_N = np.random.default_rng(0).integers(3, 30, 100)
    one, two = training_plan(lengths_N, 10, 1), training_plan(lengths_N, 10, 1)
    first, second = ([next(one).tolist() for _ in range(10)] for _ in range(2))
    assert first == [next(two).tolist() for _ in range(10)]
    assert first != second
    assert sorted(row for rows in second for row in rows) == list(range(100))


def test_shuffling_is_unbiased_by_length() -> None:
    """Over many passes a row's place in the pass, its weight (1 / rows of its batch) and its company do not depend on
    its length, beyond what chance does: the bounds are four standard errors of the measured values."""
    lengths_N = np.sort(np.random.default_rng(0).integers(3, 60, 1000))  # 15 full batches and 40 rows
    places, weights, firsts, neighbours = [], [], [], []
    for seed in range(400):
        plan = epoch_plan(lengths_N, 64, np.random.default_rng(seed))
        place_N, weight_N, batch_N = np.empty(1000), np.empty(1000), np.empty(1000)
        for number, rows in enumerate(plan):
            place_N[rows], weight_N[rows], batch_N[rows] = number, 1 / len(rows), number
        places.append(np.corrcoef(place_N, lengths_N)[0, 1])
        weights.append(np.average(lengths_N, weights=weight_N) - lengths_N.mean())
        firsts.append(lengths_N[plan[0]].mean() - lengths_N.mean())
        neighbours.append(np.mean(batch_N[::2] == batch_N[1::2]))
    for name, found in (("place", places), ("weight", weights), ("first batch", firsts)):
        assert abs(np.mean(found)) < 4 * np.std(found) / 20, name
    assert 0.9 < np.mean(neighbours) < 1.0  # rows of like length often meet inside a chunk, and not always


def test_sorting_saves_padding() -> None:
    lengths_N = np.random.default_rng(0).integers(3, 60, 6400)
    plan = epoch_plan(lengths_N, 64, np.random.default_rng(0))
    assert sum(len(rows) * lengths_N[rows].max() for rows in plan) < 1.05 * lengths_N.sum()


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 70))
def test_tensors(lengths: list[int], size: int) -> None:
    encoded = encoded_of(lengths)
    for rows in scoring_plan(encoded.lengths_N, size):
        batch = make_batch(encoded, rows, pad_id=0)
        assert batch.ids_BL.shape[1] % WIDTH_MULTIPLE == 0
        assert batch.ids_BL.shape[1] < encoded.lengths_N[rows].max() + 4
        for place, row in enumerate(rows):
            length, second = lengths[row], int(encoded.second_N[row])
            ids, types, real = (t[place].tolist() for t in (batch.ids_BL, batch.types_BL, batch.real_BL))
            rest = len(ids) - length
            assert ids == encoded.flat_T[encoded.offsets[row] : encoded.offsets[row + 1]].tolist() + [0] * rest
            assert types == [0] * second + [1] * (length - second) + [0] * rest
            assert real == [True] * length + [False] * rest
