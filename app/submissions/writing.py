"""Writes predictions of a test file as the contest wants them. Called by the download, and by what sends them.

The same predictions in the same form give the same bytes, on every machine and in every year: who sent which file is
told by its sha256.
"""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import ContestFile
from app.errors import NotFound, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs import queries
from app.runs.models import Artifact, Run
from app.storage import Storage
from app.submissions.format import (
    FEWEST_DECIMALS,
    LINE_ENDS,
    SEPARATORS,
    SubmissionFormat,
    format_of,
)
from ml.contract.pair_file import PairFileLayout, PairRow, read_rows

PREDICTIONS_OF_TEST = "test_predictions.tsv"
#: the earliest that a zip can say
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
Sides = tuple[str, str]


@dataclass(frozen=True)
class WrittenFile:
    """A file to send: its name, its bytes, and their hash."""

    name: str
    content: bytes
    sha256: str


@dataclass(frozen=True)
class Told:
    """What a page says of it without its bytes."""

    name: str
    size: int
    sha256: str


def file_of(session: Session, storage: Storage, experiment: Experiment) -> WrittenFile:
    """An experiment's test predictions in the form of its contest. Raises NotFound when it has none, Refused when its
    form wants what the experiment lacks."""
    run, artifact = final_predictions(session, experiment)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    form, predictions = format_of(contest), read_own(storage.path(artifact.sha256))
    pairs = _pairs_of(session, storage, run) if form.with_sentences else repeat(("", ""))
    content = written(form, predictions.tolist(), pairs)
    return WrittenFile(form.sent_name, content, hashlib.sha256(content).hexdigest())


def told_of(session: Session, storage: Storage, experiment: Experiment) -> Told | None:
    """Of the same file, for the experiment's page; None when there is none (yet)."""
    try:
        _run, artifact = final_predictions(session, experiment)
    except NotFound:
        return None
    form = format_of(contest_queries.contest_by_id(session, experiment.contest_id)).model_dump_json()
    known = _TOLD.get((artifact.sha256, form, experiment.test_file_id))
    if known is None:
        try:
            made = file_of(session, storage, experiment)
        except (OSError, Refused):  # the download says why
            return None
        known = Told(made.name, len(made.content), made.sha256)
        if len(_TOLD) > _MOST_TOLD:
            _TOLD.clear()
        _TOLD[artifact.sha256, form, experiment.test_file_id] = known
    return known


#: by predictions, form and test file: a page does not write the file anew to name its hash
_TOLD: dict[tuple[str, str, int | None], Told] = {}
_MOST_TOLD = 1000


def final_predictions(session: Session, experiment: Experiment) -> tuple[Run, Artifact]:
    """The run that speaks for the experiment, and its predictions. Raises NotFound."""
    run = queries.final_run(session, experiment.id)
    if run is not None and run.status == "finished":
        for artifact in queries.artifacts_of(session, run):
            if artifact.name == PREDICTIONS_OF_TEST:
                return run, artifact
    raise NotFound(
        _(
            "experiment %(id)s (%(name)s) has no predictions of a test file: it has not finished, has no test file, or "
            "was trained elsewhere",
            id=experiment.id,
            name=experiment.name,
        )
    )


@lru_cache(maxsize=16)  # a file never changes: its path is its hash
def read_own(path: Path) -> NDArray[np.float64]:
    """What a run predicted, shape (rows,): the file is one of ours, a number a line."""
    found: NDArray[np.float64] = np.loadtxt(path, ndmin=1) if path.stat().st_size else np.empty(0)
    found.flags.writeable = False
    return found


def _pairs_of(session: Session, storage: Storage, run: Run) -> Iterator[Sides]:
    if run.test_file_id is None:
        raise Refused(_("run %(run)s has no test file whose sentences could be written", run=run.id))
    return sides(storage, contest_queries.file_by_id(session, run.test_file_id))


def sides(storage: Storage, file: ContestFile) -> Iterator[Sides]:
    """Both sentences of each row of a test file."""
    rows = read_rows(storage.path(file.sha256), PairFileLayout.model_validate(file.layout), "test")
    return ((row.a, row.b) for row in rows if isinstance(row, PairRow))


def written(form: SubmissionFormat, predictions: Sequence[float], pairs: Iterable[Sides]) -> bytes:
    """The whole file."""
    text = "".join(lines(form, predictions, pairs)).encode()
    return _zip(form.file_name, text) if form.zipped else text


def lines(form: SubmissionFormat, predictions: Iterable[float], pairs: Iterable[Sides]) -> Iterator[str]:
    """Line by line, ends included."""
    end = LINE_ENDS[form.line_end]
    if form.header:
        yield SEPARATORS[form.separator].join(form.header) + end
    for number, (probability, pair) in enumerate(zip(predictions, pairs, strict=False), start=form.first_id):
        yield _joined(form, [_cell(form, column, number, probability, pair) for column in form.columns]) + end


def _cell(form: SubmissionFormat, column: str, number: int, probability: float, pair: Sides) -> str:
    if column == "id":
        return str(number)
    if column == "probability":
        return decimal(probability, form.decimals)
    if column == "label":
        return str(int(probability >= 0.5))
    return pair[column == "b"]


def decimal(value: float, decimals: int | None) -> str:
    """Never with an exponent, which not every grader reads. None: every digit, for a rounded file has ties, and they
    cost AUC."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    short = repr(value)  # the fewest digits that give this very number
    if "e" not in short and len(short.partition(".")[2]) >= FEWEST_DECIMALS:
        return short
    return str(np.format_float_positional(value, unique=True, min_digits=FEWEST_DECIMALS))


def _joined(form: SubmissionFormat, cells: list[str]) -> str:
    if form.separator == "tab" or not form.with_sentences:
        return SEPARATORS[form.separator].join(cells)
    out = io.StringIO()  # a sentence may hold commas and quotes
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _zip(name: str, content: bytes) -> bytes:
    """Stored, not deflated: another zlib packs the same file into other bytes, and numbers hardly pack at all."""
    out = io.BytesIO()
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.create_system, info.external_attr = 3, 0o644 << 16
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(info, content)
    return out.getvalue()
