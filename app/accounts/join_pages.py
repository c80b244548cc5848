"""HTML: making an account with the link of an invitation, or joining a contest with it."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts import access, invitations, queries
from app.accounts.models import Invitation
from app.accounts.pages import begin
from app.contests import queries as contest_queries
from app.errors import AppError, Refused
from app.language import gettext as _
from app.security import Actor, anyone
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(anyone)])
Who = Annotated[Actor, Depends(anyone)]


@dataclass(frozen=True)
class JoinPage:
    """accounts/join.html. `contest`: name of the only one that it is for; `known`: who is signed in already."""

    invitation: Invitation
    key: str
    contest: str
    role: str
    known: str
    name: str = ""
    errors: dict[str, str] = field(default_factory=dict)


def _context(session: Session, key: str, who: Actor, name: str = "", error: AppError | None = None) -> JoinPage:
    invitation = invitations.open_one(session, key)
    of = invitation.contest_id
    found = {item.field: item.message for item in error.fields} if error else {}
    return JoinPage(
        invitation=invitation,
        key=key,
        contest=contest_queries.contest_by_id(session, of).name if of is not None else "",
        role=access.ROLE_NAMES[invitation.role],
        known=who.name if who.kind == "member" else "",
        name=name,
        errors=found or ({"name": error.message} if error else {}),
    )


@router.get("/join")
def join_form(request: Request, session: SessionDep, who: Who, key: str = "") -> Response:
    """What the invitation is for, and the form."""
    return page(request, "accounts/join.html", _context(session, key, who))


@router.post("/join")
def join(
    request: Request,
    session: SessionDep,
    who: Who,
    key: Annotated[str, Form()],
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
) -> Response:
    """Make the account and sign in with it; who is signed in joins the contest."""
    if who.kind == "member" and who.member_id is not None:
        invitation = invitations.open_one(session, key)
        if invitation.contest_id is None:
            raise Refused(_("this invitation makes a new account: sign out first, or leave it to another person"))
        invitations.accept(session, invitation, queries.member(session, who.member_id))
        return RedirectResponse("/", 303)
    invitations.open_one(session, key)
    try:
        with session.begin_nested():
            member = invitations.join(session, key, name, password)
    except AppError as error:
        return page(request, "accounts/join.html", _context(session, key, who, name, error), error.status)
    return begin(request, session, member, RedirectResponse("/", 303))
