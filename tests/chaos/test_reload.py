"""The reload check can fail: a prediction that is other by one bit, one that is missing, one that was never made."""

from pathlib import Path

import numpy as np
import pytest

from tests.chaos.reload import differences


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("run", "scratch"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "valid_predictions.tsv").write_text("4\t1\t0.25\n9\t0\t0.125\n")
    (tmp_path / "run" / "test_predictions.tsv").write_text("0.5\n0.75\n")
    np.save(tmp_path / "scratch" / "valid.npy", np.array([0.25, 0.125]))
    np.save(tmp_path / "scratch" / "test.npy", np.array([0.5, 0.75]))
    return tmp_path


def test_the_same(place: Path) -> None:
    assert list(differences(place)) == []


def test_one_bit(place: Path) -> None:
    np.save(place / "scratch" / "test.npy", np.array([0.5, np.nextafter(0.75, 1)]))
    (text,) = differences(place)
    assert text.startswith("test is predicted otherwise, by up to 1.11e-16")


def test_a_row_is_missing(place: Path) -> None:
    np.save(place / "scratch" / "valid.npy", np.array([0.25]))
    (text,) = differences(place)
    assert text == "valid has 1 rows, 2 were predicted in the run"


def test_never_loaded(place: Path) -> None:
    (place / "scratch" / "valid.npy").unlink()
    (place / "stderr").write_text("RunError: no vocabulary")
    (text,) = differences(place)
    assert text == "valid was not predicted: RunError: no vocabulary"
