"""Members sign in with a password, programs with a token."""

import hashlib
import secrets
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy.orm import Session

from app.accounts import queries
from app.accounts.models import Member, Token
from app.db import clock
from app.errors import Conflict, NotSignedIn, Refused
from app.language import gettext as _

_HASHER = PasswordHasher()
#: verified against when the name is unknown, so that the answer takes as long as for a known one
_NOBODY = _HASHER.hash(secrets.token_hex(16))


def add_member(session: Session, name: str, password: str) -> Member:
    """A new member. Raises Refused for a short password or empty name, Conflict for a name that is taken."""
    name = name.strip()
    if not 1 <= len(name) <= 100:
        raise Refused(_("the name %(name)s has %(count)s characters: give 1 to 100", name=repr(name), count=len(name)))
    if len(password) < 10:
        raise Refused(_("the password is too short: at least 10 characters"))
    if queries.member_by_name(session, name):
        raise Conflict(_("there is a member %(name)s already", name=repr(name)))
    member = Member(name=name, password_hash=_HASHER.hash(password), created_at=clock(session))
    session.add(member)
    session.flush()
    return member


def sign_in(session: Session, name: str, password: str) -> Member:
    """The member of this name and password; NotSignedIn otherwise, without saying which of the two is wrong."""
    member = queries.member_by_name(session, name.strip())
    try:
        _HASHER.verify(member.password_hash if member else _NOBODY, password)
    except VerificationError as error:
        raise NotSignedIn(_("this name and password do not belong together")) from error
    if member is None:
        raise NotSignedIn(_("this name and password do not belong together"))
    return member


def digest(token: str) -> str:
    """What is kept of a token. Plain SHA-256: a token has 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_secret(prefix: str) -> str:
    """A fresh token; the prefix tells a person which kind it is."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def issue_token(session: Session, name: str, scope: Literal["member", "worker"]) -> str:
    """Make a token and return it; it can't be read again later."""
    plain = new_secret(f"pb-{scope}")
    session.add(Token(name=name, scope=scope, digest=digest(plain), created_at=clock(session)))
    session.flush()
    return plain
