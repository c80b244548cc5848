"""Who a request comes from: a program by its token, a person by the browser's session, or this machine's own user.

Called by app.security, which knows what a route needs. Reads the database once, in a short session of its own; the
last use of a token or session is written down at most once a minute.
"""

import ipaddress
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fastapi import Request
from sqlalchemy.exc import OperationalError

from app.accounts import access, queries, service, sessions, tokens
from app.accounts.keys import NOTED_EVERY
from app.accounts.models import SignedIn, Token
from app.accounts.queries import Known
from app.db import Database, clock
from app.errors import Forbidden, NotSignedIn
from app.language import gettext as _
from app.rates import Rates
from app.settings import LOOPBACK_HOSTS, Settings

log = logging.getLogger(__name__)
PROXY_HEADERS = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded")
#: of the browser's session; __Host- would refuse http, which a bench behind no TLS speaks
SESSION_COOKIE = "pairboard_session"


@dataclass(frozen=True)
class Actor:
    """Who asks. `scopes`: what may be done but in the contests of `special`; `role` is empty for a token that no
    member made. `contest_id`: the one that a token is bound to; `member`: the name of who made it."""

    name: str
    kind: Literal["local", "member", "token", "attempt", "nobody"]
    role: str = ""
    scopes: frozenset[str] = frozenset()
    special: Mapping[int, frozenset[str]] = field(default_factory=dict)
    member_id: int | None = None
    token_id: int | None = None
    session_id: int | None = None
    contest_id: int | None = None
    member: str = ""

    @property
    def person(self) -> str:
        """For what is counted by person: who made the token that asks, however many there are."""
        return self.member or self.name

    def reach(self, wants: str) -> access.Reach:
        """What queries are held to while a route that wants this scope works."""
        return access.Reach(self.scopes, self.special, self.contest_id, "read" if wants == "self" else wants)


NOBODY = Actor("", "nobody")
LOCAL = Actor("local", "local", "owner", access.ROLES["owner"])


def bearer(request: Request) -> str | None:
    """The token of the Authorization header, if it has one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def identify(request: Request) -> Actor | None:
    """Who asks; None when nobody is known. Raises NotSignedIn for a token that does not count."""
    database: Database = request.app.state.database
    if plain := bearer(request):
        return _program(request, database, plain)
    key = request.cookies.get(SESSION_COOKIE)
    if key and (found := _person(database, key)):
        return found
    return LOCAL if is_local(request) else None


def _program(request: Request, database: Database, plain: str) -> Actor:
    with database.reading() as session:
        now = clock(session)
        known = queries.known_token(session, service.digest(plain), now)
        if known is None or known.token is None:
            raise NotSignedIn(_("this token is not known, has expired, or was revoked"))
    token = known.token
    rates: Rates = request.app.state.rates
    rates.take(token.id, worker=token.scopes == "worker")
    if token.last_used_at is None or now - token.last_used_at >= NOTED_EVERY:
        _note(database, Token, token.id)
    scopes = frozenset(token.scopes.split())
    everywhere, special = _held(known)
    if everywhere is not None:  # a token does no more than its maker may
        special = {number: scopes & may for number, may in special.items()}
        scopes &= everywhere | ({"worker"} if "admin" in everywhere else set())  # as only owners give it
    return Actor(
        token.name,
        "token",
        known.member.role if known.member else "",
        scopes,
        special,
        member_id=token.member_id,
        token_id=token.id,
        contest_id=token.contest_id,
        member=known.member.name if known.member else "",
    )


def _person(database: Database, key: str) -> Actor | None:
    with database.reading() as session:
        now = clock(session)
        known = queries.known_session(session, service.digest(key), now)
    if known is None or known.signed_in is None or known.member is None:
        return None
    if now - known.signed_in.seen_at >= NOTED_EVERY:
        _note(database, SignedIn, known.signed_in.id)
    everywhere, special = _held(known)
    member = known.member
    return Actor(
        member.name,
        "member",
        member.role,
        everywhere or frozenset(),
        special,
        member_id=member.id,
        session_id=known.signed_in.id,
    )


def _held(known: Known) -> tuple[frozenset[str] | None, dict[int, frozenset[str]]]:
    """What a member may do everywhere (None: no member), and in which contests it is something else."""
    if known.member is None:
        return None, {}
    everywhere = access.of_role(known.member.role)
    return everywhere, {number: access.of_role(role) for number, role in known.contest_roles.items()}


def _note(database: Database, table: type[Token] | type[SignedIn], number: int) -> None:
    """Write down that it was used. What is asked goes on without: a full disk must not lock everybody out."""
    try:
        with database.writing() as session:
            (tokens.used if table is Token else sessions.seen)(session, number)
    except OperationalError as error:
        log.warning("the last use of %s %s could not be written down: %s", table.__tablename__, number, error.orig)


def is_local(request: Request) -> bool:
    """The user of this machine, with nothing in between. Raises Forbidden when a proxy stands before an app that is
    not made ready for others."""
    settings: Settings = request.app.state.settings
    if not settings.on_loopback:
        return False
    if any(name in request.headers for name in PROXY_HEADERS):
        _require_ready(request, settings)
        return False
    return _loopback(request.client.host if request.client else "")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_HOSTS


def _require_ready(request: Request, settings: Settings) -> None:
    missing = [] if settings.secret.get_secret_value() else ["PAIRBOARD_SECRET=$(openssl rand -hex 32)"]
    database: Database = request.app.state.database
    with database.reading() as session:
        if not queries.any_owner(session):
            missing.append("pairboard user add NAME")
    if missing:
        raise Forbidden(
            _(
                "a proxy passes this request on, so others may reach this server, and nobody would have to sign in. On "
                "the server, set: %(missing)s",
                missing="; ".join(missing),
            )
        )


def address_of(request: Request) -> str:
    """Where a request comes from; what a proxy of PAIRBOARD_TRUSTED_PROXIES says of it, app.forwarded has put there."""
    return request.client.host[:100] if request.client else ""


def untold_proxy(request: Request) -> str:
    """The address on this machine of a proxy that says for whom it asks and is not believed; "" for none. Elsewhere
    anybody may send such a header."""
    told = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
    address = address_of(request)
    return address if told != [""] and address not in told and _loopback(address) else ""


def by_https(request: Request) -> bool:
    """Whether the browser speaks TLS, as far as we are told: its cookie is sent by nothing else then."""
    return request.url.scheme == "https"
