"""The file that an experiment sends to the contest: which one, its bytes' hash, and what stands in it.

`file_of` is the one place where a file to send is made; everything else here reads stored predictions.
"""

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
from app.runs import queries as run_queries
from app.runs.models import Artifact
from app.storage import Storage

#: what the run whose predictions are the experiment's leaves of the test file
TEST = "test_predictions.tsv"
Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class FileToSend:
    """`predicted_N`: a probability for each row of the test file, in its order; `written_N`: what the contest reads in
    the file. Both are shared: never written to."""

    name: str
    address: str
    sha256: str
    size: int
    predictions_sha256: str
    predicted_N: Probabilities
    written_N: Probabilities


def artifact_of(session: Session, experiment: Experiment) -> Artifact | None:
    """The stored predictions of the experiment's last run, if it left any."""
    run = run_queries.final_run(session, experiment.id)
    files = run_queries.artifacts_of(session, run) if run and run.status == "finished" else ()
    return next((item for item in files if item.name == TEST), None)


def hashes_of(session: Session, experiment: Experiment) -> tuple[str, str]:
    """Of the file that it sends, and of the predictions that this is made of, without making it; empty: none yet."""
    found = artifact_of(session, experiment)
    return (found.sha256, found.sha256) if found else ("", "")


def file_of(session: Session, storage: Storage, experiment: Experiment) -> FileToSend:
    """The file that it sends. Raises NotFound when there is none, Refused when it can't be read."""
    found = artifact_of(session, experiment)
    if found is None:
        raise NotFound(
            _(
                "experiment %(id)s (%(name)s) has no file to send: it has not finished, has no test file, or was "
                "trained elsewhere",
                id=experiment.id,
                name=experiment.name,
            )
        )
    predicted_N = predictions_at(storage.path(found.sha256))
    return FileToSend(
        name=found.name,
        address=f"/api/v1/runs/{found.run_id}/artifacts/{found.name}",
        sha256=found.sha256,
        size=found.size,
        predictions_sha256=found.sha256,
        predicted_N=predicted_N,
        written_N=predicted_N,
    )


def earlier(storage: Storage, predictions_sha256: str) -> Probabilities | None:
    """Stored predictions by their hash; None where they are not here: never were, or removed for good."""
    path = storage.path(predictions_sha256) if predictions_sha256 else None
    return predictions_at(path) if path and path.is_file() else None


@lru_cache(maxsize=64)  # a file never changes: its path is its hash; of 25,000 rows it is 200 kB
def predictions_at(path: Path) -> Probabilities:
    """One number a line, in the test file's order; nan and inf are numbers here. Raises Refused that names a line."""
    found: list[float] = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for line, text in enumerate(file, 1):
            try:
                found.append(float(text))
            except ValueError as error:
                raise Refused(
                    _("line %(line)s of the predictions is %(text)s, not a number", line=line, text=repr(text[:50]))
                ) from error
    array: NDArray[Any] = np.array(found, np.float64)
    array.flags.writeable = False
    return array
