"""That a contest has sealed answers and by which rules, and everything that was ever sent in.

The answers themselves are in no table: answers.py keeps them in a folder of their own.
"""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey
from app.language import N_

STATUSES = (N_("scored"), N_("refused"))


class SealedAnswers(Base):
    """The answers to one test file of a contest, and the rules. `stored` names their file and `sha256` its bytes: no
    route tells either, for who can guess answers could try the guess on the hash.

    A day of `uploads_a_day` (each member) and `runs_a_day` (of the whole contest) is one of `time_zone`. Without
    `opens_at` it is open from the start, without `closes_at` for good. `revealed_at`: since when private scores show.
    """

    __tablename__ = "sealed_answers"
    __table_args__ = (
        CheckConstraint("uploads_a_day >= 1 AND runs_a_day >= 0", name="limits_known"),
        CheckConstraint("public_share > 0 AND public_share < 1", name="share_known"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"), unique=True)
    test_file_id: Mapped[int] = mapped_column(ForeignKey("contest_files.id"))
    stored: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    rows: Mapped[int] = mapped_column(BigInteger)
    public_rows: Mapped[int] = mapped_column(BigInteger)
    public_share: Mapped[float] = mapped_column(Double)
    uploads_a_day: Mapped[int]
    runs_a_day: Mapped[int]
    time_zone: Mapped[str] = mapped_column(String(60))
    opens_at: Mapped[datetime | None]
    closes_at: Mapped[datetime | None]
    revealed_at: Mapped[datetime | None]
    made_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]


class SealedUpload(Base):
    """One prediction file that came in, scored or refused: sent by a member, or the predictions of a finished run.

    A refused one says why in `message`, and `fault` names the kind for programs; the message of a scored one holds
    remarks. `private_score` shows only after the reveal. A run is scored once; removed for good, its scores stay.
    """

    __tablename__ = "sealed_uploads"
    __table_args__ = (
        CheckConstraint("status IN ('scored', 'refused')", name="status_known"),
        CheckConstraint("kind IN ('upload', 'run')", name="kind_known"),
        Index("ix_sealed_uploads_day", "sealed_id", "made_by", "sent_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    sealed_id: Mapped[int] = mapped_column(ForeignKey("sealed_answers.id"))
    kind: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(String(10))
    fault: Mapped[str] = mapped_column(String(30), default="")
    message: Mapped[str] = mapped_column(Text, default="")
    file_name: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    remark: Mapped[str] = mapped_column(String(500), default="")
    public_score: Mapped[float | None] = mapped_column(Double)
    private_score: Mapped[float | None] = mapped_column(Double)
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id", ondelete="SET NULL"), index=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"), unique=True)
    made_by: Mapped[str] = mapped_column(String(200))
    sent_at: Mapped[datetime]
