"""A prediction file that somebody brings, made elsewhere or by hand: looked at as those that are made here, before it
is scored and before a submission is recorded from it.

Called by check_api, check_pages, sending, and by sealed/receiving.
"""

import hashlib
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.errors import FieldError, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.storage import Storage
from app.submissions import checking, checks, stored
from app.submissions.checking import Examined
from app.submissions.checks import Check
from app.submissions.files import FileToSend
from app.submissions.format import FEWEST_DECIMALS, SubmissionFormat, format_of
from app.submissions.reading import Predictions, read_predictions
from app.submissions.stored import PREDICTIONS_OF_TEST
from app.submissions.writing import sides

_CHUNK = 1 << 20
LONGEST_NAME = 255


@dataclass(frozen=True)
class Came:
    """A file as it came, and what the contest reads in it. `test`: the test file that it answers."""

    name: str
    sha256: str
    size: int
    form: SubmissionFormat
    test: ContestFile
    read: Predictions


def came(
    session: Session, storage: Storage, contest: Contest, source: BinaryIO, name: str, test: ContestFile | None = None
) -> Came:
    """Read it in the contest's form. `test`: the file that it answers, None: the newest. Raises Malformed that names
    the line and the value, and Refused where there is no test file."""
    test = test or next(iter(contest_queries.files(session, contest.id, "test")), None)
    if test is None:
        message = _("contest %(slug)s has no test file: upload it first", slug=repr(contest.slug))
        raise Refused(message, [FieldError("file", message)])
    form, called = format_of(contest), plain_name(name)
    sha256, size = hashed(source)
    sentences = list(sides(storage, test)) if form.with_sentences else None
    return Came(called, sha256, size, form, test, read_predictions(source, called, form, test.rows, sentences))


def answered_by(session: Session, experiment: Experiment) -> ContestFile | None:
    """The test file of the experiment; None where it names none."""
    return contest_queries.file_by_id(session, experiment.test_file_id) if experiment.test_file_id else None


def examine(
    session: Session,
    storage: Storage,
    contest: Contest,
    experiment: Experiment | None,
    found: Came,
    board: str = "",
    *,
    scored: bool = False,
) -> Examined:
    """Everything that can be said of it, beside what was sent. `experiment`: of which it is, None: of none yet;
    `scored`: it is about to be."""
    file, gated = gate(session, storage, contest, experiment, found, board, scored=scored)
    return checking.beside(session, storage, contest, file, gated, board)


def gate(
    session: Session,
    storage: Storage,
    contest: Contest,
    experiment: Experiment | None,
    found: Came,
    board: str,
    *,
    scored: bool = False,
) -> tuple[FileToSend, list[Check]]:
    """The file, and what may refuse it: a file that does not hold what its experiment predicted, too."""
    there = stored.found(session, experiment) if experiment is not None else None
    own_N = stored.read(storage.existing(there[1].sha256, PREDICTIONS_OF_TEST)) if there else None
    values_N, labels = found.read.values, "probability" not in found.form.columns
    of_upload = checks.of_upload(
        values_N,
        own_N,
        found.test.rows,
        found.form.decimals or FEWEST_DECIMALS,
        labels=labels,
        named="id" in found.form.columns or found.form.with_sentences,
        moved_from=found.read.moved_from,
    )
    same = all(check.state == "ok" for check in of_upload if check.name == "order")
    file = FileToSend(
        name=found.name,
        address="",
        sha256=found.sha256,
        size=found.size,
        predictions_sha256=there[1].sha256 if there and same else "",
        form=found.form,
        predicted_N=values_N if own_N is None else own_N,
        written_N=values_N,
        fault="",
    )
    told = {"file": found.name, "columns": ", ".join(found.form.columns)}
    form = Check("form", "ok", _("%(file)s (%(columns)s) is in the contest's form", **told))
    answers = checking.answered(session, contest, found.test)
    same_file = checking.same_file(session, contest, file, board, experiment if scored else None)
    return file, [form, *of_upload, *answers, same_file]


def plain_name(name: str) -> str:
    """A name that a page, a log and Postgres can hold."""
    last = PurePath(name.replace("\\", "/")).name
    return "".join(sign if sign.isprintable() else "?" for sign in last)[:LONGEST_NAME] or "unnamed"


def hashed(source: BinaryIO) -> tuple[str, int]:
    """SHA-256 and size."""
    found, size = hashlib.sha256(), 0
    source.seek(0)
    while chunk := source.read(_CHUNK):
        found.update(chunk)
        size += len(chunk)
    source.seek(0)
    return found.hexdigest(), size
