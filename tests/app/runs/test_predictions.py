"""What the app reads of a run's valid predictions: what a run writes, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from app.runs import predictions
from ml import prediction_files


def test_what_a_run_wrote_is_read_to_the_bit(tmp_path: Path) -> None:
    rows, labels, values = np.array([0, 3, 9]), np.array([1, 0, 1], np.int8), np.array([0.1 + 0.2, 5e-324, 1 - 2**-53])
    prediction_files.write_valid(tmp_path, rows, labels, values)
    found = predictions.read(tmp_path / prediction_files.VALID)
    assert (found.rows_N.tolist(), found.labels_N.tolist()) == ([0, 3, 9], [True, False, True])
    assert found.probabilities_N.tolist() == values.tolist()
    prediction_files.write_valid(tmp_path, rows[:0], labels[:0], values[:0])
    assert len(predictions.read(tmp_path / prediction_files.VALID).rows_N) == 0


@pytest.mark.parametrize(
    "line",
    ["# 1\t1\t0.5", "1\t1", "1\t2\t0.5", "1\t1\tnan", "1\t1\t2", "0\t1\t0.5", "1.5\t1\t0.5", "inf\t1\t0.5", "\xff"],
)
def test_anything_else_is_refused_and_not_left_out(tmp_path: Path, line: str) -> None:
    path = tmp_path / "valid_predictions.tsv"
    path.write_bytes(f"0\t1\t0.5\n{line}\n2\t0\t0.25\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"line|column|convert|codec"):
        predictions.read(path)


def test_a_mean_that_was_rounded_up_is_still_a_probability(tmp_path: Path) -> None:
    path = tmp_path / "valid_predictions.tsv"
    path.write_text("0\t1\t1.0000000000000002\n")
    assert predictions.read(path).probabilities_N.tolist() == [1.0000000000000002]
    assert prediction_files.read_valid(path).probabilities_N.tolist() == [1.0000000000000002]


def test_blank_lines_alone_are_no_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "valid_predictions.tsv"
    path.write_bytes(b"\n\n")
    with pytest.raises(ValueError, match="line 1"):
        predictions.read(path)
