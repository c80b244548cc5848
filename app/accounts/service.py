"""Members: how they come, sign in with a password, change it, get another role, and leave. Programs have tokens."""

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy.orm import Session

from app.accounts import queries, sessions, tokens
from app.accounts.access import ROLES, Role
from app.accounts.keys import digest, new_secret
from app.accounts.models import Member, Membership, PrivateContest
from app.db import clock
from app.errors import Conflict, FieldError, NotSignedIn, Refused
from app.language import gettext as _

__all__ = ["digest", "new_secret"]

_HASHER = PasswordHasher()
LEAST_PASSWORD = 10
MOST_PASSWORD = 1000


def add_member(session: Session, name: str, password: str, role: Role | None = None) -> Member:
    """A new member; the first one is the owner. Raises Refused for a short password or empty name, Conflict for a name
    that is taken."""
    return _add(session, name, hashed(password, "password"), role)


def add_known_elsewhere(session: Session, name: str) -> Member:
    """Somebody whom an OpenID provider knows: a viewer without a password, whoever is there already."""
    return _add(session, name, "", "viewer")


def _add(session: Session, name: str, password_hash: str, role: Role | None) -> Member:
    name = name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        shown = repr(name[:100])
        message = _("the name %(name)s has %(count)s characters: give 1 to 100", name=shown, count=len(name))
        raise Refused(message, [FieldError("name", message, name[:100])])
    if queries.member_by_name(session, name):
        message = _("there is a member %(name)s already", name=repr(name))
        raise Conflict(message, [FieldError("name", message, name)])
    role = known_role(role) if role else "member" if queries.any_owner(session) else "owner"
    member = Member(name=name, password_hash=password_hash, role=role, created_at=clock(session))
    session.add(member)
    session.flush()
    return member


def hashed(password: str, field: str) -> str:
    """What is kept of a password. Raises Refused, naming the field, for one that is too short."""
    if not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
        message = _(
            "the password is too short: at least %(least)s characters, at most %(most)s",
            least=LEAST_PASSWORD,
            most=MOST_PASSWORD,
        )
        raise Refused(message, [FieldError(field, message)])
    return _HASHER.hash(password)


def sign_in(session: Session, name: str, password: str) -> Member:
    """The member of this name and password; NotSignedIn otherwise, without saying which of the two is wrong."""
    member = queries.member_by_name(session, name.strip())
    if not _fits(member, password) or member is None or member.left_at is not None:
        raise NotSignedIn(_("this name and password do not belong together"))
    return member


@cache
def _nobody() -> str:
    """Verified against when the name is unknown, so that the answer takes as long as for a known one. Made when it is
    first needed: every command and worker process would pay for it."""
    return _HASHER.hash(secrets.token_hex(16))


def _fits(member: Member | None, password: str) -> bool:
    """As slow for a member who has no password, or is none."""
    try:
        return _HASHER.verify(member.password_hash if member and member.password_hash else _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False


def require_password(member: Member, password: str) -> None:
    """Raise Refused unless it is the member's, who may have none. Whoever calls it counts the tries."""
    if member.password_hash and not _fits(member, password):
        message = _("this is not your password")
        raise Refused(message, [FieldError("old", message)])


def change_password(session: Session, member: Member, new: str, *, but: int | None = None) -> int:
    """Another password, once the old one was asked for; every session ends but `but`, and how many did."""
    member.password_hash = hashed(new, "new")
    session.flush()
    return sessions.end_all(session, member.id, but=but)


def reset_password(session: Session, member: Member, new: str) -> None:
    """By an owner, or at the command line: another password, and every session ends."""
    member.password_hash = hashed(new, "password")
    session.flush()
    sessions.end_all(session, member.id)


def set_role(session: Session, member: Member, role: str) -> None:
    """Another role, at once. An owner who is none any longer has invited nobody: a link that was kept would be the way
    back. Raises Conflict for the last owner."""
    asked = known_role(role)
    if member.role == "owner" and asked != "owner":
        _require_other_owner(session, member)
        _take_invitations_back(session, member)
    member.role = asked
    session.flush()


def leave(session: Session, member: Member) -> None:
    """Close the account: its sessions, tokens and invitations are worth nothing from now on. Raises Conflict for the
    last owner."""
    _require_other_owner(session, member)
    member.left_at = member.left_at or clock(session)
    _take_invitations_back(session, member)
    sessions.end_all(session, member.id)
    for token in queries.tokens(session, member.id):
        tokens.revoke(session, token)


def come_back(session: Session, member: Member) -> None:
    """Open a closed account again, with its password and role; its tokens stay revoked."""
    member.left_at = None
    session.flush()


def set_contest_role(session: Session, contest_id: int, member: Member, role: str) -> None:
    """What the member is in this contest; "" for what the member is elsewhere."""
    row = queries.membership(session, contest_id, member.id)
    if not role:
        if row is not None:
            session.delete(row)
    elif row is None:
        session.add(Membership(contest_id=contest_id, member_id=member.id, role=known_role(role)))
    else:
        row.role = known_role(role)
    session.flush()


def own(session: Session, contest_id: int, member_id: int | None) -> None:
    """Who made a contest decides who is what in it. The local user and owners do that anyway."""
    if member_id is not None and queries.member(session, member_id).role != "owner":
        set_contest_role(session, contest_id, queries.member(session, member_id), "owner")


def set_private(session: Session, contest_id: int, *, private: bool) -> None:
    """Whether the contest is there only for owners and those with a role in it."""
    row = queries.private(session, contest_id)
    if private and row is None:
        session.add(PrivateContest(contest_id=contest_id))
    elif not private and row is not None:
        session.delete(row)
    session.flush()


def known_role(role: str) -> Role:
    """The role of this name. Raises Refused."""
    for known in ROLES:
        if role == known:
            return known
    message = _("there is no role %(role)s: choose of %(roles)s", role=repr(role[:30]), roles=", ".join(ROLES))
    raise Refused(message, [FieldError("role", message, role[:30])])


def _require_other_owner(session: Session, member: Member) -> None:
    if member.role == "owner" and not set(queries.locked_owners(session)) - {member.id}:
        raise Conflict(_("%(name)s is the only owner: make another one first", name=member.name))


def _take_invitations_back(session: Session, member: Member) -> None:
    for row in queries.open_invitations_of(session, member.name):
        session.delete(row)
    session.flush()


def issue_token(session: Session, name: str, *scopes: str) -> str:
    """Make a token and return it; it can't be read again later. For the command line, which nobody has to allow it."""
    return tokens.issue(session, tokens.Wanted(name, scopes))[1]
