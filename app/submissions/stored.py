"""Predictions of a test file as the runs left them: found, and read, in this one place.

What goes to the contest is made of them: files.py.
"""

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
from app.runs.models import Artifact, Run
from app.storage import Storage

PREDICTIONS_OF_TEST = "test_predictions.tsv"
Probabilities = NDArray[np.float64]


def found(session: Session, experiment: Experiment) -> tuple[Run, Artifact] | None:
    """The run that speaks for the experiment, and its predictions; None while there are none."""
    run = queries.final_run(session, experiment.id)
    files = queries.artifacts_of(session, run) if run and run.status == "finished" else ()
    return next(((run, item) for item in files if run and item.name == PREDICTIONS_OF_TEST), None)


def final_predictions(session: Session, experiment: Experiment) -> tuple[Run, Artifact]:
    """The same. Raises NotFound."""
    there = found(session, experiment)
    if there is None:
        told = {"id": experiment.id, "name": experiment.name}
        message = _(
            "experiment %(id)s (%(name)s) has no file to send: it has not finished, has no test file, or was trained "
            "elsewhere",
            **told,
        )
        raise NotFound(message)
    return there


def earlier(storage: Storage, sha256: str) -> Probabilities | None:
    """By their hash; None where they are not here: never were, or removed for good."""
    path = storage.path(sha256) if sha256 else None
    return read(path) if path and path.is_file() else None


@lru_cache(maxsize=64)  # a file never changes: its path is its hash; of 25,000 rows it is 200 kB
def read(path: Path) -> Probabilities:
    """One number a line, in the test file's order; nan and inf are numbers here. Raises Refused that names a line."""
    numbers: list[float] = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for line, text in enumerate(file, 1):
            try:
                numbers.append(float(text))
            except ValueError as error:
                raise Refused(
                    _("line %(line)s of the predictions is %(text)s, not a number", line=line, text=repr(text[:50]))
                ) from error
    array: NDArray[Any] = np.array(numbers, np.float64)
    array.flags.writeable = False
    return array
