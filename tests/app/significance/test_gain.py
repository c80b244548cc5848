"""What another online score is worth, on simulations whose truth is known."""

import numpy as np
import pytest
from scipy.stats import norm, ttest_ind
from sklearn.metrics import roc_auc_score

from app.significance.gain import auc_error, chance, expected_gain, scores_needed


@pytest.mark.parametrize(("mean", "deviation"), [(0.87, 0.01), (0.9, 0.005), (0.8, 0.05), (0.88, 0.0)])
def test_the_gain_is_the_mean_rise_of_the_best(mean: float, deviation: float) -> None:
    drawn = np.random.default_rng(0).normal(mean, deviation, 200_000)
    assert expected_gain(mean, deviation, 0.88) == pytest.approx(np.maximum(drawn - 0.88, 0).mean(), abs=3e-4)
    assert chance(mean, deviation, 0.88) == pytest.approx((drawn > 0.88).mean(), abs=5e-3)


def test_a_wide_interval_gains_more_than_a_narrow_one() -> None:
    assert expected_gain(0.87, 0.02, 0.88) > expected_gain(0.872, 0.002, 0.88)


def test_so_many_scores_tell_two_recipes_apart_four_times_in_five() -> None:
    needed = scores_needed(0.004, 0.004)
    assert needed == 16
    rng = np.random.default_rng(1)
    one, two = rng.normal(0.004, 0.004, (2000, needed)), rng.normal(0, 0.004, (2000, needed))
    assert 0.74 <= (ttest_ind(one, two, axis=1).pvalue < 0.05).mean() <= 0.83
    assert scores_needed(0.1, 0.001) == 1
    assert scores_needed(0.0, 0.001) is None


def test_the_error_of_an_auc_is_that_of_drawn_boards() -> None:
    rng, ones, zeros, effect = np.random.default_rng(2), 180, 320, 1.6
    labels = np.arange(ones + zeros) < ones
    drawn = [roc_auc_score(labels, rng.standard_normal(ones + zeros) + effect * labels) for _ in range(400)]
    auc = norm.cdf(effect / 2**0.5)
    assert auc_error(auc, ones, zeros) == pytest.approx(np.std(drawn), rel=0.15)
    assert auc_error(1.0, ones, zeros) == auc_error(0.9, 0, zeros) == 0
