"""What an experiment predicted for the rows that it held out. Read by everything that judges it pair by pair."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.errors import NotFound, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs import queries
from app.storage import Storage

FILE = "valid_predictions.tsv"
#: up to here a float holds every whole number
MOST_ROW = 2.0**53
#: by which a probability may be above 1: blends of before wrote weighted means as they came out
ROUNDING = 1e-9


@dataclass(frozen=True)
class Predictions:
    """Of N rows of the train file, by ascending number; the arrays are shared: never written to. `sha256`: of the
    file."""

    sha256: str
    rows_N: NDArray[np.int64]
    labels_N: NDArray[np.bool_]
    probabilities_N: NDArray[np.float64]


def predictions(session: Session, storage: Storage, experiment: Experiment) -> Predictions:
    """The experiment's valid predictions. Raises NotFound when it has none, Refused when they can't be read."""
    run = queries.final_run(session, experiment.id)
    files = {item.name: item for item in queries.artifacts_of(session, run)} if run else {}
    if FILE not in files:
        raise NotFound(
            _(
                "experiment %(id)s (%(name)s) has no %(file)s: it has not finished, or was trained elsewhere",
                id=experiment.id,
                name=experiment.name,
                file=FILE,
            )
        )
    try:
        return _read(storage.existing(files[FILE].sha256, FILE))
    except (ValueError, IndexError) as error:
        told = {"file": FILE, "id": experiment.id, "why": error}
        raise Refused(_("%(file)s of experiment %(id)s can't be read: %(why)s", **told)) from error


@lru_cache(maxsize=200)  # a file never changes: its name is its hash; of 10,000 rows it is 170 kB
def _read(path: Path) -> Predictions:
    return read(path)


def read(path: Path) -> Predictions:
    """What a run wrote. Raises ValueError for what it did not."""
    with path.open("rb") as file:
        start = file.read(1)
    if start and not start.isdigit():  # blank lines alone, for loadtxt an empty file
        raise ValueError(_("line %(line)s is no row above the one before, label and probability", line=1))
    # comments=None: a line that begins with # is no comment, it does not belong there
    found: NDArray[Any] = np.loadtxt(path, delimiter="\t", ndmin=2, comments=None) if start else np.empty((0, 3))
    _require_predictions(found)
    parts = found[:, 0].astype(np.int64), found[:, 1] == 1, found[:, 2].copy()
    for part in parts:
        part.flags.writeable = False
    return Predictions(path.name, *parts)


def _require_predictions(found: NDArray[Any]) -> None:
    """Raises ValueError for columns that are no ascending rows, labels and probabilities."""
    if found.shape[1:] != (3,):
        raise ValueError(_("%(count)s columns instead of a row, a label and a probability", count=found.shape[-1]))
    rows_N, labels_N, probabilities_N = found.T
    whole = (rows_N == np.floor(rows_N)) & (rows_N >= 0) & (rows_N < MOST_ROW)
    good = whole & ((labels_N == 0) | (labels_N == 1)) & (probabilities_N >= 0) & (probabilities_N <= 1 + ROUNDING)
    good[1:] &= rows_N[1:] > rows_N[:-1]
    if not good.all():
        line = int(np.flatnonzero(~good)[0]) + 1
        raise ValueError(_("line %(line)s is no row above the one before, label and probability", line=line))
