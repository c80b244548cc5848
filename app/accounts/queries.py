"""Reads of members and tokens."""

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.accounts.models import Member, Token


def member_by_name(session: Session, name: str) -> Member | None:
    """The member of this name, if there is one."""
    return session.scalar(select(Member).where(Member.name == name))


def any_member(session: Session) -> bool:
    """Whether somebody could sign in."""
    return bool(session.scalar(select(exists().where(Member.id.is_not(None)))))


def live_token(session: Session, digest: str) -> Token | None:
    """The token of this digest, unless it was revoked."""
    return session.scalar(select(Token).where(Token.digest == digest, Token.revoked_at.is_(None)))
