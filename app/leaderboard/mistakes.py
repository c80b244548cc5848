"""The valid pairs that an experiment judges wrongly, worst first. Called by the browser of mistakes and REST.

Reads of the train file the rows that are shown; a search reads those that are wrong, slices need one whole pass, made
once a process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.marking import contains
from app.contests.rows_at import PairFile, lines_of, pair_file, rows_at
from app.experiments.models import Experiment
from app.leaderboard.flips import measure, parts, token_counts
from app.runs.predictions import Predictions, predictions
from app.storage import Storage
from ml.contract.pair_file import PairFileLayout, PairRow, read_rows

PAGE = 50
#: of a larger train file no slices are made: they need a pass over it while the reader waits
SLICED_ROWS = 500_000
#: so many of the worst are searched for a text
SEARCHED = 50_000
Kind = Literal["all", "false_positive", "false_negative"]
PartKey = Literal[
    "", "length-1", "length-2", "length-3", "overlap-1", "overlap-2", "overlap-3", "rarest-1", "rarest-2", "rarest-3"
]


@dataclass(frozen=True)
class Ask:
    """What a reader wants to see. `part`: key of a slice."""

    kind: Kind = "all"
    part: PartKey = ""
    search: str = ""
    offset: int = 0
    limit: int = PAGE


@dataclass(frozen=True)
class Mistake:
    """A pair of the train file, by its line, and the probability of label 1 that was predicted for it."""

    line: int
    a: str
    b: str
    label: int
    probability: float


@dataclass(frozen=True)
class Part:
    """A slice of the valid pairs, and how many of them are wrong."""

    key: str
    by: str
    name: str
    pairs: int
    wrong: int


@dataclass(frozen=True)
class Mistakes:
    """`mistakes` are the shown ones of `total` found, of all that are wrong at the threshold 0.5. `searched`: of the
    worst so many were searched for the text. `parts` is empty for a train file beyond SLICED_ROWS."""

    ids: bool
    pairs: int
    false_positives: int
    false_negatives: int
    total: int
    searched: int
    mistakes: list[Mistake]
    parts: list[Part]


def mistakes(session: Session, storage: Storage, experiment: Experiment, ask: Ask) -> Mistakes:
    """Find them. Raises NotFound when it has not predicted."""
    told = predictions(session, storage, experiment)
    assert experiment.train_file_id is not None  # noqa: S101 - it has predicted
    row = contest_queries.file_by_id(session, experiment.train_file_id)
    file = pair_file(storage.existing(row.sha256, row.name), row)
    numbers, labels, found = told.rows_N, told.labels_N, told.probabilities_N
    wrong = (found >= 0.5) != labels
    sliced = _sliced(file, told) if row.rows <= SLICED_ROWS and len(numbers) else []
    wanted = wrong & _of_kind(ask.kind, labels) & _in_part(sliced, ask.part, len(numbers))
    worst = np.flatnonzero(wanted)
    worst = worst[np.argsort(-np.abs(found - labels)[worst], kind="stable")]
    lines = lines_of(file, numbers, bad_rows=row.report["bad_rows"])
    searched = min(len(worst), SEARCHED) if ask.search else len(worst)
    if ask.search:
        worst = _searched(file, worst[:SEARCHED], lines, ask.search)
    return Mistakes(
        ids=file.ids,
        pairs=len(numbers),
        false_positives=int((wrong & ~labels).sum()),
        false_negatives=int((wrong & labels).sum()),
        total=len(worst),
        searched=searched,
        mistakes=list(_shown(file, worst[ask.offset : ask.offset + ask.limit], lines, labels, found)),
        parts=[Part(key, by, name, int(part.sum()), int((part & wrong).sum())) for key, by, name, part in sliced],
    )


def _of_kind(kind: Kind, labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if kind == "all":
        return np.ones(len(labels), bool)
    return labels if kind == "false_negative" else ~labels


def _in_part(sliced: list[tuple[str, str, str, NDArray[np.bool_]]], key: str, pairs: int) -> NDArray[np.bool_]:
    """Of a file that is too large for slices, every pair."""
    masks = {name: part for name, _, _, part in sliced}
    return masks.get(key, np.ones(pairs, bool))


def _sliced(file: PairFile, told: Predictions) -> list[tuple[str, str, str, NDArray[np.bool_]]]:
    layout = file.layout.model_dump_json()
    return parts(_measures(file.path, layout, file.ids, told.rows_N.tobytes()), ids=file.ids)


@lru_cache(maxsize=4)  # a file never changes: its path is its hash
def _measures(path: Path, layout: str, ids: bool, numbers: bytes) -> NDArray[np.float64]:
    """Of each predicted pair, in the order of the predictions, which is that of the file."""
    file = PairFile(path, PairFileLayout.model_validate_json(layout), "train", ids)
    wanted = set(np.frombuffer(numbers, np.int64).tolist())
    good = (row for row in read_rows(file.path, file.layout, file.kind) if isinstance(row, PairRow))
    texts = (row for number, row in enumerate(good) if number in wanted)
    return measure(texts, token_counts(path, layout, ids), ids=ids)


def _searched(file: PairFile, worst: NDArray[Any], lines: NDArray[np.int64], search: str) -> NDArray[Any]:
    texts = rows_at(file, lines[worst].tolist())
    kept = [
        place
        for place in worst.tolist()
        if (row := texts.get(int(lines[place])))
        and (contains(row.a, search, ids=file.ids) or contains(row.b, search, ids=file.ids))
    ]
    return np.array(kept, np.int64)


def _shown(
    file: PairFile,
    places: NDArray[Any],
    lines: NDArray[np.int64],
    labels: NDArray[np.bool_],
    found: NDArray[np.float64],
) -> Iterator[Mistake]:
    texts = rows_at(file, lines[places].tolist())
    for place in places.tolist():
        row = texts[int(lines[place])]
        yield Mistake(row.line, row.a, row.b, int(labels[place]), float(found[place]))
