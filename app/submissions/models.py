"""Files that go to the contest, or went there. Their scores are in experiments/models.py."""

from datetime import date, datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey
from app.language import N_

#: in which a submission is; see Submission.state
STATES = (N_("planned"), N_("sent"), N_("withdrawn"), N_("refused"))


class Submission(Base):
    """A prediction file that is planned for a day of the contest, or was sent.

    `sha256` is that of the file as it is sent, empty while it is not made yet, or was made elsewhere and never told;
    `predictions_sha256` that of the stored predictions it was made of, so that later files are compared with exactly
    what was sent. `contest_day`: in the contest's zone, the day it is planned for, or on which it was sent, whose quota
    it uses. `withdrawn_at`: a plan that was given up, or a file that the contest did not take; it uses no quota.
    An experiment that is removed for good leaves its submissions, which then name what is left of it in `removed_id`.
    """

    __tablename__ = "submissions"
    __table_args__ = (Index("ix_submissions_day", "contest_id", "contest_day"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"))
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"), index=True)
    removed_id: Mapped[int | None] = mapped_column(ForeignKey("removed_experiments.id"))
    sha256: Mapped[str] = mapped_column(String(64), default="", index=True)
    predictions_sha256: Mapped[str] = mapped_column(String(64), default="", index=True)
    board: Mapped[str] = mapped_column(String(20), default="")
    contest_day: Mapped[date]
    remark: Mapped[str] = mapped_column(Text, default="")
    made_by: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime]
    sent_by: Mapped[str] = mapped_column(String(200), default="")
    sent_at: Mapped[datetime | None]
    withdrawn_by: Mapped[str] = mapped_column(String(200), default="")
    withdrawn_why: Mapped[str] = mapped_column(Text, default="")
    withdrawn_at: Mapped[datetime | None]

    @property
    def state(self) -> str:
        """One of STATES: a sent one that was withdrawn the contest refused."""
        if self.withdrawn_at is not None:
            return "refused" if self.sent_at is not None else "withdrawn"
        return "sent" if self.sent_at is not None else "planned"


class WrittenFile(Base):
    """A file that was made for the contest of an experiment's predictions: by its hash the experiment is found for
    good, whatever form the contest wants by then. `form`: digest of the form in which it is written, or of a file that
    a person made of them its own hash. The bytes are not kept: they are made anew, and are always the same.
    """

    __tablename__ = "written_files"
    __table_args__ = (UniqueConstraint("experiment_id", "predictions_sha256", "form"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    predictions_sha256: Mapped[str] = mapped_column(String(64))
    form: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
