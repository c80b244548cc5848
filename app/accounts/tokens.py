"""Tokens of programs: made with scopes, shown once, kept as a hash, revoked at once.

Called by pages, REST and the command line; app.identity reads them, and notes their use.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.accounts import access
from app.accounts.keys import NOTED_EVERY, digest, new_secret
from app.accounts.models import Token
from app.db import clock
from app.errors import FieldError, Forbidden, Refused
from app.language import gettext as _

MOST_DAYS = 3650


@dataclass(frozen=True)
class Wanted:
    """A token to be made. `days`: until it expires; None: never. `may`: no more than that is given; None: everything,
    to who sits at the command line."""

    name: str
    scopes: Iterable[str]
    contest_id: int | None = None
    days: float | None = None
    member_id: int | None = None
    may: frozenset[str] | None = None


def issue(session: Session, wanted: Wanted) -> tuple[Token, str]:
    """Make it; the text can't be read again later. Raises Refused, and Forbidden for a scope that its maker lacks."""
    name = wanted.name.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        message = _("a token's name is 1 to 100 printable characters")
        raise Refused(message, [FieldError("name", message, name[:100])])
    scopes = access.checked_scopes(wanted.scopes)
    if wanted.may is not None and (beyond := [scope for scope in scopes if scope not in wanted.may]):
        raise Forbidden(_("you can't give what you may not do yourself: %(scopes)s", scopes=", ".join(beyond)))
    if wanted.contest_id is not None and {"worker", "admin"} & set(scopes):
        raise Refused(_("workers and admin are of every contest: leave the contest out, or the scope"))
    plain = new_secret("pb-worker" if scopes == ["worker"] else "pb-token")
    now = clock(session)
    row = Token(
        name=name,
        scopes=" ".join(scopes),
        digest=digest(plain),
        contest_id=wanted.contest_id,
        member_id=wanted.member_id,
        created_at=now,
        expires_at=_expiry(now, wanted.days),
    )
    session.add(row)
    session.flush()
    return row, plain


def _expiry(now: datetime, days: float | None) -> datetime | None:
    if days is None:
        return None
    if not 0 < days <= MOST_DAYS:
        message = _("%(days)s days: give more than 0 and at most %(most)s, or none", days=days, most=MOST_DAYS)
        raise Refused(message, [FieldError("days", message, str(days))])
    return now + timedelta(days=days)


def revoke(session: Session, token: Token) -> None:
    """From the next request on it is unknown. A second time changes nothing."""
    token.revoked_at = token.revoked_at or clock(session)
    session.flush()


def used(session: Session, token_id: int) -> None:
    """It was used now; nothing if another request has just said so."""
    row = session.get(Token, token_id, with_for_update=True)
    now = clock(session)
    if row is not None and (row.last_used_at is None or now - row.last_used_at >= NOTED_EVERY):
        row.last_used_at = now
