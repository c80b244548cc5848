"""Rank agreement of valid and online, against scipy and on simulations."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from app.significance.rank_agreement import agreement


def test_the_coefficients_are_scipys_and_the_pairs_are_counted() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y = rng.integers(0, 8, 12) / 8, rng.integers(0, 8, 12) / 8
        found = agreement(x, y)
        assert found is not None
        assert found.kendall == pytest.approx(kendalltau(x, y).statistic)
        assert found.spearman == pytest.approx(spearmanr(x, y).statistic)
        turns = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(12), 2)]
        assert (found.same, found.turned, found.tied) == (turns.count(1), turns.count(-1), turns.count(0))


def test_the_p_value_is_exact_for_few_rows() -> None:
    x = np.array([0.8, 0.944, 0.955, 0.915, 0.9506])
    found = agreement(x, x * 0.9)
    assert found is not None
    assert found.p == pytest.approx(2 / 120)
    assert found.ranks
    assert 0 < found.kendall_low < found.kendall_high == 1
    back = agreement(x, -x)
    assert back is not None
    assert not back.ranks
    assert back.kendall == -1
    y = np.array([0.3, 0.1, 0.2, 0.5, 0.4])
    assert agreement(x, y).p == pytest.approx(kendalltau(x, y, method="exact").pvalue)


def test_four_rows_can_not_tell_and_level_ones_rank_nothing() -> None:
    x = np.array([0.1, 0.2, 0.3, 0.4])
    four = agreement(x, x)
    assert four is not None
    assert not four.can_tell
    assert not four.ranks
    assert agreement(x, np.ones(4)) is None
    assert agreement(x[:2], x[:2]) is None


@pytest.mark.parametrize("rows", [6, 12, 60])
def test_chance_ranks_as_seldom_as_it_says(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x = rng.random(rows)
    draws = 300
    told = [agreement(x, rng.random(rows)) for _ in range(draws)]
    assert sum(found.p < 0.05 for found in told) / draws <= 0.075
    zero = [found.kendall_low <= 0 <= found.kendall_high for found in told]
    assert 0.92 <= np.mean(zero) <= 0.995


def test_the_intervals_cover_the_truth() -> None:
    """Of two normal scores with correlation r: tau = 2/pi arcsin r, rho = 6/pi arcsin r/2."""
    rng, r, rows, draws = np.random.default_rng(2), 0.7, 20, 200
    tau, rho = 2 / np.pi * np.arcsin(r), 6 / np.pi * np.arcsin(r / 2)
    hits = np.zeros(2)
    for _ in range(draws):
        x, own = rng.standard_normal(rows), rng.standard_normal(rows)
        found = agreement(x, r * x + (1 - r**2) ** 0.5 * own)
        hits += [found.kendall_low <= tau <= found.kendall_high, found.spearman_low <= rho <= found.spearman_high]
    assert (hits / draws >= 0.91).all()
    assert (hits / draws <= 0.99).all()
