"""Masks: the rate, the 80/10/10, and that special tokens are left alone."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contract.experiment import PretrainConfig
from ml.masking import Masker

SPECIAL = (0, 1, 2, 3, 4)


def masker(probability: float = 0.15, seed: int = 0, **more: object) -> Masker:
    config = PretrainConfig.model_validate({"mlm_probability": probability, **more})
    tokens = SimpleNamespace(vocab_size=100, special_ids=SPECIAL, never_masked=SPECIAL)
    return Masker(tokens, config, torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 20), st.floats(0.01, 0.8), st.integers(0, 1000))
def test_specials_stay_and_something_is_asked(rows: int, width: int, probability: float, seed: int) -> None:
    ids_BL = torch.randint(0, 100, (rows, width), generator=torch.Generator().manual_seed(seed))
    masked = masker(probability, seed)(ids_BL)
    flat = ids_BL.flatten()
    assert torch.equal(masked.targets_M, flat[masked.places_M])
    assert not (masked.targets_M <= 4).any()
    untouched = torch.ones(len(flat), dtype=torch.bool)
    untouched[masked.places_M] = False
    assert torch.equal(masked.ids_BL.flatten()[untouched], flat[untouched])
    new = masked.ids_BL.flatten()[masked.places_M]
    assert ((new > 4) | (new == 4)).all()
    assert bool(len(masked.places_M)) == bool((flat > 4).any())


def test_rates() -> None:
    ids_BL = torch.randint(5, 100, (500, 100), generator=torch.Generator().manual_seed(1))
    masked = masker(0.15)(ids_BL)
    assert abs(len(masked.places_M) / ids_BL.numel() - 0.15) < 0.01
    new_M = masked.ids_BL.flatten()[masked.places_M]
    assert abs((new_M == 4).float().mean() - 0.8) < 0.02
    assert abs((new_M == masked.targets_M).float().mean() - 0.1) < 0.02


def test_same_seed_same_masks_and_new_ones_each_time() -> None:
    ids_BL = torch.randint(5, 100, (8, 20), generator=torch.Generator().manual_seed(1))
    one, two = masker(0.15, 5), masker(0.15, 5)
    first = one(ids_BL)
    assert torch.equal(first.ids_BL, two(ids_BL).ids_BL)
    assert not torch.equal(first.ids_BL, one(ids_BL).ids_BL)


def batch_of(rows: int = 400, width: int = 40, seed: int = 1) -> torch.Tensor:
    """[CLS] a [SEP] b [SEP] of random lengths, padded."""
    random = torch.Generator().manual_seed(seed)
    ids_BL = torch.randint(5, 100, (rows, width), generator=random)
    first = torch.randint(3, width // 2, (rows,), generator=random)
    last = torch.randint(width // 2 + 3, width, (rows,), generator=random)
    place_L = torch.arange(width)
    ids_BL[:, 0] = 2
    ids_BL[(place_L == first[:, None]) | (place_L == last[:, None])] = 3
    ids_BL[place_L > last[:, None]] = 0
    return ids_BL


KINDS = [
    {"masking": "token"},
    {"masking": "whole_word"},
    {"masking": "ngram"},
    {"masking": "ngram", "ngram_divisor": 0, "ngram_probabilities": (0.1, 0.2, 0.3, 0.4)},
    {"masking": "ngram", "gap_after_span": True},
    {"masking": "whole_word", "gap_after_span": True},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.15, 0.3])
def test_every_kind_keeps_the_rate_and_leaves_specials_alone(kind: dict[str, object], rate: float) -> None:
    ids_BL = batch_of()
    begins_BL = torch.rand(ids_BL.shape, generator=torch.Generator().manual_seed(5)) < 0.6
    make = masker(rate, **kind)
    counted = asked = 0
    for _ in range(30):
        masked = make(ids_BL, begins_BL)
        assert not (masked.targets_M <= 4).any()
        counted += len(masked.places_M)
        asked += int((ids_BL > 4).sum())
    assert counted / asked == pytest.approx(rate, rel=0.04)


def spans_of(ids_BL: torch.Tensor, places_M: torch.Tensor) -> list[int]:
    """Lengths of runs of masked neighbours, cut at specials."""
    chosen = torch.zeros(ids_BL.numel(), dtype=torch.bool)
    chosen[places_M] = True
    lengths, run = [], 0
    for one in chosen.tolist():
        if one:
            run += 1
        elif run:
            lengths.append(run)
            run = 0
    return lengths


def test_spans_have_the_lengths_asked_for() -> None:
    ids_BL = batch_of(2000)
    make = masker(0.02, masking="ngram", ngram_probabilities=(0.0, 0.0, 1.0), ngram_divisor=0)
    lengths = spans_of(ids_BL, make(ids_BL).places_M)
    assert sum(length == 3 for length in lengths) / len(lengths) > 0.75  # the others: cut by a sentence's end, or two
    single = masker(0.02, masking="ngram", ngram_probabilities=(1.0,))
    assert max(spans_of(ids_BL, single(ids_BL).places_M)) <= 3
    short = torch.tensor([[2, 5, 6, 3, 7, 8, 3]] * 500)
    shortened = masker(0.1, masking="ngram", ngram_probabilities=(0.0, 1.0), ngram_divisor=3)(short)
    whole = masker(0.1, masking="ngram", ngram_probabilities=(0.0, 1.0), ngram_divisor=0)(short)
    assert spans_of(short, whole.places_M) == [2] * len(spans_of(short, whole.places_M))
    assert spans_of(short, shortened.places_M).count(1) > spans_of(short, shortened.places_M).count(2)


def test_whole_words_are_masked_whole_and_never_across_sentences() -> None:
    ids_BL = torch.tensor([[2, 5, 6, 7, 3, 8, 9, 3, 0]] * 300)
    begins_BL = torch.tensor([[True, True, False, True, True, False, False, True, True]] * 300)  # b's first says no
    masked = masker(0.3, masking="whole_word")(ids_BL, begins_BL)
    chosen = torch.zeros(ids_BL.numel(), dtype=torch.bool)
    chosen[masked.places_M] = True
    rows = chosen.view_as(ids_BL)
    assert torch.equal(rows[:, 1], rows[:, 2])
    assert torch.equal(rows[:, 5], rows[:, 6])
    assert not torch.equal(rows[:, 3], rows[:, 5])
    with pytest.raises(ValueError, match="where words begin"):
        masker(masking="whole_word")(ids_BL)


def test_a_gap_follows_every_span() -> None:
    ids_BL = batch_of(300)
    masked = masker(0.4, gap_after_span=True)(ids_BL)
    assert set(spans_of(ids_BL, masked.places_M)) == {1}
    assert max(spans_of(ids_BL, masker(0.4)(ids_BL).places_M)) > 2


def test_shares_of_mask_and_random() -> None:
    ids_BL = torch.randint(5, 100, (500, 100), generator=torch.Generator().manual_seed(1))
    masked = masker(mask_token_share=0.5, random_token_share=0.0)(ids_BL)
    new_M = masked.ids_BL.flatten()[masked.places_M]
    assert abs((new_M == 4).float().mean() - 0.5) < 0.02
    assert torch.equal(new_M[new_M != 4], masked.targets_M[new_M != 4])
    other = masker(mask_token_share=0.0, random_token_share=1.0)(ids_BL)
    assert (other.ids_BL.flatten()[other.places_M] == other.targets_M).float().mean() < 0.03
