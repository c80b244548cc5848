"""Contests and their data files."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey


class Contest(Base):
    """A contest: a name, the metric it ranks by, and files. `submission_format`: the form of prediction files
    (submissions/format.py); null: the commonest.

    `time_zone`: whose midnight begins a day of it; `submissions_a_day`: how many it takes on each, None for any number.
    """

    __tablename__ = "contests"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    slug: Mapped[str] = mapped_column(String(60), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    metric: Mapped[str] = mapped_column(String(20))
    note: Mapped[str] = mapped_column(Text, default="")
    submission_format: Mapped[dict[str, Any] | None]
    time_zone: Mapped[str] = mapped_column(String(60), default="UTC")
    submissions_a_day: Mapped[int | None]
    created_at: Mapped[datetime]


class ContestFile(Base):
    """A data file of a contest; its bytes lie in storage under their hash, as they were uploaded."""

    __tablename__ = "contest_files"
    __table_args__ = (
        UniqueConstraint("contest_id", "kind", "sha256", "layout_digest"),
        CheckConstraint("kind IN ('train', 'test', 'unlabelled')", name="kind_known"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    layout: Mapped[dict[str, Any]]
    layout_digest: Mapped[str] = mapped_column(String(64))
    report: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class DataFact(Base):
    """Something that was counted in data files, once: `key` is the digest of what, and of the files' hashes.

    Without a `body` it is being counted since `begun_at`; one begun long ago was given up, and is begun anew.
    """

    __tablename__ = "data_facts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    what: Mapped[str] = mapped_column(String(20))
    body: Mapped[dict[str, Any] | None]
    seconds: Mapped[float] = mapped_column(Double, default=0)
    begun_at: Mapped[datetime]
