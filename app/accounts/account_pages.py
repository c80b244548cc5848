"""HTML: a member's own account: the password, the browsers signed in, and tokens of programs."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts import access, queries, service, sessions, throttle, tokens
from app.accounts.models import Member, SignedIn, Token
from app.accounts.pages import CONNECT_WORD, forgotten
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import Database, clock
from app.errors import AppError, NotFound, Refused, TooMany
from app.identity import address_of
from app.language import gettext as _
from app.security import Actor, needs
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(needs("self"))])
Who = Annotated[Actor, Depends(needs("self"))]


@dataclass(frozen=True)
class AccountPage:
    """accounts/account.html. `member` is None for the local user, who has no password. `made`: the text of a new
    token, shown this once; `openid`: the word that a link to the provider says, empty without one; `errors` and
    `typed`: what is wrong with a form, and what was typed into it."""

    member: Member | None
    who: Actor
    now: datetime
    sessions: Sequence[SignedIn]
    tokens: Sequence[Token]
    makers: Mapping[int, str]
    contests: Sequence[Contest]
    contest_names: Mapping[int, str]
    scopes: Mapping[str, str]
    told: str
    openid: str
    made: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)


def may_give(who: Actor) -> list[access.Scope]:
    """The scopes that this person, or the token for admin, may put on a token."""
    own = set(who.scopes).union(*who.special.values())
    return [scope for scope in access.SCOPES if scope in own or (scope == "worker" and "admin" in who.scopes)]


def own_tokens(session: Session, who: Actor) -> Sequence[Token]:
    """All of them for an owner; else those that this member made."""
    return queries.tokens(session, None if "admin" in who.scopes else who.member_id or 0)


def account_of(session: Session, who: Actor) -> Member:
    """The member who asks. Raises Refused for the local user and for programs."""
    if who.member_id is None or who.kind != "member":
        raise Refused(_("'%(name)s' is no member: sign in with a name and password first", name=who.name))
    return queries.member(session, who.member_id)


def _context(
    request: Request, session: Session, who: Actor, told: str = "", made: str = "", **wrong: Mapping[str, str]
) -> AccountPage:
    contests = contest_queries.all_contests(session)
    own = queries.member(session, who.member_id) if who.kind == "member" and who.member_id else None
    now = clock(session)
    return AccountPage(
        member=own,
        who=who,
        now=now,
        sessions=queries.sessions_of(session, own.id, now) if own else (),
        tokens=own_tokens(session, who),
        makers={row.id: row.name for row in queries.members(session)} if "admin" in who.scopes else {},
        contests=contests,
        contest_names={contest.id: contest.name for contest in contests},
        scopes={scope: access.SCOPES[scope] for scope in may_give(who)},
        told=told,
        openid=_connect_word(request) if own and not own.subject else "",
        made=made,
        **wrong,
    )


def _connect_word(request: Request) -> str:
    """Drawn once a browser, until it is used; empty without a provider."""
    if not request.app.state.settings.openid:
        return ""
    word: str = request.session.setdefault(CONNECT_WORD, secrets.token_urlsafe(16))
    return word


@router.get("/account")
def account(request: Request, session: SessionDep, who: Who) -> Response:
    """Password, sessions, tokens."""
    return page(request, "accounts/account.html", _context(request, session, who, request.session.pop("told", "")))


def changed_password(request: Request, who: Actor, old: str, new: str) -> int:
    """Another password for who asks; how many other sessions ended. Raises Refused, and TooMany.

    No session of the request: as in signing in, a try is counted, and committed, before the old password is looked
    at. A session that was left open is no way to guess it.
    """
    database: Database = request.app.state.database
    address = address_of(request)
    with database.writing() as session:
        name = account_of(session, who).name
        throttle.admit(session, name, address)
    with database.reading() as session:
        service.require_password(account_of(session, who), old)
    with database.writing() as session:
        throttle.succeeded(session, name, address)
        return service.change_password(session, account_of(session, who), new, but=who.session_id)


@router.post("/account/password")
def change_password(
    request: Request, who: Who, new: Annotated[str, Form()], old: Annotated[str, Form()] = ""
) -> Response:
    """Another password; every other browser is signed out."""
    try:
        ended = changed_password(request, who, old, new)
    except (Refused, TooMany) as error:
        late = isinstance(error, TooMany)
        wrong = {item.field: item.message for item in error.fields} or {"old" if late else "new": error.message}
        headers = {"Retry-After": str(math.ceil(error.seconds))} if isinstance(error, TooMany) else None
        with request.app.state.database.reading() as session:
            context = _context(request, session, who, errors=wrong)
        return page(request, "accounts/account.html", context, error.status, headers)
    request.session["told"] = _("The password is changed; %(count)s other sessions were ended.", count=ended)
    return RedirectResponse("/account", 303)


@router.post("/account/sessions/end")
def end_everywhere(request: Request, session: SessionDep, who: Who) -> Response:
    """Sign out everywhere, here too."""
    sessions.end_all(session, account_of(session, who).id)
    return forgotten(request, RedirectResponse("/sign-in", 303))


@router.post("/account/sessions/{session_id}/end")
def end_session(request: Request, session: SessionDep, who: Who, session_id: int) -> Response:
    """Sign out one browser."""
    sessions.end_one(session, account_of(session, who).id, session_id)
    request.session["told"] = _("The session is ended.")
    return RedirectResponse("/account", 303)


@router.post("/account/tokens")
def make_token(
    request: Request,
    session: SessionDep,
    who: Who,
    name: Annotated[str, Form()] = "",
    scopes: Annotated[list[str] | None, Form()] = None,
    contest: Annotated[str, Form()] = "",
    days: Annotated[str, Form()] = "",
) -> Response:
    """Make a token, and show it once: the page is the answer, so that no cookie or address ever holds it."""
    try:
        bound = contest_queries.contest(session, contest).id if contest else None
        asked = tokens.Wanted(name, scopes or (), bound, _days(days), who.member_id, frozenset(may_give(who)))
        plain = tokens.issue(session, asked)[1]
    except AppError as error:
        wrong = {item.field: item.message for item in error.fields} or {"scopes": error.message}
        typed = {"name": name, "scopes": " ".join(scopes or ()), "contest": contest, "days": days}
        context = _context(request, session, who, errors=wrong, typed=typed)
        return page(request, "accounts/account.html", context, error.status)
    headers = {"Cache-Control": "no-store"}
    return page(request, "accounts/account.html", _context(request, session, who, made=plain), headers=headers)


def _days(text: str) -> float | None:
    try:
        return float(text) if text.strip() else None
    except ValueError:
        raise Refused(_("%(days)s is no number of days", days=repr(text[:30]))) from None


@router.post("/account/tokens/{token_id}/revoke")
def revoke_token(request: Request, session: SessionDep, who: Who, token_id: int) -> Response:
    """From now on it is unknown."""
    found = own_token(session, who, token_id)
    tokens.revoke(session, found)
    request.session["told"] = _("The token %(name)s is revoked.", name=found.name)
    return RedirectResponse("/account", 303)


def own_token(session: Session, who: Actor, token_id: int) -> Token:
    """A token that who asks may revoke. Raises NotFound for another's, unless an owner asks."""
    found = queries.token(session, token_id)
    if "admin" not in who.scopes and found.member_id != who.member_id:
        raise NotFound(_("there is no token %(id)s", id=token_id))
    return found
