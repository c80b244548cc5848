"""The files in which predictions travel from run to run: written by finetune and blend, read by blend.

valid_predictions.tsv: row number, label, probability. test_predictions.tsv: probability. No header. repr of a float
has all its decimals: a rounded file makes ties, and ties cost AUC.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from ml.checkpoint import write_text
from ml.contract.scores import Scores
from ml.contract.strict import Strict
from ml.errors import RunError
from ml.metrics import Labels

#: as repr writes a float; Python itself takes more (1_0, other scripts' digits, nan)
_DECIMAL = re.compile(r"\d+(\.\d*)?(e[+-]?\d+)?", re.ASCII)
#: rows below 10^18 fit into an int64
_VALID_LINE = re.compile(r"(\d{1,18})\t([01])\t([^\t]+)", re.ASCII)
#: by which a probability may be above 1: blends of before wrote weighted means as they came out
ROUNDING = 1e-9
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
    rows, labels, probabilities = list[int](), list[int](), list[float]()
    for number, line in _lines(path):
        found = _VALID_LINE.fullmatch(line)
        probability = _probability(found[3]) if found else None
        if found is None or probability is None or (rows and int(found[1]) <= rows[-1]):
            raise RunError(
                f"{path} line {number}: {line[:80]!r} is not a row (above the one before), a label and a probability"
            )
        rows.append(int(found[1]))
        labels.append(int(found[2]))
        probabilities.append(probability)
    return ValidPart(np.array(rows, np.int64), np.array(labels, np.int8), np.array(probabilities, np.float64))


def read_test_predictions(path: Path) -> Probabilities:
    """What write_test wrote. Raises RunError that names the line of what is no number."""
    found = []
    for number, line in _lines(path):
        probability = _probability(line)
        if probability is None:
            raise RunError(f"{path} line {number}: {line[:80]!r} is not a probability")
        found.append(probability)
    return np.array(found, np.float64)


def read_scores(path: Path) -> RunScores:
    """What write_scores wrote. Raises RunError that says what does not belong there."""
    try:
        return RunScores.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: {where or 'it'}: {first['msg']}: the file is not what a run writes") from error


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """With their numbers. As bytes and not as str, whose splitlines knows ends of lines that nobody wrote."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        yield number, line.decode("ascii", "backslashreplace")


def _probability(text: str) -> float | None:
    """None for what is no number from 0 to 1, give or take what is lost in adding up."""
    value = float(text) if _DECIMAL.fullmatch(text) else None
    return value if value is not None and value <= 1 + ROUNDING else None
