"""Members and tokens."""

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey


class Member(Base):
    """A person with a password. The first one may open the app beyond loopback."""

    __tablename__ = "members"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]


class Token(Base):
    """A key for programs; only its SHA-256 is kept."""

    __tablename__ = "tokens"
    __table_args__ = (CheckConstraint("scope IN ('member', 'worker')", name="scope_known"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scope: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
