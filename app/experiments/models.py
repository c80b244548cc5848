"""Experiments (rows of the comparison table: what was asked), their tags and their scores, and what is left of removed
ones."""

import statistics
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, validates

from app.db import Base, BigKey
from app.language import N_

#: words of rows that pages show: splits, and where a score comes from
SPLITS = (N_("train"), N_("valid"), N_("online"))
SOURCES = (N_("run"), N_("form"), N_("rest"), N_("import"), N_("sealed"), N_("csv"), N_("command"))


class Experiment(Base):
    """A row. `config` is null for an external one, that was trained elsewhere and brought in from a table.

    `marks`: what a reader of its scores must know (leaking, transductive), and why. `family`: hash of all that was
    asked but the seed (service.family). `made_by`: the member or token that asked for it. `archived_at`: since when it
    is out of the table, scores and all, until it is restored. `note`: Markdown. `verdict`: what came of it, in one
    line. `audit`: the worst that leak audits of its runs' splits found (clean, suspicious, leaking); empty: none yet.
    `shown_train` and its like: value of the latest score in the contest's metric, which service.add_score keeps, for
    the table to be ordered, searched and summed up by.
    """

    __tablename__ = "experiments"
    __table_args__ = (
        CheckConstraint("origin IN ('pairboard', 'external')", name="origin_known"),
        # a row is long, for its config: what the table counts and orders by is read from here
        Index(
            "ix_experiments_table",
            *("contest_id", "archived_at", "id", "name", "made_by", "created_at", "origin"),
            *("shown_train", "shown_valid", "shown_online", "shown_deviation"),
        ),
        # and how many rows there are from here, which Postgres keeps in a seventieth of the pages
        Index("ix_experiments_counted", "contest_id", "archived_at"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"))
    name: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(Text, default="")
    verdict: Mapped[str] = mapped_column(String(200), default="")
    audit: Mapped[str] = mapped_column(String(20), default="")
    origin: Mapped[str] = mapped_column(String(20), default="pairboard")
    config: Mapped[dict[str, Any] | None]
    marks: Mapped[dict[str, Any]] = mapped_column(default=dict)
    fingerprint: Mapped[str | None] = mapped_column(String(64), index=True)
    family: Mapped[str | None] = mapped_column(String(64), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    train_file_id: Mapped[int | None] = mapped_column(ForeignKey("contest_files.id"))
    test_file_id: Mapped[int | None] = mapped_column(ForeignKey("contest_files.id"))
    unlabelled_file_id: Mapped[int | None] = mapped_column(ForeignKey("contest_files.id"))
    made_by: Mapped[str] = mapped_column(String(200), default="")
    archived_at: Mapped[datetime | None]
    shown_train: Mapped[float | None] = mapped_column(Double)
    shown_valid: Mapped[float | None] = mapped_column(Double)
    shown_online: Mapped[float | None] = mapped_column(Double)
    shown_deviation: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[datetime]


class ExperimentTag(Base):
    """A word that people put on a row, to find it again with others."""

    __tablename__ = "experiment_tags"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(40), primary_key=True, index=True)


class ExperimentField(Base):
    """A field of a config, so that the table is searched and summed up by it without reading ten thousand configs.
    Written with the experiment, whose config never changes. `number`: of a number, and 1 or 0 of a switch."""

    __tablename__ = "experiment_fields"
    __table_args__ = (
        PrimaryKeyConstraint("contest_id", "name", "experiment_id", postgresql_include=["text", "number"]),
        {"sqlite_with_rowid": False},
    )

    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"))
    name: Mapped[str] = mapped_column(String(80))
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    text: Mapped[str] = mapped_column(Text)
    number: Mapped[float | None] = mapped_column(Double)


class Score(Base):
    """One number of one split. Append-only for online; a run's own score is replaced by its later attempt's.

    `low` and `high` are the ends of its 95% interval; `members` what each fold or fused experiment scored by itself,
    `deviation` theirs, kept for the table to be ordered by. `latest`: no later one of this experiment, split and metric
    stands; the table shows these. `made_by`: the member or token that posted it.
    Of an online score: the submission that got it (older ones have none), the `board` it stands on, and when the
    contest told it, if that was said (`told_at`). `corrects_id`: the score that was wrong, whose place in time it
    takes; that one stays and no longer `counts`.
    `text` keeps a number as a person typed it (0.877030), `uncertain` the question mark behind it (0.8?).
    The range check refuses NaN and infinity on both databases: SQLite stores NaN as NULL, Postgres ranks it highest.
    """

    __tablename__ = "scores"
    __table_args__ = (
        CheckConstraint("value >= -1e300 AND value <= 1e300", name="value_finite"),
        CheckConstraint("split IN ('train', 'valid', 'online')", name="split_known"),
        UniqueConstraint("run_id", "split", "metric"),
        UniqueConstraint("experiment_id", "idempotency_key"),
        UniqueConstraint("corrects_id"),
        Index("ix_scores_experiment_split_metric", "experiment_id", "split", "metric"),
        Index(
            "ix_scores_latest",
            "experiment_id",
            "metric",
            "split",
            "value",
            sqlite_where=text("latest"),
            postgresql_where=text("latest"),
        ),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    split: Mapped[str] = mapped_column(String(10))
    metric: Mapped[str] = mapped_column(String(20))
    latest: Mapped[bool] = mapped_column(default=True)
    value: Mapped[float] = mapped_column(Double)
    low: Mapped[float | None] = mapped_column(Double)
    high: Mapped[float | None] = mapped_column(Double)
    members: Mapped[list[Any] | None]
    deviation: Mapped[float | None] = mapped_column(Double)
    text: Mapped[str] = mapped_column(String(60), default="")
    uncertain: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str] = mapped_column(Text, default="")
    source: Mapped[str] = mapped_column(String(20))
    made_by: Mapped[str] = mapped_column(String(200), default="")
    idempotency_key: Mapped[str | None] = mapped_column(String(200))
    submission_id: Mapped[int | None] = mapped_column(ForeignKey("submissions.id"), index=True)
    board: Mapped[str] = mapped_column(String(20), default="")
    told_at: Mapped[datetime | None]
    corrects_id: Mapped[int | None] = mapped_column(ForeignKey("scores.id"))
    counts: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]

    @property
    def moment(self) -> datetime:
        """When the contest told it, as far as that is known."""
        return self.told_at or self.created_at

    @validates("members")
    def _spread(self, _key: str, members: list[Any] | None) -> list[Any] | None:
        self.deviation = statistics.stdev(members) if members and len(members) > 1 else None
        return members


class RemovedExperiment(Base):
    """What is left of an experiment that was removed for good: a score is never lost, and its number not given again.

    `scores`: every one that it had, as REST shows them.
    """

    __tablename__ = "removed_experiments"

    id: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)
    contest_id: Mapped[int] = mapped_column(ForeignKey("contests.id"), index=True)
    name: Mapped[str] = mapped_column(String(200))
    note: Mapped[str] = mapped_column(Text)
    verdict: Mapped[str] = mapped_column(String(200))
    config: Mapped[dict[str, Any] | None]
    scores: Mapped[list[Any]]
    made_by: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    removed_by: Mapped[str] = mapped_column(String(200))
    removed_at: Mapped[datetime]
