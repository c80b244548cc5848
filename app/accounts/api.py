"""REST of accounts: who asks, the own password and sessions, tokens, members, and roles in a contest."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.accounts import access, invitations, queries, service, sessions, tokens
from app.accounts.access import Role, Scope
from app.accounts.account_pages import account_of, changed_password, may_give, own_token, own_tokens
from app.accounts.member_pages import link_of
from app.accounts.models import Member, Token
from app.contests import queries as contest_queries
from app.db import clock
from app.security import Actor, needs
from app.web import SessionDep

router = APIRouter(prefix="/api/v1", tags=["accounts"])
Own = Annotated[Actor, Depends(needs("self"))]
ADMIN = [Depends(needs("admin"))]


class Strict(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class MeOut(BaseModel):
    """Who asks, as the server sees it. `contest`: the only one that the token reaches."""

    name: str
    kind: str
    role: str
    scopes: list[str]
    contest: str | None


class PasswordBody(Strict):
    """The own password; the old one is needed."""

    old: str = ""
    new: str


class SessionOut(BaseModel):
    """A browser that is signed in; `here`: the one that asks."""

    id: int
    address: str
    agent: str
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    here: bool


class EndedOut(BaseModel):
    """How many sessions ended."""

    ended: int


class NewToken(Strict):
    """A token to be made. Without `contest` it reaches all, without `days` it does not expire."""

    name: str
    scopes: list[Scope] = Field(min_length=1)
    contest: str | None = Field(None, description="slug of the only contest that it reaches")
    days: float | None = None


class TokenOut(BaseModel):
    """A token; its text is in the answer that made it, and nowhere else."""

    id: int
    name: str
    scopes: list[str]
    contest: str | None
    member_id: int | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    token: str | None = None


class NewMember(Strict):
    """A member to be added."""

    name: str
    password: str
    role: Role = "member"


class MemberChange(Strict):
    """What is to be another; `left`: close the account, or open it again."""

    role: Role | None = None
    left: bool | None = None


class MemberOut(BaseModel):
    """A member."""

    id: int
    name: str
    role: Role
    created_at: datetime
    left_at: datetime | None


class NewInvitation(Strict):
    """The role everywhere, or, with a contest's slug, in it alone."""

    role: Role = "member"
    contest: str | None = None
    note: str = Field("", max_length=200, description="for whom")


class InvitationOut(BaseModel):
    """An invitation; its link is in the answer that made it, and nowhere else."""

    id: int
    role: Role
    contest_id: int | None
    note: str
    made_by: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    used_by: str
    link: str | None = None


class RoleBody(Strict):
    """What the member is in this contest."""

    role: Role


class ContestMembersOut(BaseModel):
    """Roles of this contest's own by member; private: others do not see it."""

    private: bool
    members: dict[str, Role]


class PrivateBody(Strict):
    """Whether it is hidden from those without a role in it."""

    private: bool


@router.get("/me")
def me(session: SessionDep, who: Annotated[Actor, Depends(needs("read"))]) -> MeOut:
    """What this token or session may do."""
    names = {contest.id: contest.slug for contest in contest_queries.all_contests(session)}
    contest = names.get(who.contest_id) if who.contest_id is not None else None
    scopes = [scope for scope in access.SCOPES if scope in who.scopes]
    return MeOut(name=who.name, kind=who.kind, role=who.role, scopes=list(scopes), contest=contest)


@router.post("/me/password")
def change_password(request: Request, body: PasswordBody, who: Own) -> EndedOut:
    """Another password; every other session ends. Wrong old ones are slowed down as in signing in."""
    return EndedOut(ended=changed_password(request, who, body.old, body.new))


@router.get("/me/sessions")
def read_sessions(session: SessionDep, who: Own) -> list[SessionOut]:
    """The browsers that you are signed in with."""
    rows = queries.sessions_of(session, account_of(session, who).id, clock(session))
    plain = [name for name in SessionOut.model_fields if name != "here"]
    return [SessionOut(**{name: getattr(row, name) for name in plain}, here=row.id == who.session_id) for row in rows]


@router.delete("/me/sessions")
def end_sessions(session: SessionDep, who: Own) -> EndedOut:
    """Sign out everywhere, here too."""
    return EndedOut(ended=sessions.end_all(session, account_of(session, who).id))


@router.delete("/me/sessions/{session_id}", status_code=204)
def end_session(session_id: int, session: SessionDep, who: Own) -> None:
    """Sign out one browser."""
    sessions.end_one(session, account_of(session, who).id, session_id)


def token_out(row: Token, slugs: dict[int, str], plain: str | None = None) -> TokenOut:
    """The JSON of a token."""
    same = [name for name in TokenOut.model_fields if name not in {"scopes", "contest", "token"}]
    contest = slugs.get(row.contest_id) if row.contest_id is not None else None
    values = {name: getattr(row, name) for name in same}
    return TokenOut(**values, scopes=row.scopes.split(), contest=contest, token=plain)


