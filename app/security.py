"""Who is asking. What every request has to pass whoever asks is gate.py's.

Open for one local user as long as the app is bound to loopback, the client is on loopback and no proxy stands between.
Everything else needs a session cookie (pages) or `Authorization: Bearer` (programs). Routes say what they need with
`Depends(member)`, `Depends(worker)`; an attempt's own token is checked in runs/api.py.
"""

import ipaddress
from dataclasses import dataclass
from typing import Literal

from fastapi import Request

from app.accounts import queries, service
from app.db import Database
from app.errors import AppError, Forbidden, NotSignedIn
from app.language import gettext as _
from app.settings import LOOPBACK_HOSTS, Settings

_PROXY_HEADERS = ("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded")


@dataclass(frozen=True)
class Actor:
    """Who asks."""

    name: str
    scope: Literal["local", "member", "worker"]


def require_safe_start(settings: Settings, database: Database) -> None:
    """Refuse to start where others can reach the app but nobody has to sign in."""
    if settings.on_loopback:
        return
    missing = []
    if not settings.secret.get_secret_value():
        missing.append("a secret (PAIRBOARD_SECRET=$(openssl rand -hex 32))")
    with database.reading() as session:
        if not queries.any_member(session):
            missing.append("an account (pairboard user add NAME)")
    if missing:
        raise AppError(
            f"PAIRBOARD_HOST={settings.host} can be reached from other machines; this needs {' and '.join(missing)}. "
            "Without them pairboard runs on 127.0.0.1 only."
        )


def bearer(request: Request) -> str | None:
    """The token of the Authorization header, if it has one."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def actor(request: Request) -> Actor:
    """Who asks. Raises NotSignedIn when nobody is known. Reads the database in a short session of its own."""
    token = bearer(request)
    if token:
        database: Database = request.app.state.database
        with database.reading() as session:
            row = queries.live_token(session, service.digest(token))
        if row is None:
            raise NotSignedIn(_("this token is not known, or was revoked"))
        return Actor(row.name, "worker" if row.scope == "worker" else "member")
    if _is_local(request):
        return Actor("local", "local")
    name = request.session.get("member")
    if not isinstance(name, str):
        raise NotSignedIn(_("sign in first, or send Authorization: Bearer <token>"))
    return Actor(name, "member")


def is_known(request: Request) -> bool:
    """Whether somebody known asks, whatever they may do."""
    try:
        actor(request)
    except NotSignedIn:
        return False
    return True


def member(request: Request) -> Actor:
    """A person, or a program with a member's token."""
    who = actor(request)
    if who.scope == "worker":
        raise Forbidden(
            _("the worker token '%(name)s' may only claim and serve runs: use a member's token", name=who.name)
        )
    return who


def worker(request: Request) -> Actor:
    """A worker with its token; the local user has none."""
    if bearer(request) is None:
        raise NotSignedIn(_("workers send Authorization: Bearer <worker token> (pairboard token add --scope worker)"))
    who = actor(request)
    if who.scope != "worker":
        raise Forbidden(
            _(
                "the token %(name)s is a member's: make a worker token (pairboard token add --scope worker)",
                name=repr(who.name),
            )
        )
    return who


def _is_local(request: Request) -> bool:
    settings: Settings = request.app.state.settings
    client = request.client.host if request.client else ""
    if not settings.on_loopback or any(name in request.headers for name in _PROXY_HEADERS):
        return False
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return client in LOOPBACK_HOSTS
