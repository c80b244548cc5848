"""Members, their roles, the browsers they are signed in with, tokens, invitations, and what everybody did."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey

if TYPE_CHECKING:
    from app.accounts.access import Role
else:
    Role = str


class Member(Base):
    """A person who signs in. The first one is the owner, without whom the app does not open beyond loopback.

    `role`: everywhere but in the contests of which a Membership says otherwise. `left_at`: since when the account is
    closed; its name stays with what it made. `subject`: issuer and subject at the OpenID provider, of who signs in
    there; such a member may have no password ("").
    """

    __tablename__ = "members"
    __table_args__ = (CheckConstraint("role IN ('owner', 'member', 'viewer')", name="role_known"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[Role] = mapped_column(String(10), default="member")
    created_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
    subject: Mapped[str | None] = mapped_column(String(400), unique=True)


class Membership(Base):
    """What a member is in one contest, whatever the role elsewhere."""

    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint("role IN ('owner', 'member', 'viewer')", name="role_known"),)

    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"), primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), primary_key=True, index=True)
    role: Mapped[Role] = mapped_column(String(10))


class PrivateContest(Base):
    """A contest that is there only for owners and for members with a role in it."""

    __tablename__ = "private_contests"

    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"), primary_key=True)


class SignedIn(Base):
    """A browser that a member is signed in with. Its cookie holds a key of which only the SHA-256 is kept; without
    this row the cookie is worth nothing. `seen_at` is at most a minute late."""

    __tablename__ = "member_sessions"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    address: Mapped[str] = mapped_column(String(100))
    agent: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Token(Base):
    """A key for programs; only its SHA-256 is kept.

    `scopes`: words divided by blanks. `member_id`: who made it, and more than whom it never may; none for a token of
    the command line. `contest_id`: the only one it reaches. `last_used_at` is at most a minute late.
    """

    __tablename__ = "tokens"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(100))
    contest_id: Mapped[int | None] = mapped_column(ForeignKey("contests.id"))
    member_id: Mapped[int | None] = mapped_column(ForeignKey("members.id"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class SignInTry(Base):
    """How often signing in failed for an account, an address, or an account from an address, lately.

    `until`: before that it is not tried again. `succeeded_at`: when this account last signed in from this address.
    """

    __tablename__ = "sign_in_tries"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    last_at: Mapped[datetime]
    until: Mapped[datetime]
    succeeded_at: Mapped[datetime | None]


class Invitation(Base):
    """A link with which one person makes an account; only its SHA-256 is kept. With a contest, `role` is that in it,
    and the account is a viewer's elsewhere."""

    __tablename__ = "invitations"
    __table_args__ = (CheckConstraint("role IN ('owner', 'member', 'viewer')", name="role_known"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[Role] = mapped_column(String(10))
    contest_id: Mapped[int | None] = mapped_column(ForeignKey("contests.id"))
    note: Mapped[str] = mapped_column(String(200))
    made_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_by: Mapped[str] = mapped_column(String(100), default="")


class AuditEntry(Base):
    """What somebody did: a request that may have changed something, or a command. Only ever added: triggers of the
    database refuse to change or delete a row. No foreign keys: it outlives what it speaks of.

    `who`: as they were named then. `route`: the pattern; `path`: the address, which names the object.
    """

    __tablename__ = "audit_entries"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    who: Mapped[str] = mapped_column(String(100), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    member_id: Mapped[int | None] = mapped_column(BigInteger)
    token_id: Mapped[int | None] = mapped_column(BigInteger)
    method: Mapped[str] = mapped_column(String(10))
    route: Mapped[str] = mapped_column(String(200))
    path: Mapped[str] = mapped_column(String(500))
    status: Mapped[int]
    address: Mapped[str] = mapped_column(String(100))
    request_id: Mapped[str] = mapped_column(String(64))
