"""Scores against a real model's predictions, and what cannot be scored."""

import math
from pathlib import Path

import numpy as np
import pytest

from ml.errors import RunError
from ml.metrics import scores


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
