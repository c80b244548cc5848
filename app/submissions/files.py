"""The file that an experiment sends to the contest, in the contest's form: its bytes, their hash, and what the contest
reads in it.

`file_of` and `content_of` are the one place where such a file is made. The download sends it, checking looks at it,
remembering puts its hash down.
"""

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.errors import AppError, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs.models import Run
from app.storage import Storage
from app.submissions import queries, stored
from app.submissions.format import SubmissionFormat, format_of
from app.submissions.malformed import Malformed
from app.submissions.reading import read_predictions
from app.submissions.stored import PREDICTIONS_OF_TEST, Probabilities
from app.submissions.writing import Sides, sides_at, written
from ml.contract.fingerprint import digest
from ml.contract.pair_file import PairFileLayout


@dataclass(frozen=True)
class FileToSend:
    """`predicted_N`: a probability for each row of the test file, in its order; `written_N`: what the contest reads in
    the file, and where it can't, for the reason `fault`, what was predicted. Both are shared: never written to."""

    name: str
    address: str
    sha256: str
    size: int
    predictions_sha256: str
    form: SubmissionFormat
    predicted_N: Probabilities
    written_N: Probabilities
    fault: str


@dataclass(frozen=True)
class Told:
    """What a page says of it. `kept`: its hash is written down already."""

    name: str
    address: str
    sha256: str
    size: int
    kept: bool


@dataclass(frozen=True)
class _Source:
    """All that its bytes depend on. `test`: the test file, where its sentences stand in the file."""

    predictions: Path
    form: SubmissionFormat
    test: Path | None
    layout: PairFileLayout | None

    def sides(self) -> Iterable[Sides]:
        return sides_at(self.test, self.layout) if self.test and self.layout else repeat(("", ""))

    def content(self) -> bytes:
        return written(self.form, stored.read(self.predictions).tolist(), self.sides())

    def read_back(self, content: bytes) -> Probabilities:
        """As whoever grades it reads it. Raises Malformed."""
        rows = stored.read(self.predictions).size  # whether the test file has as many is a check of its own
        sentences = list(self.sides()) if self.test else None
        return read_predictions(io.BytesIO(content), self.form.sent_name, self.form, rows, sentences).values


@dataclass(frozen=True)
class _Made:
    sha256: str
    size: int
    written_N: Probabilities | None


def file_of(session: Session, storage: Storage, experiment: Experiment) -> FileToSend:
    """The file that it sends. Raises NotFound when there is none, Refused when its predictions can't be read or the
    form wants what the experiment lacks."""
    run, artifact = stored.final_predictions(session, experiment)
    source = _source(session, storage, experiment, run, artifact.sha256)
    made, predicted_N = _made(source), stored.read(source.predictions)
    return FileToSend(
        name=source.form.sent_name,
        address=address_of(experiment),
        sha256=made.sha256,
        size=made.size,
        predictions_sha256=artifact.sha256,
        form=source.form,
        predicted_N=predicted_N,
        written_N=predicted_N if made.written_N is None else made.written_N,
        fault=_fault(source) if made.written_N is None else "",
    )


def content_of(session: Session, storage: Storage, experiment: Experiment) -> tuple[str, bytes]:
    """Its name and its bytes. Raises as file_of."""
    run, artifact = stored.final_predictions(session, experiment)
    source = _source(session, storage, experiment, run, artifact.sha256)
    return source.form.sent_name, source.content()


def address_of(experiment: Experiment) -> str:
    """Where it is downloaded: format_api.read_submission_file."""
    return f"/api/v1/experiments/{experiment.id}/submission-file"


def told_of(session: Session, storage: Storage, experiment: Experiment) -> Told | None:
    """For pages: without making it where its hash is known. None when there is none, or it can't be made: the check
    before sending says why."""
    there = stored.found(session, experiment)
    if there is None:
        return None
    form = form_of(session, experiment)
    row = queries.written_file(session, experiment.id, there[1].sha256, form_digest(form))
    if row is not None:
        return Told(form.sent_name, address_of(experiment), row.sha256, row.size, kept=True)
    try:
        made = file_of(session, storage, experiment)
    except (AppError, OSError):
        return None
    return Told(made.name, made.address, made.sha256, made.size, kept=False)


def hashes_of(session: Session, experiment: Experiment, told: str = "") -> tuple[str, str]:
    """Of the file that it sends, and of the predictions that this is made of, without making it. `told`: the hash of
    the file that is meant. The first is empty while the file was never made, both while there are no predictions."""
    there = stored.found(session, experiment)
    predictions = there[1].sha256 if there else ""
    if told:
        made_of = queries.predictions_of(session, experiment.id, told)
        return told, made_of or (predictions if told == predictions else "")
    form = form_digest(form_of(session, experiment))
    row = queries.written_file(session, experiment.id, predictions, form) if predictions else None
    return (row.sha256 if row else "", predictions)


def form_of(session: Session, experiment: Experiment) -> SubmissionFormat:
    """That of its contest, as it is now."""
    return format_of(contest_queries.contest_by_id(session, experiment.contest_id))


def form_digest(form: SubmissionFormat) -> str:
    """By which a written file names its form."""
    return digest(form.model_dump(mode="json"))


def _source(session: Session, storage: Storage, experiment: Experiment, run: Run, predictions: str) -> _Source:
    form, path = form_of(session, experiment), storage.existing(predictions, PREDICTIONS_OF_TEST)
    if not form.with_sentences:
        return _Source(path, form, None, None)
    if run.test_file_id is None:
        raise Refused(_("run %(run)s has no test file whose sentences could be written", run=run.id))
    file = contest_queries.file_by_id(session, run.test_file_id)
    return _Source(path, form, storage.existing(file.sha256, file.name), PairFileLayout.model_validate(file.layout))


@lru_cache(maxsize=64)  # the source names everything; of 25,000 rows it is 200 kB
def _made(source: _Source) -> _Made:
    """Without words: they are those of the reader's language."""
    content = source.content()
    try:
        read_N = source.read_back(content)
        read_N.flags.writeable = False
    except Malformed:
        return _Made(hashlib.sha256(content).hexdigest(), len(content), None)
    return _Made(hashlib.sha256(content).hexdigest(), len(content), read_N)


def _fault(source: _Source) -> str:
    try:
        source.read_back(source.content())
    except Malformed as error:
        return error.message
    return ""
