"""HTML: signing in and out."""

import logging
import math
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts import queries, service, sessions, throttle
from app.accounts.models import Member
from app.db import Database, clock
from app.errors import NotSignedIn, TooMany
from app.identity import SESSION_COOKIE, Actor, address_of, by_https, untold_proxy
from app.security import anyone
from app.settings import Settings
from app.web import SessionDep, SettingsDep, page

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])
#: in the browser's cookie: what the account page's link to the OpenID provider says, and no other site knows
CONNECT_WORD = "openid_word"
#: proxies that the log has spoken of
_TOLD: set[str] = set()


@dataclass(frozen=True)
class SignInPage:
    """accounts/sign_in.html. `nobody`: there is no account yet; `openid`: people may sign in with a provider, too."""

    name: str
    error: str
    nobody: bool
    openid: bool


@router.get("/sign-in")
def sign_in_form(request: Request, session: SessionDep, settings: SettingsDep) -> Response:
    """Name and password."""
    return page(request, "accounts/sign_in.html", SignInPage("", "", not queries.any_member(session), settings.openid))


@router.post("/sign-in")
def sign_in(request: Request, name: Annotated[str, Form()], password: Annotated[str, Form()]) -> Response:
    """Begin a session, or say again what is wrong.

    No session of the request: a try is counted, and committed, before the password is looked at, which takes long on
    purpose and must not hold the one write transaction of SQLite.
    """
    database: Database = request.app.state.database
    address = address_of(request)
    if (proxy := untold_proxy(request)) and proxy not in _TOLD:
        _TOLD.add(proxy)
        log.warning(
            "people sign in through a proxy at %s that PAIRBOARD_TRUSTED_PROXIES does not name: all of them count as "
            "one address, and one who guesses passwords slows down everybody",
            proxy,
        )
    try:
        with database.writing() as session:
            throttle.admit(session, name, address)
        with database.reading() as session:
            member_id = service.sign_in(session, name, password).id
    except (NotSignedIn, TooMany) as error:
        return refused(request, database, name, error)
    with database.writing() as session:
        throttle.succeeded(session, name, address)
        throttle.clear(session, clock(session))
        member = queries.member(session, member_id)
        request.state.actor = Actor(member.name, "member", member_id=member.id)  # for the audit log
        return begin(request, session, member, RedirectResponse("/", 303))


def refused(request: Request, database: Database, name: str, error: NotSignedIn | TooMany) -> Response:
    """The form again, with what is wrong."""
    request.state.tried_name = name
    settings: Settings = request.app.state.settings
    with database.reading() as session:
        context = SignInPage(name[:100], error.message, not queries.any_member(session), settings.openid)
    headers = {"Retry-After": str(math.ceil(error.seconds))} if isinstance(error, TooMany) else None
    return page(request, "accounts/sign_in.html", context, error.status, headers)


def begin(request: Request, session: Session, member: Member, answer: Response) -> Response:
    """Sign the browser in: a new session, whose key the answer carries; what the browser held before is let go."""
    request.session.clear()
    key = sessions.begin(
        session,
        member,
        address=address_of(request),
        agent=request.headers.get("user-agent", ""),
        old_key=request.cookies.get(SESSION_COOKIE, ""),
    )
    answer.set_cookie(
        SESSION_COOKIE,
        key,
        max_age=int(sessions.LASTS.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=by_https(request),
    )
    return answer


def forgotten(request: Request, answer: Response) -> Response:
    """The answer, with which the browser drops the key."""
    request.session.clear()
    answer.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax", secure=by_https(request))
    return answer


@router.post("/sign-out")
def sign_out(request: Request, session: SessionDep) -> Response:
    """End the session."""
    sessions.end(session, request.cookies.get(SESSION_COOKIE, ""))
    return forgotten(request, RedirectResponse("/sign-in", 303))
