"""Who is asking, and whether the route lets them in. What every request has to pass whoever asks is gate.py's.

Every route declares what it needs: `Depends(needs("submit"))`, or `Depends(member)`, which is "read" for GET and "run"
for what changes something; `Depends(worker)`; an attempt's own token is checked in runs/api.py (`attempt`). The app
does not start with a route that declares nothing.

Open for one local user as long as the app is bound to loopback, the client is on loopback and no proxy stands between.
Everything else needs a session (pages) or `Authorization: Bearer` (programs).
"""

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import copy_context
from functools import cache
from typing import Any, Literal

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from app.accounts import access, queries
from app.accounts.keys import ATTEMPT_PREFIX
from app.db import Database
from app.errors import AppError, Forbidden, NotFound, NotSignedIn, TooMany
from app.identity import NOBODY, Actor, bearer, identify
from app.language import gettext as _
from app.runs import access_queries
from app.settings import Settings
from app.submissions import queries as submission_queries

__all__ = ["Actor", "bearer"]

#: what a route may declare. "self": a person about the own account, or a token for admin; "attempt": an attempt's own
#: token, which the route checks; "anyone": nothing
Declared = Literal["read", "submit", "run", "worker", "admin", "self", "attempt", "anyone"]
Check = Callable[[Request], Awaitable[Actor]]

_SAFE = {"GET", "HEAD", "OPTIONS"}
#: routes that name a contest elsewhere than in their path, or show of each only what may be seen: a token of one
#: contest may call them
ACROSS = frozenset(
    {
        *("GET /", "GET /search", "GET /curves", "GET /curves.csv", "GET /experiments/new", "GET /api/v1/me"),
        *("POST /experiments", "POST /experiments/form", "POST /experiments/preview", "POST /notes/preview"),
        *("GET /api/v1/contests", "GET /api/v1/search", "GET /api/v1/curves", "GET /api/v1/curves/new"),
    }
)
_NAMES_CONTEST = {"slug", "experiment_id", "run_id", "submission_id"}
#: what each check declares; "": by the method
_DECLARES: dict[Callable[..., Any], str] = {}


def require_safe_start(settings: Settings, database: Database) -> None:
    """Refuse to start where others can reach the app but nobody has to sign in."""
    if settings.on_loopback:
        return
    missing = []
    if not settings.secret.get_secret_value():
        missing.append("a secret (PAIRBOARD_SECRET=$(openssl rand -hex 32))")
    with database.reading() as session:
        if not queries.any_owner(session):
            missing.append("an account (pairboard user add NAME)")
    if missing:
        raise AppError(
            f"PAIRBOARD_HOST={settings.host} can be reached from other machines; this needs {' and '.join(missing)}. "
            "Without them pairboard runs on 127.0.0.1 only."
        )


def require_whole_openid(settings: Settings) -> None:
    """Refuse to start with half an OpenID provider."""
    given = {
        "PAIRBOARD_OIDC_ISSUER": settings.oidc_issuer,
        "PAIRBOARD_OIDC_CLIENT_ID": settings.oidc_client_id,
        "PAIRBOARD_OIDC_CLIENT_SECRET": settings.oidc_client_secret.get_secret_value(),
    }
    missing = [name for name, value in given.items() if not value]
    if 0 < len(missing) < len(given):
        raise AppError(f"signing in with OpenID needs three values: {' and '.join(missing)} is missing")


@cache
def needs(scope: Declared) -> Check:
    """A dependency that lets in who has this scope, and declares so. The nearest to the route counts."""

    async def check(request: Request) -> Actor:
        return await _admitted(request)

    _DECLARES[check] = scope
    return check


async def member(request: Request) -> Actor:
    """A person, or a program with a token: for "read" where nothing changes, else for "run"; another scope if the
    route itself declares one."""
    return await _admitted(request)


_DECLARES[member] = ""
worker = needs("worker")
attempt = needs("attempt")
anyone = needs("anyone")


def declared(route: APIRoute) -> str | None:
    """What a route needs; None if it does not say."""
    found = [_DECLARES[part.call] for part in route.dependant.dependencies if part.call in _DECLARES]
    if not found:
        return None
    explicit = [scope for scope in found if scope]
    return explicit[-1] if explicit else "read" if set(route.methods or ()) <= _SAFE else "run"


