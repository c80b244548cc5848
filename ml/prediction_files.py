"""The files in which predictions travel from run to run: written by finetune and blend, read by blend.

valid_predictions.tsv: row number, label, probability. test_predictions.tsv: probability. No header. repr of a float
has all its decimals: a rounded file makes ties, and ties cost AUC.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ml.checkpoint import write_text
from ml.contract.scores import Scores
from ml.contract.strict import Strict
from ml.errors import RunError
from ml.metrics import Labels

VALID, TEST, SCORES = "valid_predictions.tsv", "test_predictions.tsv", "scores.json"
Probabilities = npt.NDArray[np.float64]


class RunScores(Strict):
    """scores.json: what a training scored; `valid` is None when nothing was held out."""

    train: Scores | None
    valid: Scores | None


@dataclass(frozen=True, slots=True)
class ValidPart:
    """Predictions of rows (ascending numbers) of the train file, with their labels."""

    rows: npt.NDArray[np.int64]
    labels_N: Labels
    probabilities_N: Probabilities


def write_valid(out: Path, rows: npt.NDArray[np.int64], labels_N: Labels, probabilities_N: Probabilities) -> None:
    """Write valid_predictions.tsv; empty when nothing was held out."""
    lines = zip(rows.tolist(), labels_N.tolist(), probabilities_N.tolist(), strict=True)
    write_text(out / VALID, "".join(f"{row}\t{label}\t{p!r}\n" for row, label, p in lines))


def write_test(out: Path, probabilities_N: Probabilities) -> None:
    """Write test_predictions.tsv."""
    write_text(out / TEST, "".join(f"{p!r}\n" for p in probabilities_N.tolist()))


def write_scores(out: Path, found: RunScores) -> None:
    """Write scores.json."""
    write_text(out / SCORES, found.model_dump_json(indent=1))


def read_valid(path: Path) -> ValidPart:
    """What write_valid wrote. Raises RunError that names the line of what does not belong there."""
    rows, labels, probabilities = [], [], []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row, label, probability = line.split("\t")
            rows.append(int(row))
            labels.append(int(label))
            probabilities.append(float(probability))
        except ValueError as error:
            raise RunError(f"{path} line {number}: {line[:80]!r} is not a row, a label and a probability") from error
    return ValidPart(np.array(rows, np.int64), np.array(labels, np.int8), np.array(probabilities, np.float64))


def read_test_predictions(path: Path) -> Probabilities:
    """What write_test wrote. Raises RunError that names the line of what is no number."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(float(line))
        except ValueError as error:
            raise RunError(f"{path} line {number}: {line[:80]!r} is not a probability") from error
    return np.array(found, np.float64)


def read_scores(path: Path) -> RunScores:
    """What write_scores wrote."""
    return RunScores.model_validate_json(path.read_bytes())
