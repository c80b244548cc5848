"""HTML: members and their roles, everywhere and in one contest. For owners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts import access, invitations, queries, service, sessions
from app.accounts.models import Invitation, Member, Membership
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import AppError
from app.language import gettext as _
from app.security import Actor, needs
from app.web import SessionDep, page, site_url

router = APIRouter(include_in_schema=False, dependencies=[Depends(needs("admin"))])


@dataclass(frozen=True)
class MembersPage:
    """accounts/members.html. `link`: of a new invitation, shown this once; `errors` and `typed`: of the form of a new
    member."""

    members: Sequence[Member]
    invitations: Sequence[Invitation]
    now: datetime
    contests: Sequence[Contest]
    contest_names: Mapping[int, str]
    roles: Mapping[access.Role, str]
    told: str
    link: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    typed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContestMembersPage:
    """accounts/contest_members.html. `others`: active members without a role of this contest's own."""

    contest: Contest
    private: bool
    memberships: Sequence[tuple[Membership, Member]]
    others: Sequence[Member]
    roles: Mapping[access.Role, str]
    told: str


def _members(session: Session, told: str, link: str = "", **wrong: Mapping[str, str]) -> MembersPage:
    contests = contest_queries.all_contests(session)
    return MembersPage(
        members=queries.members(session),
        invitations=queries.invitations(session),
        now=clock(session),
        contests=contests,
        contest_names={contest.id: contest.name for contest in contests},
        roles=access.ROLE_NAMES,
        told=told,
        link=link,
        **wrong,
    )


@router.get("/members")
def members(request: Request, session: SessionDep) -> Response:
    """Everybody, and what each may do."""
    return page(request, "accounts/members.html", _members(session, request.session.pop("told", "")))


@router.post("/members")
def add(
    request: Request,
    session: SessionDep,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    role: Annotated[str, Form()] = "member",
) -> Response:
    """A new member, whose password an owner chose."""
    try:
        made = service.add_member(session, name, password, service.known_role(role))
    except AppError as error:
        wrong = {item.field: item.message for item in error.fields}
        context = _members(session, "", errors=wrong, typed={"name": name, "role": role})
        return page(request, "accounts/members.html", context, error.status)
    request.session["told"] = _("%(name)s may sign in.", name=made.name)
    return RedirectResponse("/members", 303)


@router.post("/members/invitations")
def invite(
    request: Request,
    session: SessionDep,
    who: Annotated[Actor, Depends(needs("admin"))],
    role: Annotated[str, Form()] = "member",
    contest: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    """Make a link, and show it once: the page is the answer, so that nothing else ever holds it."""
    of = contest_queries.contest(session, contest).id if contest else None
    _row, key = invitations.invite(session, invitations.Wanted(role, of, note, who.person))
    context = _members(session, "", link=link_of(request, key))
    return page(request, "accounts/members.html", context, headers={"Cache-Control": "no-store"})


def link_of(request: Request, key: str) -> str:
    """The address that the invited person opens."""
    return f"{site_url(request)}/join?key={key}"


@router.post("/members/invitations/{invitation_id}/end")
def take_back(request: Request, session: SessionDep, invitation_id: int) -> Response:
    """Its link is worth nothing from now on."""
    invitations.take_back(session, queries.invitation_by_id(session, invitation_id))
    request.session["told"] = _("The invitation is taken back.")
    return RedirectResponse("/members", 303)


@router.post("/members/{member_id}")
def change(
    request: Request,
    session: SessionDep,
    member_id: int,
    act: Annotated[str, Form()],
    role: Annotated[str, Form()] = "",
) -> Response:
    """Another role, the end of every session, or of the account; and the way back."""
    found = queries.member(session, member_id)
    try:
        request.session["told"] = _changed(session, found, act, role)
    except AppError as error:
        return page(request, "accounts/members.html", _members(session, error.message), error.status)
    return RedirectResponse("/members", 303)


def _changed(session: Session, member: Member, act: str, role: str) -> str:
    if act == "role":
        service.set_role(session, member, role)
        return _("%(name)s is %(role)s now.", name=member.name, role=_(access.ROLE_NAMES[member.role]))
    if act == "sign-out":
        count = sessions.end_all(session, member.id)
        return _("%(count)s sessions of %(name)s are ended.", name=member.name, count=count)
    if act == "return":
        service.come_back(session, member)
        return _("%(name)s may sign in.", name=member.name)
    service.leave(session, member)
    return _("The account of %(name)s is closed; its tokens are revoked.", name=member.name)


@router.get("/contests/{slug}/members")
def contest_members(request: Request, session: SessionDep, slug: str) -> Response:
    """Who is what in this contest, and whether others see it."""
    contest = contest_queries.contest(session, slug)
    known = queries.memberships(session, contest.id)
    named = {member.id for _membership, member in known}
    others = [row for row in queries.members(session) if row.id not in named and row.left_at is None]
    context = ContestMembersPage(
        contest=contest,
        private=queries.private(session, contest.id) is not None,
        memberships=known,
        others=others,
        roles=access.ROLE_NAMES,
        told=request.session.pop("told", ""),
    )
    return page(request, "accounts/contest_members.html", context)


@router.post("/contests/{slug}/members")
def set_contest_role(
    session: SessionDep, slug: str, member: Annotated[int, Form()], role: Annotated[str, Form()] = ""
) -> Response:
    """What a member is in this contest; without a role, what the member is elsewhere."""
    contest = contest_queries.contest(session, slug)
    service.set_contest_role(session, contest.id, queries.member(session, member), role)
    return RedirectResponse(f"/contests/{slug}/members", 303)


@router.post("/contests/{slug}/private")
def set_private(session: SessionDep, slug: str, private: Annotated[bool, Form()]) -> Response:
    """Hide the contest from those without a role in it, or show it again."""
    service.set_private(session, contest_queries.contest(session, slug).id, private=private)
    return RedirectResponse(f"/contests/{slug}/members", 303)
