"""The first lines of a prediction file, so that a person sees the form before anything is sent in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice, repeat

from sqlalchemy.orm import Session

from app.contests import queries
from app.contests.models import Contest
from app.storage import Storage
from app.submissions.format import SubmissionFormat
from app.submissions.writing import Sides, lines, sides

#: made up; the third one shows what a number near zero looks like
EXAMPLES = (0.9731254, 0.0418273604, 0.0000021875, 0.5, 0.7260113)


@dataclass(frozen=True)
class Sample:
    """`name`: of the file that is sent, `inner`: of the one in its zip. `made_up`: there is no test file yet whose
    sentences could be shown."""

    name: str
    inner: str
    lines: list[str]
    made_up: bool


def sample_of(session: Session, storage: Storage, contest: Contest, form: SubmissionFormat) -> Sample:
    """With made-up probabilities for the first rows of the newest test file."""
    file = next(iter(queries.files(session, contest.id, "test")), None)
    pairs: Iterable[Sides] = repeat(("12 98 4", "12 98 7"))
    if file is not None and form.with_sentences:
        pairs = islice(sides(storage, file), len(EXAMPLES))
    shown = [line.rstrip("\r\n") for line in lines(form, EXAMPLES, pairs)]
    return Sample(form.sent_name, form.file_name if form.zipped else "", shown, file is None and form.with_sentences)
