"""The web's formulas of a blend are those of the run that makes it, to the bit."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit

from app.significance import mixing
from ml import mixing as of_the_run
from ml.contract.fusion_config import METHODS


def drawn(rows: int, members: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions with ties and extremes, and components, a giant among them."""
    random = np.random.default_rng(seed)
    labels = random.random(rows) < 0.4
    scores = (labels * 2 - 1) + random.standard_normal((members, rows)) * random.uniform(0.5, 3, (members, 1))
    p = expit(2 * scores).T.round(3)
    component = random.integers(0, rows // 2, rows)
    component[: rows // 8] = 0
    return labels, p, component


@pytest.mark.parametrize("room", [mixing, of_the_run])
def test_shares_of_what_is_certain_are_not_above_1(room: Any) -> None:
    shares = np.array([0.5, 0.5 + 2**-52])  # together 1, give or take what is lost in adding up
    assert (np.ones((2, 2)) @ shares).max() > 1
    assert room.Mix("constrained", shares).of(np.ones((2, 2))).tolist() == [1.0, 1.0]


def crossed(p: np.ndarray, labels: np.ndarray, component: np.ndarray, method: str) -> np.ndarray:
    return mixing.cross_fitted(mixing.Members(p), labels, mixing.parts_of(component, labels), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("rows", "members"), [(60, 2), (700, 7)])
def test_both_sides_have_the_same_formulas(method: str, rows: int, members: int) -> None:
    labels, p, component = drawn(rows, members, seed=rows)
    if method not in mixing.FOUND:
        assert np.array_equal(mixing.combine(mixing.Members(p), method), of_the_run.combine(p, method))
        return
    ones = labels.astype(np.int8)
    theirs, ours = of_the_run.fitted(p, ones, method), mixing.fitted(mixing.Members(p), labels, method)
    assert np.array_equal(theirs.weights_M, ours.weights_M)
    assert theirs.constant == ours.constant
    other = drawn(50, members, seed=1)[1]
    assert np.array_equal(theirs.of(other), ours.of(other))
    # the numbers of components are others on both sides, the parts are not
    renamed = np.random.default_rng(2).permutation(rows)[component]
    there, here = of_the_run.cross_fitted(p, ones, component, method), crossed(p, labels, renamed, method)
    assert np.array_equal(there, here)


def test_both_sides_refuse_the_same() -> None:
    p = np.random.default_rng(1).random((10, 2))
    with pytest.raises(ValueError, match="hang together in one component"):
        crossed(p, np.arange(10) % 2 == 0, np.zeros(10, np.int64), "greedy")
    with pytest.raises(ValueError, match="too few valid rows of one label"):
        crossed(p, np.arange(10) == 3, np.arange(10), "constrained")
