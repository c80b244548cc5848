"""Reads of members, their sessions, and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Subquery, and_, exists, literal, null, or_, select, union_all
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from app.accounts.models import Invitation, Member, Membership, PrivateContest, SignedIn, SignInTry, Token
from app.errors import NotFound
from app.language import gettext as _


@dataclass(frozen=True)
class Known:
    """What a request's key or token stands for. `contest_roles`: of the contests that have a role for this member, or
    are private ("": no role, so it is not there)."""

    member: Member | None
    signed_in: SignedIn | None = None
    token: Token | None = None
    contest_roles: dict[int, str] = field(default_factory=dict)


def member_by_name(session: Session, name: str) -> Member | None:
    """The member of this name, if there is one."""
    return session.scalar(select(Member).where(Member.name == name))


def member_by_subject(session: Session, subject: str) -> Member | None:
    """The member who is this at the OpenID provider."""
    return session.scalar(select(Member).where(Member.subject == subject))


def member(session: Session, member_id: int) -> Member:
    """The member of this id. Raises NotFound."""
    found = session.get(Member, member_id)
    if found is None:
        raise NotFound(_("there is no member %(id)s", id=member_id))
    return found


def members(session: Session) -> Sequence[Member]:
    """Everybody, by name; those who left last."""
    return session.scalars(select(Member).order_by(Member.left_at.is_not(None), Member.name)).all()


def any_member(session: Session) -> bool:
    """Whether there ever was a member."""
    return bool(session.scalar(select(exists().where(Member.id.is_not(None)))))


def any_owner(session: Session) -> bool:
    """Whether an owner could sign in."""
    return bool(session.scalar(select(exists().where(Member.role == "owner", Member.left_at.is_(None)))))


def locked_owners(session: Session) -> Sequence[int]:
    """The members who are owners, held until the commit: of two who take it from each other one waits here, and finds
    who is left. In order, or each would wait for the other."""
    owners = select(Member.id).where(Member.role == "owner", Member.left_at.is_(None))
    return session.scalars(owners.order_by(Member.id).with_for_update()).all()


def live_token(session: Session, digest: str) -> Token | None:
    """The token of this digest, unless it was revoked."""
    return session.scalar(select(Token).where(Token.digest == digest, Token.revoked_at.is_(None)))


def known_session(session: Session, digest: str, now: datetime) -> Known | None:
    """The member who is signed in with the key of this digest."""
    special = _special()
    query = (
        select(SignedIn, Member, special.c.contest_id, special.c.role)
        .join(Member, Member.id == SignedIn.member_id)
        .outerjoin(special, _of_member(special))
        .where(SignedIn.digest == digest, SignedIn.expires_at > now, Member.left_at.is_(None))
    )
    rows = session.execute(query).all()
    return Known(rows[0][1], signed_in=rows[0][0], contest_roles=_roles(rows)) if rows else None


def known_token(session: Session, digest: str, now: datetime) -> Known | None:
    """The token of this digest, if it counts, with the member who made it."""
    special = _special()
    query = (
        select(Token, Member, special.c.contest_id, special.c.role)
        .outerjoin(Member, Member.id == Token.member_id)
        .outerjoin(special, _of_member(special))
        .where(
            Token.digest == digest,
            Token.revoked_at.is_(None),
            or_(Token.expires_at.is_(None), Token.expires_at > now),
            Member.left_at.is_(None),
        )
    )
    rows = session.execute(query).all()
    return Known(rows[0][1], token=rows[0][0], contest_roles=_roles(rows)) if rows else None


def _special() -> Subquery:
    """What contests say of their own: the roles of members, and that they are private, which is of nobody."""
    roles = select(Membership.contest_id, Membership.member_id, Membership.role)
    private = select(PrivateContest.contest_id, null().label("member_id"), literal("").label("role"))
    return union_all(roles, private).subquery("special")


def _of_member(special: Subquery) -> ColumnElement[bool]:
    """A row a contest that says something of this member, so that a request asks once; nothing keeps owners out."""
    return and_(Member.role != "owner", or_(special.c.member_id == Member.id, special.c.member_id.is_(None)))


def _roles(rows: Sequence[Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    for row in rows:
        if row.contest_id is not None:
            found[row.contest_id] = row.role or found.get(row.contest_id, "")
    return found


def sessions_of(session: Session, member_id: int, now: datetime) -> Sequence[SignedIn]:
    """The browsers that a member is signed in with, the one seen last first."""
    query = select(SignedIn).where(SignedIn.member_id == member_id, SignedIn.expires_at > now)
    return session.scalars(query.order_by(SignedIn.seen_at.desc(), SignedIn.id.desc())).all()


def session_by_digest(session: Session, digest: str) -> SignedIn | None:
    """The session of this digest, if it has not ended."""
    return session.scalar(select(SignedIn).where(SignedIn.digest == digest))


def expired_sessions(session: Session, now: datetime) -> Sequence[SignedIn]:
    """Those that count no longer."""
    return session.scalars(select(SignedIn).where(SignedIn.expires_at <= now)).all()


def token(session: Session, token_id: int) -> Token:
    """The token of this id, revoked or not. Raises NotFound."""
    found = session.get(Token, token_id)
    if found is None:
        raise NotFound(_("there is no token %(id)s", id=token_id))
    return found


def tokens(session: Session, member_id: int | None = None) -> Sequence[Token]:
    """Every token, or those of one member, the newest first; revoked ones last."""
    query = select(Token).order_by(Token.revoked_at.is_not(None), Token.id.desc())
    return session.scalars(query.where(Token.member_id == member_id) if member_id is not None else query).all()


def tries(session: Session, keys: Sequence[str], now: datetime) -> dict[str, SignInTry]:
    """The counts of these keys, made where there are none, and held until the commit: tries at once wait here."""
    make = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgres_insert
    rows = [{"key": key, "failures": 0, "last_at": now, "until": now} for key in sorted(keys)]
    session.execute(make(SignInTry).values(rows).on_conflict_do_nothing())
    query = select(SignInTry).where(SignInTry.key.in_(keys)).order_by(SignInTry.key).with_for_update()
    return {row.key: row for row in session.scalars(query)}


def old_tries(session: Session, failed: datetime, succeeded: datetime) -> Sequence[SignInTry]:
    """Those whose last failure and last success were before these moments."""
    success = or_(SignInTry.succeeded_at.is_(None), SignInTry.succeeded_at < succeeded)
    return session.scalars(select(SignInTry).where(SignInTry.last_at < failed, success)).all()


def invitation(session: Session, digest: str) -> Invitation | None:
    """The invitation of this digest, held until the commit: one link makes one account."""
    return session.scalar(select(Invitation).where(Invitation.digest == digest).with_for_update())


def invitations(session: Session) -> Sequence[Invitation]:
    """Every invitation, the newest first."""
    return session.scalars(select(Invitation).order_by(Invitation.id.desc())).all()


def open_invitations_of(session: Session, made_by: str) -> Sequence[Invitation]:
    """Those of somebody, by name, that nobody has used."""
    query = select(Invitation).where(Invitation.made_by == made_by, Invitation.used_at.is_(None))
    return session.scalars(query).all()


def invitation_by_id(session: Session, invitation_id: int) -> Invitation:
    """The invitation of this id. Raises NotFound."""
    found = session.get(Invitation, invitation_id)
    if found is None:
        raise NotFound(_("there is no invitation %(id)s", id=invitation_id))
    return found


def membership(session: Session, contest_id: int, member_id: int) -> Membership | None:
    """What a member is in a contest, if that is said."""
    return session.get(Membership, (contest_id, member_id))


def memberships(session: Session, contest_id: int) -> list[tuple[Membership, Member]]:
    """Who has a role of this contest's own, by name."""
    query = select(Membership, Member).join(Member, Member.id == Membership.member_id)
    found = session.execute(query.where(Membership.contest_id == contest_id).order_by(Member.name))
    return [(row, person) for row, person in found]


def private(session: Session, contest_id: int) -> PrivateContest | None:
    """The row that hides a contest from those who have no role in it."""
    return session.get(PrivateContest, contest_id)
