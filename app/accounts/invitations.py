"""Invitations: a link that an owner makes and sends, with which one person makes an account, or joins a contest.

Called by member_pages, join_pages and api.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from app.accounts import queries, service
from app.accounts.keys import digest, new_secret
from app.accounts.models import Invitation, Member
from app.db import clock
from app.errors import NotFound, Refused
from app.language import gettext as _

LASTS_DAYS = 7


@dataclass(frozen=True)
class Wanted:
    """An invitation to be made: the role, everywhere or in one contest; `note`: for whom."""

    role: str
    contest_id: int | None
    note: str
    made_by: str


def invite(session: Session, wanted: Wanted) -> tuple[Invitation, str]:
    """Make it; the key of its link can't be read again later."""
    key, now = new_secret("pb-join"), clock(session)
    row = Invitation(
        digest=digest(key),
        role=service.known_role(wanted.role),
        contest_id=wanted.contest_id,
        note=wanted.note.strip()[:200],
        made_by=wanted.made_by[:100],
        created_at=now,
        expires_at=now + timedelta(days=LASTS_DAYS),
    )
    session.add(row)
    session.flush()
    return row, key


def open_one(session: Session, key: str) -> Invitation:
    """The invitation of a link. Raises NotFound, and Refused for one that was used or has expired."""
    found = queries.invitation(session, digest(key))
    if found is None:
        raise NotFound(_("this invitation is not known, or was taken back: ask for another one"))
    if found.used_at is not None:
        raise Refused(_("this invitation was used already: each makes one account; ask for another one"))
    if found.expires_at <= clock(session):
        raise Refused(_("this invitation has expired: ask for another one"))
    return found


def join(session: Session, key: str, name: str, password: str) -> Member:
    """Make the account of an invitation."""
    invitation = open_one(session, key)
    role = "viewer" if invitation.contest_id is not None else invitation.role
    member = service.add_member(session, name, password, service.known_role(role))
    return accept(session, invitation, member)


def accept(session: Session, invitation: Invitation, member: Member) -> Member:
    """Use it up, for a member who is there. Without a contest it is for new accounts alone."""
    if invitation.contest_id is not None:
        service.set_contest_role(session, invitation.contest_id, member, invitation.role)
    invitation.used_at, invitation.used_by = clock(session), member.name
    session.flush()
    return member


def take_back(session: Session, invitation: Invitation) -> None:
    """Its link is worth nothing from now on. Raises Refused for one that was used."""
    if invitation.used_at is not None:
        raise Refused(_("this invitation was used already, by %(name)s", name=invitation.used_by))
    session.delete(invitation)
    session.flush()
