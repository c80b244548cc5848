"""The robust line and its intervals, on simulations whose truth is known."""

import numpy as np
import pytest
from scipy.stats import theilslopes

from app.significance.robust_line import (
    LEAST,
    MOST_PAIRS,
    SCALE_OF_NORMAL,
    expected,
    expected_all,
    expected_anyway,
    fit,
    pairs_of,
    residual_p,
)

DRAWS = 2000


def simulated(rng: np.random.Generator, x: np.ndarray, deviation: float = 0.004) -> np.ndarray:
    """A contest as the stated assumptions have it: online = a line of valid, with normal noise about it."""
    return 0.1 + 0.8 * x + rng.normal(0, deviation, len(x))


@pytest.mark.parametrize("rows", [4, 7, 30, 60])
def test_the_line_is_scipys(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x = np.round(rng.uniform(0.9, 1, rows), 2)  # with ties
    y = simulated(rng, x)
    found = fit(x, y)
    assert found.slope == pytest.approx(theilslopes(y, x).slope)
    assert found.height == pytest.approx(float(np.median(y - found.slope * x)))


@pytest.mark.parametrize("where", [0.95, 1.0, 1.03], ids=["inside", "at the end", "beyond"])
@pytest.mark.parametrize("rows", [8, 12, 30])
def test_the_interval_covers_as_often_as_it_says(rows: int, where: float) -> None:
    rng = np.random.default_rng(rows)
    x = rng.uniform(0.9, 1, rows)
    hits = 0
    for _ in range(DRAWS):
        end = expected(fit(x, simulated(rng, x)), where)
        hits += end.low <= 0.1 + 0.8 * where + rng.normal(0, 0.004) <= end.high
    assert 0.93 <= hits / DRAWS <= 0.97


def test_it_covers_where_valid_has_noise_of_its_own() -> None:
    """Valid scores err, too: rows and the new row alike, so that the flatter line is the right one to predict by."""
    rng, hits = np.random.default_rng(5), 0
    draws = 400  # each has valid scores of its own, so noise is drawn anew
    for _ in range(draws):
        truth = rng.normal(0.95, 0.01, 9)
        valid, online = truth + rng.normal(0, 0.004, 9), 0.8 * truth + rng.normal(0, 0.003, 9)
        end = expected(fit(valid[:-1], online[:-1]), valid[-1])
        hits += end.low <= online[-1] <= end.high
    assert 0.925 <= hits / draws <= 0.975


def test_few_rows_have_a_wide_interval_and_fewer_none() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(0.9, 1, 40)
    y = simulated(rng, x)
    widths = [expected(fit(x[:rows], y[:rows]), 0.95).deviation for rows in (4, 8, 40)]
    assert widths[0] > 2 * widths[2]
    assert widths[2] == pytest.approx(0.004, rel=0.3)
    with pytest.raises(ValueError, match="3 rows: a line needs 4"):
        fit(x[: LEAST - 1], y[: LEAST - 1])


def test_odd_rows_bend_nothing_and_are_found() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(0.9, 1, 12)
    y = simulated(rng, x, 0.002)
    straight = fit(x, y)
    y[[2, 9]] += [0.05, -0.06]
    bent = fit(x, y)
    assert bent.slope == pytest.approx(straight.slope, abs=0.1)
    assert bent.deviation < 0.006
    p = residual_p(bent)
    assert set(np.flatnonzero(p < 0.05)) == {2, 9}
    assert bent.residual_N[2] > 0 > bent.residual_N[9]


def test_one_row_in_twenty_is_off_by_chance() -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(0.9, 1, 10)
    off = [(residual_p(fit(x, simulated(rng, x))) < 0.05).mean() for _ in range(DRAWS)]
    assert 0.04 <= float(np.mean(off)) <= 0.06


def test_the_deviation_is_that_of_normal_noise() -> None:
    rng = np.random.default_rng(6)
    x = rng.uniform(0.9, 1, 1500)  # more pairs than are looked at
    assert len(pairs_of(1500)[0]) == MOST_PAIRS
    found = fit(x, simulated(rng, x))
    assert found.deviation == pytest.approx(0.004, rel=0.1)
    assert found.slope == pytest.approx(0.8, abs=0.05)
    assert 0.5 < SCALE_OF_NORMAL < 0.7


def test_rows_on_one_line_are_as_far_off_as_they_were_rounded() -> None:
    x = np.array([0.91, 0.92, 0.93, 0.94, 0.95])
    exact, rounded = fit(x, x - 0.1), fit(x, x - 0.1, rounding=0.001)
    assert exact.deviation == pytest.approx(0, abs=1e-9)
    assert rounded.deviation == pytest.approx(0.001 / 12**0.5)
    assert (residual_p(rounded) > 0.9).all()


def test_one_valid_score_for_all_has_a_level_line() -> None:
    found = fit(np.full(5, 0.9), np.array([0.8, 0.81, 0.82, 0.83, 0.84]))
    assert (found.slope, found.height) == (0, pytest.approx(0.82))


@pytest.mark.parametrize("rows", [4, 9, 25])
def test_of_a_row_of_which_nothing_is_known(rows: int) -> None:
    rng, hits = np.random.default_rng(rows), 0
    for _ in range(DRAWS):
        y = rng.normal(0.87, 0.01, rows + 1)
        end = expected_anyway(y[:-1])
        hits += end.low <= y[-1] <= end.high
    assert 0.93 <= hits / DRAWS <= 0.97


def test_of_very_many_rows_the_intervals_are_the_same() -> None:
    rng = np.random.default_rng(8)
    x = rng.uniform(0.9, 1, 9)
    line = fit(x, simulated(rng, x))
    many = rng.uniform(0.85, 1.05, 1000)
    for place, end in list(enumerate(expected_all(line, many)))[::100]:
        alone = expected(line, float(many[place]))
        assert (end.value, end.low, end.high) == pytest.approx((alone.value, alone.low, alone.high), rel=2e-4)
