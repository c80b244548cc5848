"""Sessions of browsers, kept in the database so that they can be ended at once, here and everywhere.

Called by pages and REST when people sign in and out, and by app.identity, which notes when one was seen.
"""

from datetime import timedelta

from sqlalchemy.orm import Session

from app.accounts import queries
from app.accounts.keys import NOTED_EVERY, digest, new_secret
from app.accounts.models import Member, SignedIn
from app.db import clock
from app.errors import NotFound
from app.language import gettext as _

LASTS = timedelta(days=30)


def begin(session: Session, member: Member, *, address: str, agent: str, old_key: str = "") -> str:
    """Sign in: a new key every time, so that one planted or copied before is worth nothing; the old session ends."""
    end(session, old_key)
    now = clock(session)
    for expired in queries.expired_sessions(session, now):
        session.delete(expired)
    key = new_secret("pb-session")
    session.add(
        SignedIn(
            member_id=member.id,
            digest=digest(key),
            address=address[:100],
            agent=agent[:200],
            created_at=now,
            seen_at=now,
            expires_at=now + LASTS,
        )
    )
    session.flush()
    return key


def end(session: Session, key: str) -> None:
    """Sign out the browser that has this key."""
    found = queries.session_by_digest(session, digest(key)) if key else None
    if found is not None:
        session.delete(found)
        session.flush()


def end_one(session: Session, member_id: int, session_id: int) -> None:
    """Sign out one of a member's browsers. Raises NotFound for another's."""
    for row in queries.sessions_of(session, member_id, clock(session)):
        if row.id == session_id:
            session.delete(row)
            session.flush()
            return
    raise NotFound(_("you are not signed in with a session %(id)s", id=session_id))


def end_all(session: Session, member_id: int, *, but: int | None = None) -> int:
    """Sign a member out everywhere, or everywhere else; how many sessions that were."""
    ended = [row for row in queries.sessions_of(session, member_id, clock(session)) if row.id != but]
    for row in ended:
        session.delete(row)
    session.flush()
    return len(ended)


def seen(session: Session, session_id: int) -> None:
    """It was used now; nothing if it ended meanwhile, or another request has just said so."""
    row = session.get(SignedIn, session_id, with_for_update=True)
    now = clock(session)
    if row is not None and now - row.seen_at >= NOTED_EVERY:
        row.seen_at = now
