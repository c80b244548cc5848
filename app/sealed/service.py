"""Sealing a contest's answers, changing the rules, revealing the private part."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.db import clock
from app.errors import Conflict, FieldError, Forbidden, Refused
from app.language import gettext as _
from app.sealed import answers, queries
from app.sealed.answers import Labels
from app.sealed.models import SealedAnswers
from app.sealed.taking import read_answers
from app.sealed.terms import NewTerms, Terms, local
from app.storage import Storage
from app.submissions.writing import sides


def file_to_answer(session: Session, contest: Contest, file_id: int | None) -> ContestFile:
    """The test file that answers are of: the newest unless named. Raises Refused, NotFound."""
    if file_id is None:
        found = next(iter(contest_queries.files(session, contest.id, "test")), None)
        if found is None:
            message = _("contest %(slug)s has no test file: upload it first", slug=repr(contest.slug))
            raise Refused(message, [FieldError("test_file_id", message)])
        return found
    file = contest_queries.file(session, contest.id, file_id)
    if file.kind != "test":
        message = _("file %(id)s (%(name)s) is no test file", id=file_id, name=file.name)
        raise Refused(message, [FieldError("test_file_id", message, str(file_id))])
    return file


def read(folder: Path, storage: Storage, file: ContestFile, source: BinaryIO) -> Labels:
    """The answers of an upload, looked over; touches no database. Raises Refused."""
    pairs: Iterator[tuple[str, str]] = sides(storage, file)
    with answers.put_down(folder, source) as path:
        return read_answers(path, file.rows, pairs)


def seal(
    session: Session, folder: Path, contest: Contest, file: ContestFile, labels: Labels, terms: NewTerms, who: str
) -> SealedAnswers:
    """Put the answers away. Raises Conflict when the contest has some, Refused when they are too few."""
    if queries.find_sealed(session, contest.id) is not None:
        raise Conflict(_("contest %(slug)s has sealed answers already", slug=repr(contest.slug)))
    stored = answers.keep(folder, labels, terms.public_share)
    row = SealedAnswers(
        contest_id=contest.id,
        test_file_id=file.id,
        stored=stored.name,
        sha256=stored.sha256,
        rows=len(labels),
        public_rows=stored.public_rows,
        made_by=who,
        created_at=clock(session),
        **terms.model_dump(),
    )
    session.add(row)
    session.flush()
    return row


def change(session: Session, sealed: SealedAnswers, terms: Terms, who: str) -> None:
    """Other rules from now on. Raises Forbidden for others than the owner, Conflict once the private part is out."""
    require_owner(sealed, who)
    if sealed.revealed_at is not None:
        raise Conflict(_("the private scores are out: the rules stay as they are"))
    for name, value in terms.model_dump().items():
        setattr(sealed, name, value)
    session.flush()


def reveal(session: Session, sealed: SealedAnswers, who: str) -> None:
    """Show the private scores to everyone, for good. Raises Forbidden, and Conflict before the closing."""
    require_owner(sealed, who)
    now = clock(session)
    if sealed.closes_at is None or now < sealed.closes_at:
        when = local(sealed.closes_at, sealed.time_zone) if sealed.closes_at else _("never")
        raise Conflict(_("it is open still (until: %(when)s): close it first, then reveal", when=when))
    if sealed.revealed_at is None:
        sealed.revealed_at = now
        session.flush()


def unseal(session: Session, folder: Path, sealed: SealedAnswers, who: str) -> None:
    """Take the answers away, so that others can be sealed. Raises Conflict once something was scored by them."""
    require_owner(sealed, who)
    if queries.any_scored(session, sealed.id):
        raise Conflict(_("files were scored by these answers: they stay, or nobody could tell what the scores mean"))
    for row in queries.uploads(session, sealed.id, None, limit=1_000_000):
        session.delete(row)
    session.flush()
    session.delete(sealed)
    session.flush()
    answers.remove(folder, sealed.stored)


def require_owner(sealed: SealedAnswers, who: str) -> None:
    """Raise Forbidden for anybody but who sealed the answers."""
    if sealed.made_by != who:
        told = {"owner": sealed.made_by, "who": who}
        raise Forbidden(_("%(owner)s sealed these answers and alone changes the rules, not %(who)s", **told))
