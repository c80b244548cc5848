"""Signing in is slowed down where it fails often, per account and address; nobody is locked out for good.

A try is counted before the password is looked at, so that many at once are no way around it, and forgiven when it was
right. Delays double up to a limit. An address from which the account signed in before waits for its own mistakes
alone: strangers who try an account from everywhere do not keep its owner out. Called by pages.
"""

import ipaddress
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from app.accounts import queries
from app.accounts.keys import digest
from app.db import clock
from app.errors import TooMany
from app.language import gettext as _

#: after a day without a try everything is forgotten
FORGOTTEN_AFTER = timedelta(days=1)
#: an address counts as an account's own for so long
OWN_FOR = timedelta(days=90)


@dataclass(frozen=True)
class Limit:
    """`free` failures cost nothing; each one more doubles the delay, up to `most` seconds."""

    free: int
    most: float

    def delay(self, failures: int) -> timedelta:
        """How long to wait after so many failures."""
        over = failures - self.free
        return timedelta(seconds=min(self.most, 2.0 ** min(over, 30)) if over > 0 else 0)


PAIR, ACCOUNT, ADDRESS = Limit(4, 900), Limit(20, 60), Limit(30, 900)


def _keys(name: str, address: str) -> dict[str, Limit]:
    """What is counted: this account from this address, the account, the address. Hashes: what people type by mistake
    into the name may be a password."""
    name, place = name.strip(), _place(address)
    return {
        digest(f"pair {place} {name}"): PAIR,
        digest(f"account {name}"): ACCOUNT,
        digest(f"address {place}"): ADDRESS,
    }


def _place(address: str) -> str:
    """Of IPv6 the network of 64 bits: a machine has all of its addresses, and could come from another one each time."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a socket's name, or whatever a proxy wrote
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped:
        return str(getattr(found, "ipv4_mapped", None) or found)
    return str(ipaddress.ip_network((found, 64), strict=False))


def admit(session: Session, name: str, address: str) -> None:
    """Count a try as a failure, for now. Raises TooMany, and counts nothing, when it comes too soon."""
    now = clock(session)
    keys = _keys(name, address)
    rows = queries.tries(session, list(keys), now)
    pair = rows[next(iter(keys))]
    own = pair.succeeded_at is not None and now - pair.succeeded_at < OWN_FOR
    asked = [key for key, limit in keys.items() if limit is not ACCOUNT or not own]
    wait = max((rows[key].until - now for key in asked), default=timedelta())
    if wait > timedelta():
        seconds = max(1, math.ceil(wait.total_seconds()))
        raise TooMany(_("too many tries: wait %(seconds)s seconds and try again", seconds=seconds), seconds)
    for key in asked:
        row = rows[key]
        row.failures = 1 + (row.failures if now - row.last_at < FORGOTTEN_AFTER else 0)
        row.last_at, row.until = now, now + keys[key].delay(row.failures)
    session.flush()


def succeeded(session: Session, name: str, address: str) -> None:
    """The password was right: the account's failures are forgotten, and the address is one of its own. The address
    still answers for what it tried with others."""
    now = clock(session)
    keys = _keys(name, address)
    rows = queries.tries(session, list(keys), now)
    for key, limit in keys.items():
        row = rows[key]
        row.failures = max(0, row.failures - 1) if limit is ADDRESS else 0
        row.until = now + limit.delay(row.failures) if limit is ADDRESS else now
    rows[next(iter(keys))].succeeded_at = now
    session.flush()


def clear(session: Session, now: datetime) -> None:
    """Drop what is forgotten anyway."""
    for row in queries.old_tries(session, now - FORGOTTEN_AFTER, now - OWN_FOR):
        session.delete(row)