def all_routes(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of ours; mounted files and the list of routes itself hold nothing of anybody's."""
    for item in app.routes:  # main takes routes over as they are; those of a router that is included must declare, too
        for route in getattr(getattr(item, "original_router", None), "routes", [item]):
            if isinstance(route, APIRoute):
                yield route


def require_declared(app: FastAPI) -> None:
    """Raise AppError when a route does not say who may call it."""
    silent = [route for route in all_routes(app) if declared(route) is None]
    if silent:
        named = ", ".join(f"{'/'.join(sorted(route.methods or ()))} {route.path}" for route in silent)
        raise AppError(f"these routes declare no scope (app.security.needs): {named}")


async def _admitted(request: Request) -> Actor:
    """Who asks, if what the route declares allows it. Once a request, however many checks the route has.

    async, so that the reach is set in the request's own context and holds for the route, which may run in a thread.
    """
    known: Actor | None = getattr(request.state, "admitted", None)
    if known is not None:
        return known
    scope = declared(request.scope["route"]) or "admin"
    if scope == "attempt":
        return _one_attempt(request)
    if scope == "anyone":
        known = request.state.admitted = await _whoever(request)
        return known
    found = await run_in_threadpool(_identified, request)  # before anything is refused: the audit log asks
    who = request.state.admitted = _require(found, scope, request)
    reach = who.reach(scope)
    access.hold_to(reach)
    if reach.differs and _NAMES_CONTEST & request.path_params.keys():
        database: Database = request.app.state.database
        unsafe = request.method not in _SAFE
        await run_in_threadpool(_require_contest, database, request.path_params, unsafe=unsafe)
    return who


def _identified(request: Request) -> Actor | None:
    """Who asks, found out once a request: a large body asks before its route does."""
    if not hasattr(request.state, "actor"):
        request.state.actor = identify(request)
    found: Actor | None = request.state.actor
    return found


def is_known(request: Request) -> bool:
    """Whether somebody known asks, whatever they may do. For Bodies, in which HTTPException alone is an answer."""
    try:
        return _identified(request) is not None
    except (NotSignedIn, Forbidden):
        return False
    except TooMany as error:
        raise HTTPException(error.status, error.message, {"Retry-After": str(math.ceil(error.seconds))}) from error


async def _whoever(request: Request) -> Actor:
    """Pages that are open to all greet a person who is known; programs, and those who watch over the app's health,
    are answered without asking the database."""
    if bearer(request) is None and not request.url.path.startswith(("/health", "/api/", "/docs")):
        try:
            await run_in_threadpool(_identified, request)
        except Forbidden:
            request.state.actor = None  # a proxy before an app that is not ready: the page says the rest
    found: Actor | None = getattr(request.state, "actor", None)
    return found or NOBODY


def _one_attempt(request: Request) -> Actor:
    """Whose attempt it is, the route finds out under the run's lock; other tokens are refused before a body is read."""
    if not (bearer(request) or "").startswith(ATTEMPT_PREFIX):
        raise NotSignedIn(_("send Authorization: Bearer <attempt token>, as answered to the claim"))
    return Actor("attempt", "attempt")


def refusal(request: Request, method: str, path: str, named: Mapping[str, Any]) -> str:
    """Why who asks for this page would be refused another request, "" if the door would open: as routes declare it.
    `named`: what its form says beside the path, a contest's slug."""
    who: Actor | None = getattr(request.state, "actor", None)
    found = _route_at(request.app, method, path)
    if found is None or who is None:
        return ""
    route, params = found
    scope = declared(route) or "admin"
    if scope == "anyone":
        return ""
    try:
        _require_scope(who, scope, f"{method} {route.path}", params)
        # in a context of its own: the page itself stays held to what it asked for
        copy_context().run(_require_reach, request.app.state.database, who, scope, method, {**params, **named})
    except (Forbidden, NotFound) as error:
        return error.message
    return ""


def may_everything(request: Request) -> bool:
    """Whether nothing would be refused to who asks, or nobody is known: then there is nothing to look for."""
    who: Actor | None = getattr(request.state, "actor", None)
    if who is None:
        return True
    return who.scopes >= access.ROLES["owner"] and not who.special and who.contest_id is None


def _route_at(app: FastAPI, method: str, path: str) -> tuple[APIRoute, dict[str, str]] | None:
    for route in all_routes(app):
        if method in (route.methods or ()) and (match := route.path_regex.match(path)):
            return route, match.groupdict()
    return None


def _require_reach(database: Database, who: Actor, scope: str, method: str, named: Mapping[str, Any]) -> None:
    reach = who.reach(scope)
    access.hold_to(reach)
    if reach.differs and _NAMES_CONTEST & named.keys():
        _require_contest(database, named, unsafe=method not in _SAFE)


def _require(who: Actor | None, scope: str, request: Request) -> Actor:
    """Raise unless somebody asks who has this scope."""
    if scope == "worker" and bearer(request) is None:
        raise NotSignedIn(_("workers send Authorization: Bearer <worker token> (pairboard token add --scope worker)"))
    if who is None:
        raise NotSignedIn(_("sign in first, or send Authorization: Bearer <token>"))
    return _require_scope(who, scope, f"{request.method} {request.scope['route'].path}", request.path_params)


def _require_scope(who: Actor, scope: str, called: str, params: Mapping[str, Any]) -> Actor:
    """Raise unless this scope is had everywhere, or in some contest while the path names one."""
    in_contest = bool(_NAMES_CONTEST & params.keys()) or called in ACROSS
    if who.contest_id is not None and not in_contest:
        raise Forbidden(_("the token '%(name)s' reaches one contest: this is of all of them", name=who.name))
    if scope == "self":
        if who.kind != "token" or "admin" in who.scopes:
            return who
    elif scope in who.scopes or (in_contest and any(scope in scopes for scopes in who.special.values())):
        return who
    raise Forbidden(_why(who, scope))


def _why(who: Actor, scope: str) -> str:
    told = {"name": who.name, "may": access.listed(who.scopes), "scope": scope}
    if who.kind == "token" and "worker" in who.scopes:
        return _("the worker token '%(name)s' may only claim and serve runs: use a member's token", **told)
    if who.kind == "token" and scope == "worker":
        return _(
            "the token '%(name)s' is none of a worker: make a worker token (pairboard token add --scope worker)", **told
        )
    if who.kind == "token":
        return _("the token '%(name)s' may %(may)s: this needs a token for %(scope)s", **told)
    return _("you may %(may)s: this needs %(scope)s; ask an owner", **told)


def _require_contest(database: Database, named: Mapping[str, Any], *, unsafe: bool) -> None:
    """Of a row that the path names. Raises NotFound where it is not there for who asks, as if it were not at all."""
    with database.reading() as session:
        access_queries.require(session, named, unsafe=unsafe)
        if (number := access_queries.number_of(named.get("submission_id"))) is not None:
            submission_queries.submission(session, number)
