"""Reads of contests and their files."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.accounts import access
from app.contests.models import Contest, ContestFile, DataFact
from app.errors import NotFound
from app.language import gettext as _


def all_contests(session: Session) -> Sequence[Contest]:
    """Newest first; those that are there for who asks."""
    return session.scalars(select(Contest).where(access.seen_only(Contest.id)).order_by(Contest.id.desc())).all()


def find_contest(session: Session, slug: str) -> Contest | None:
    """The contest of this slug, if there is one."""
    return session.scalar(select(Contest).where(Contest.slug == slug))


def contest(session: Session, slug: str) -> Contest:
    """The contest of this slug. Raises NotFound, and Forbidden as access.lets does."""
    found = find_contest(session, slug)
    if found is None or not access.lets(found.id):
        raise NotFound(_("there is no contest %(slug)s", slug=repr(slug)))
    return found


def contest_by_id(session: Session, contest_id: int) -> Contest:
    """The contest of this id; a foreign key vouches for it."""
    return session.get_one(Contest, contest_id)


def files(session: Session, contest_id: int, kind: str | None = None) -> Sequence[ContestFile]:
    """The contest's files, newest first; of one kind if asked."""
    query = select(ContestFile).where(ContestFile.contest_id == contest_id).order_by(ContestFile.id.desc())
    return session.scalars(query.where(ContestFile.kind == kind) if kind else query).all()


def file_counts(session: Session) -> dict[int, int]:
    """How many files each contest has."""
    rows = session.execute(select(ContestFile.contest_id, func.count()).group_by(ContestFile.contest_id))
    return {row[0]: row[1] for row in rows}


def file(session: Session, contest_id: int, file_id: int) -> ContestFile:
    """A file of this contest. Raises NotFound for another's."""
    found = session.scalar(select(ContestFile).where(ContestFile.contest_id == contest_id, ContestFile.id == file_id))
    if found is None:
        raise NotFound(_("this contest has no file %(id)s", id=file_id))
    return found


def file_by_id(session: Session, file_id: int) -> ContestFile:
    """The file of this id; a foreign key vouches for it."""
    return session.get_one(ContestFile, file_id)


def lock_file(session: Session, file_id: int | None) -> None:
    """Wait until nobody else holds it, and hold it until the commit; rows may name it meanwhile. (SQLite's writer is
    alone anyway.)"""
    session.execute(select(ContestFile.id).where(ContestFile.id == file_id).with_for_update(key_share=True))


def same_file(session: Session, contest_id: int, kind: str, sha256: str, layout_digest: str) -> ContestFile | None:
    """The file of the same bytes, kind and layout, if it was uploaded before."""
    return session.scalar(
        select(ContestFile).where(
            ContestFile.contest_id == contest_id,
            ContestFile.kind == kind,
            ContestFile.sha256 == sha256,
            ContestFile.layout_digest == layout_digest,
        )
    )


def data_facts(session: Session, keys: Sequence[str]) -> dict[str, DataFact]:
    """What was counted, or is being counted, by key."""
    return {fact.key: fact for fact in session.scalars(select(DataFact).where(DataFact.key.in_(keys)))}
