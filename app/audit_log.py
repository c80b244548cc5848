"""ASGI middleware: every request that may change something is in the audit log before its answer leaves.

Not in it: what workers and attempts send while they are let in, for it is stored as such (attempts, events, files);
requests of nobody, which changed nothing, but for signing in and joining. A row that can't be written is logged as an
error with all that it would have held; the request is done by then.
"""

import logging
from dataclasses import asdict, replace

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.accounts import audit, queries
from app.accounts.audit import Deed
from app.db import Database
from app.identity import Actor, address_of
from app.security import declared

log = logging.getLogger(__name__)
_SAFE = {"GET", "HEAD", "OPTIONS"}
#: doors at which people stand before they are known
_DOORS = {"/sign-in", "/join", "/sign-in/openid/back"}


class AuditLog:
    """Innermost but for the routes and what counts their bodies: it sees who was recognised and what was answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and write down."""
        if scope["type"] != "http" or (scope["method"] in _SAFE and scope["path"] not in _DOORS):
            await self.app(scope, receive, send)
            return
        answered = False

        async def send_recorded(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                await _record(scope, message["status"])
            await send(message)

        try:
            await self.app(scope, receive, send_recorded)
        except Exception:
            if not answered:
                await _record(scope, 500)
            raise


async def _record(scope: Scope, status: int) -> None:
    request = Request(scope)
    route = scope.get("route")
    if not isinstance(route, APIRoute):
        return
    who: Actor | None = getattr(request.state, "actor", None)
    if not _is_a_deed(request, route, who, status):
        return
    await run_in_threadpool(_write, request, route.path, who, status)


def _is_a_deed(request: Request, route: APIRoute, who: Actor | None, status: int) -> bool:
    if request.method in _SAFE:  # the way back from an OpenID provider
        return route.path == "/sign-in/openid/back"
    if declared(route) in {"worker", "attempt"} and status < 400:
        return False
    return who is not None or route.path in _DOORS


def _write(request: Request, route: str, who: Actor | None, status: int) -> None:
    app: FastAPI = request.app
    database: Database = app.state.database
    deed = Deed(
        who=who.name if who else "",
        kind=who.kind if who else "nobody",
        method=request.method,
        route=route,
        path=request.url.path,
        status=status,
        address=address_of(request),
        request_id=getattr(request.state, "request_id", ""),
        member_id=who.member_id if who else None,
        token_id=who.token_id if who else None,
    )
    try:
        with database.writing() as session:
            audit.record(session, _named(session, deed, getattr(request.state, "tried_name", "")))
    except SQLAlchemyError:
        log.exception("the audit log could not be written: %s", asdict(deed))


def _named(session: Session, deed: Deed, tried: str) -> Deed:
    """Whose account somebody tried to sign in to. A name that is no member's is not kept: it may be a password that
    was typed into the wrong field."""
    if deed.kind != "nobody" or not tried:
        return deed
    found = queries.member_by_name(session, tried.strip())
    return replace(deed, who=found.name if found else "", member_id=found.id if found else None)
