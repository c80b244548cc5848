"""Scores against a real model's predictions, and what cannot be scored."""

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml.errors import RunError
from ml.metrics import RESAMPLES, auc_interval, scores


def test_golden(shared_data: Path) -> None:
    path = shared_data / "gaiic2021" / "validation_predictions.csv"
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float64)
    found = scores(table[:, 0].astype(np.int8), table[:, 1])
    assert len(table) == 80_000
    assert found.roc_auc == pytest.approx(0.94014858, abs=5e-9)
    assert found.accuracy == pytest.approx(np.mean((table[:, 1] >= 0.5) == table[:, 0]))


def test_ties_count_half() -> None:
    found = scores(np.array([0, 1, 0, 1], np.int8), np.array([0.5, 0.5, 0.1, 0.9]))
    assert found.roc_auc == pytest.approx(0.875)
    assert found.accuracy == 0.75
    assert found.f1 == pytest.approx(0.8)
    assert found.log_loss == pytest.approx(-(2 * math.log(0.5) + 2 * math.log(0.9)) / 4)


def test_certain_and_wrong_is_finite() -> None:
    assert math.isfinite(scores(np.array([0, 1], np.int8), np.array([1.0, 0.0])).log_loss)
    assert scores(np.array([0, 1], np.int8), np.array([0.1, 0.2])).f1 == 0


def test_refusals() -> None:
    with pytest.raises(RunError, match="2 of 3 predictions are not numbers"):
        scores(np.array([0, 1, 1], np.int8), np.array([0.1, np.nan, np.inf]))
    with pytest.raises(RunError, match="labels are the same"):
        scores(np.array([1, 1], np.int8), np.array([0.1, 0.2]))


@pytest.mark.parametrize(("rows", "clusters", "decimals"), [(40, 6, 1), (300, 300, 6), (3000, 700, 2)])
def test_the_interval_is_of_the_auc_that_scikit_learn_gives_each_resample(
    rows: int, clusters: int, decimals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = np.random.default_rng(rows)
    labels = draw.integers(0, 2, rows).astype(np.int8)
    probabilities = np.round(1 / (1 + np.exp(draw.normal(0, 1, rows) - labels)), decimals)
    component = draw.permutation(np.arange(rows) % clusters)

    again = np.random.default_rng(0)
    found = []
    for _ in range(RESAMPLES):
        weights = np.bincount(again.integers(0, clusters, clusters), minlength=clusters)[component]
        found.append(roc_auc_score(labels, probabilities, sample_weight=weights))
    expected = np.percentile(found, [2.5, 97.5])
    assert auc_interval(labels, probabilities, component) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr("ml.metrics.CELLS", 7 * rows)  # in small portions
    assert auc_interval(labels, probabilities, component) == pytest.approx(expected, abs=1e-12)


def test_a_resample_of_one_label_counts_as_a_half() -> None:
    low, high = auc_interval(np.array([0, 1], np.int8), np.array([0.1, 0.9]), np.arange(2))
    assert (low, high) == (0.5, 1.0)