@router.get("/tokens")
def read_tokens(session: SessionDep, who: Own) -> list[TokenOut]:
    """The tokens that you made; for owners, everybody's."""
    slugs = {contest.id: contest.slug for contest in contest_queries.all_contests(session)}
    return [token_out(row, slugs) for row in own_tokens(session, who)]


@router.post("/tokens", status_code=201)
def make_token(body: NewToken, session: SessionDep, who: Own, response: Response) -> TokenOut:
    """Make a token; `token` in the answer is its text, which can't be read again."""
    bound = contest_queries.contest(session, body.contest) if body.contest else None
    contest_id = bound.id if bound else None
    asked = tokens.Wanted(body.name, body.scopes, contest_id, body.days, who.member_id, frozenset(may_give(who)))
    row, plain = tokens.issue(session, asked)
    response.headers["Cache-Control"] = "no-store"
    return token_out(row, {bound.id: bound.slug} if bound else {}, plain)


@router.delete("/tokens/{token_id}", status_code=204)
def revoke_token(token_id: int, session: SessionDep, who: Own) -> None:
    """From the next request on it is unknown."""
    tokens.revoke(session, own_token(session, who, token_id))


def member_out(row: Member) -> MemberOut:
    """The JSON of a member."""
    return MemberOut.model_validate(row, from_attributes=True)


@router.get("/members", dependencies=ADMIN)
def read_members(session: SessionDep) -> list[MemberOut]:
    """Everybody."""
    return [member_out(row) for row in queries.members(session)]


@router.post("/members", status_code=201, dependencies=ADMIN)
def add_member(body: NewMember, session: SessionDep) -> MemberOut:
    """A new member, whose password you chose."""
    return member_out(service.add_member(session, body.name, body.password, body.role))


@router.patch("/members/{member_id}", dependencies=ADMIN)
def change_member(member_id: int, body: MemberChange, session: SessionDep) -> MemberOut:
    """Another role; or close the account, which ends its sessions and revokes its tokens; or open it again."""
    found = queries.member(session, member_id)
    if body.role is not None:
        service.set_role(session, found, body.role)
    if body.left is not None:
        (service.leave if body.left else service.come_back)(session, found)
    return member_out(found)


@router.delete("/members/{member_id}/sessions", dependencies=ADMIN)
def end_sessions_of(member_id: int, session: SessionDep) -> EndedOut:
    """Sign a member out everywhere."""
    return EndedOut(ended=sessions.end_all(session, queries.member(session, member_id).id))


@router.get("/invitations", dependencies=ADMIN)
def read_invitations(session: SessionDep) -> list[InvitationOut]:
    """Every invitation, the newest first."""
    return [InvitationOut.model_validate(row, from_attributes=True) for row in queries.invitations(session)]


@router.post("/invitations", status_code=201)
def invite(
    request: Request,
    body: NewInvitation,
    session: SessionDep,
    who: Annotated[Actor, Depends(needs("admin"))],
    response: Response,
) -> InvitationOut:
    """Make a link with which one person makes an account; it lasts 7 days."""
    of = contest_queries.contest(session, body.contest).id if body.contest else None
    row, key = invitations.invite(session, invitations.Wanted(body.role, of, body.note, who.person))
    response.headers["Cache-Control"] = "no-store"
    made = InvitationOut.model_validate(row, from_attributes=True)
    return made.model_copy(update={"link": link_of(request, key)})


@router.delete("/invitations/{invitation_id}", status_code=204, dependencies=ADMIN)
def take_back_invitation(invitation_id: int, session: SessionDep) -> None:
    """Its link is worth nothing from now on."""
    invitations.take_back(session, queries.invitation_by_id(session, invitation_id))


@router.get("/contests/{slug}/members", dependencies=ADMIN)
def read_contest_members(slug: str, session: SessionDep) -> ContestMembersOut:
    """Roles that this contest gives, whatever they are elsewhere."""
    contest = contest_queries.contest(session, slug)
    roles = {member.name: row.role for row, member in queries.memberships(session, contest.id)}
    return ContestMembersOut(private=queries.private(session, contest.id) is not None, members=roles)


@router.put("/contests/{slug}/members/{member_id}", status_code=204, dependencies=ADMIN)
def set_contest_role(slug: str, member_id: int, body: RoleBody, session: SessionDep) -> None:
    """What a member is in this contest."""
    contest = contest_queries.contest(session, slug)
    service.set_contest_role(session, contest.id, queries.member(session, member_id), body.role)


@router.delete("/contests/{slug}/members/{member_id}", status_code=204, dependencies=ADMIN)
def drop_contest_role(slug: str, member_id: int, session: SessionDep) -> None:
    """Here the member is what the member is elsewhere."""
    contest = contest_queries.contest(session, slug)
    service.set_contest_role(session, contest.id, queries.member(session, member_id), "")


@router.put("/contests/{slug}/private", status_code=204, dependencies=ADMIN)
def set_private(slug: str, body: PrivateBody, session: SessionDep) -> None:
    """Hide the contest from those without a role in it, or show it again."""
    service.set_private(session, contest_queries.contest(session, slug).id, private=body.private)
