"""What a role or a token may do, and where: the words of app.security, and what queries ask before they show a row.

`security` sets the reach of a request before its route runs; outside of a request (command line, sweeper, workers'
and attempts' calls) nothing is held back. Roles and scopes are explained in README.md.
"""

from collections.abc import Collection, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, false, true

from app.errors import Forbidden, Refused
from app.language import N_
from app.language import gettext as _

Role = Literal["owner", "member", "viewer"]
Scope = Literal["read", "submit", "run", "worker", "admin"]

#: what a token may be made for, as pages explain it
SCOPES: dict[Scope, str] = {
    "read": N_("read everything that pages show, and download it"),
    "submit": N_("plan and send files, and post their online scores"),
    "run": N_("make and change contests, files, experiments and the queue"),
    "worker": N_("claim and serve runs, and nothing else"),
    "admin": N_("members, tokens of others, the audit log, webhooks and sealed answers"),
}
#: what a person may do
ROLES: dict[Role, frozenset[str]] = {
    "owner": frozenset({"read", "submit", "run", "admin"}),
    "member": frozenset({"read", "submit", "run"}),
    "viewer": frozenset({"read"}),
}
ROLE_NAMES: dict[Role, str] = {"owner": N_("owner"), "member": N_("member"), "viewer": N_("viewer")}
#: of a token that is made for "member", the one word of earlier versions
MEMBER_SCOPES = ("read", "submit", "run")


def of_role(role: str) -> frozenset[str]:
    """What this role may do; nothing without one."""
    return next((may for name, may in ROLES.items() if name == role), frozenset())


@dataclass(frozen=True)
class Reach:
    """`scopes`: everywhere but in the contests of `special`, which say otherwise (nothing at all: hidden). `only`: the
    contest that a token is bound to. `wants`: the scope that the route declares."""

    scopes: frozenset[str]
    special: Mapping[int, frozenset[str]] = field(default_factory=dict)
    only: int | None = None
    wants: str = "read"

    def within(self, contest_id: int) -> frozenset[str]:
        """What may be done in this contest."""
        if self.only is not None and contest_id != self.only:
            return frozenset()
        return self.special.get(contest_id, self.scopes)

    @property
    def differs(self) -> bool:
        """Whether contests differ in what is wanted of them; if not, nobody need look which one it is."""
        has = self.wants in self.scopes
        return self.only is not None or any((self.wants in scopes) != has for scopes in self.special.values())


_REACH: ContextVar[Reach | None] = ContextVar("reach", default=None)


def hold_to(reach: Reach | None) -> None:
    """From here on, in this request, rows of other contests are not there."""
    _REACH.set(reach)


def differs() -> bool:
    """Whether it matters for this request of which contest a row is."""
    reach = _REACH.get()
    return reach is not None and reach.differs


def sees(contest_id: int) -> bool:
    """Whether the contest is there at all for who asks."""
    reach = _REACH.get()
    return reach is None or bool(reach.within(contest_id))


def lets(contest_id: int) -> bool:
    """False for a contest that is not there for who asks. Raises Forbidden where it is, and the role there, or the
    token, does not do for what is asked."""
    reach = _REACH.get()
    if reach is None:
        return True
    may = reach.within(contest_id)
    if may and reach.wants not in may:
        raise Forbidden(_("in this contest you may %(may)s: this needs %(scope)s", may=listed(may), scope=reach.wants))
    return bool(may)


def lets_one_of(contest_ids: Collection[int]) -> bool:
    """The same for a row of several contests: one that does is enough."""
    reach = _REACH.get()
    if reach is None or any(reach.wants in reach.within(contest_id) for contest_id in contest_ids):
        return True
    return any(lets(contest_id) for contest_id in contest_ids)


def everywhere() -> bool:
    """Whether what is asked may be done in all contests: what is of all of them is there for no others."""
    reach = _REACH.get()
    return reach is None or (reach.only is None and reach.wants in reach.scopes)


def seen_only(contest_id: Any) -> ColumnElement[bool]:
    """The condition that lists put on their column of contests."""
    reach = _REACH.get()
    if reach is None:
        return true()
    if reach.only is not None:
        return contest_id == reach.only if reach.within(reach.only) else false()
    hidden = [number for number, scopes in reach.special.items() if not scopes]
    shown = [number for number, scopes in reach.special.items() if scopes]
    if not reach.scopes:
        return contest_id.in_(shown) if shown else false()
    return contest_id.not_in(hidden) if hidden else true()


def listed(scopes: Iterable[str]) -> str:
    """In the order in which they are explained; unknown ones are not named."""
    held = set(scopes)
    return ", ".join(scope for scope in SCOPES if scope in held) or "–"


def checked_scopes(asked: Iterable[str]) -> list[Scope]:
    """The scopes that a new token is to have, in order; the word member stands for three. Raises Refused."""
    words = [word for scope in asked for word in (MEMBER_SCOPES if scope == "member" else (scope,))]
    if unknown := sorted({word for word in words if word not in SCOPES}):
        told = {"scopes": ", ".join(unknown)[:100], "known": ", ".join(SCOPES)}
        raise Refused(_("there is no scope %(scopes)s: choose of %(known)s", **told))
    if not words:
        raise Refused(_("a token needs a scope: choose of %(known)s", known=", ".join(SCOPES)))
    if "worker" in words and len(set(words)) > 1:
        raise Refused(_("a worker's token does nothing else: make another token for %(scopes)s", scopes=listed(words)))
    return [scope for scope in SCOPES if scope in words]
