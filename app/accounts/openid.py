"""Members who sign in with an OpenID provider: whose account it is, and a new one for who is new. Called by
openid_pages, which has spoken with the provider."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.accounts import queries, service
from app.accounts.models import Member
from app.errors import Conflict, NotSignedIn
from app.language import gettext as _

#: of issuer and subject together, as the column has them
MOST_SUBJECT = 400
#: claims that may name a person, in order
_NAMES = ("preferred_username", "name", "email", "sub")


def member_of(session: Session, issuer: str, claims: Mapping[str, Any]) -> Member:
    """The account of this subject, or a new one that may read; an owner gives it more. Never that of a member who only
    has the same name or address: the provider may let people choose both. Raises NotSignedIn for a closed account."""
    subject = _subject(issuer, claims)
    found = queries.member_by_subject(session, subject)
    if found is None:
        found = service.add_known_elsewhere(session, _free_name(session, claims))
        found.subject = subject
        session.flush()
    if found.left_at is not None:
        raise NotSignedIn(_("the account %(name)s is closed: ask an owner", name=found.name))
    return found


def connect(session: Session, member: Member, issuer: str, claims: Mapping[str, Any]) -> None:
    """From now on the member may sign in there, too. Raises Conflict when somebody else does."""
    subject = _subject(issuer, claims)
    other = queries.member_by_subject(session, subject)
    if other is not None and other.id != member.id:
        raise Conflict(_("this person of the provider is connected with %(name)s already", name=other.name))
    member.subject = subject
    session.flush()


def _subject(issuer: str, claims: Mapping[str, Any]) -> str:
    """Never cut: two who begin alike would be one. OpenID allows 255 characters of subject."""
    subject = f"{issuer} {claims['sub']}"
    if len(subject) > MOST_SUBJECT:
        raise NotSignedIn(_("the provider's name of you is longer than %(most)s characters", most=MOST_SUBJECT))
    return subject


def _free_name(session: Session, claims: Mapping[str, Any]) -> str:
    told = (str(claims.get(name) or "").strip() for name in _NAMES)
    name = next((text for text in told if text and text.isprintable()), "member")[:90]
    number, free = 1, name
    while queries.member_by_name(session, free):
        number += 1
        free = f"{name} {number}"
    return free
