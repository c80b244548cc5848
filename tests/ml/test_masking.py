"""Masks: the rate, the 80/10/10, and that special tokens are left alone."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.masking import Masker

SPECIAL = (0, 1, 2, 3, 4)


def masker(probability: float, seed: int = 0) -> Masker:
    return Masker(SPECIAL, 100, probability, torch.Generator().manual_seed(seed))


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
