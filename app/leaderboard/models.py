"""Views of the table that a contest's people saved by name, and rows that lie in the trash."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey


class SavedView(Base):
    """What a reader asked of the table, under a name; shared by everybody in the contest.

    `view`: the fields of View but for the page. At most one of a contest is its default: the table without a question.
    """

    __tablename__ = "saved_views"
    __table_args__ = (
        UniqueConstraint("contest_id", "name"),
        Index(
            "ix_saved_views_default",
            "contest_id",
            unique=True,
            sqlite_where=text("is_default"),
            postgresql_where=text("is_default"),
        ),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"))
    name: Mapped[str] = mapped_column(String(60))
    view: Mapped[dict[str, Any]]
    is_default: Mapped[bool] = mapped_column(default=False)
    made_by: Mapped[str] = mapped_column(String(200))
    changed_at: Mapped[datetime]


class Trashed(Base):
    """A row of the archive that goes for good when the trash is emptied; until then it can be taken out again."""

    __tablename__ = "trash"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"), index=True)
    thrown_by: Mapped[str] = mapped_column(String(200))
    thrown_at: Mapped[datetime]
