"""Runs (queued pieces of experiments), the attempts at them, and what the attempts reported.

What was asked (Run) and a worker's try at it (Attempt) are two records: a run may lose its worker and be taken again.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, BigKey
from app.language import N_

STATUSES = (N_("queued"), N_("running"), N_("finished"), N_("failed"), N_("cancelled"))
#: elsewhere: it stands for a training whose predictions somebody brought (elsewhere.py)
KINDS = (N_("pretrain"), N_("finetune"), N_("blend"), N_("elsewhere"))
#: how an attempt ends, beside the statuses
OUTCOMES = (N_("returned"), N_("lost"))


#: events that hold lines of a run's log, as the index of them says it
LOG = "type IN ('log', 'printed', 'failed', 'crashed')"


class Run(Base):
    """A pretrain (perhaps shared by several experiments), one training of a finetune, or a blend.

    `status` moves only in lifecycle.py. A queue works from the highest `priority` and the lowest `place` on;
    `not_before` is set after a lost worker. Attempts after number `tries_from` count against `max_attempts`; a
    `stop_reason` tells why the app itself stops it. `likeness` is equal for runs that take equally long a pass
    of their data, of which this one makes `passes`.
    """

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint(f"status IN {STATUSES}", name="status_known"),
        CheckConstraint("kind IN ('pretrain', 'finetune', 'blend', 'elsewhere')", name="kind_known"),
        Index("ix_runs_status_kind", "status", "kind"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    fingerprint: Mapped[str] = mapped_column(String(64), index=True)
    config: Mapped[dict[str, Any]]
    train_file_id: Mapped[int] = mapped_column(ForeignKey("contest_files.id"))
    test_file_id: Mapped[int | None] = mapped_column(ForeignKey("contest_files.id"))
    unlabelled_file_id: Mapped[int | None] = mapped_column(ForeignKey("contest_files.id"))
    fold: Mapped[int | None]
    repeat: Mapped[int] = mapped_column(default=0)
    status: Mapped[str] = mapped_column(String(20), default="queued")
    attempt: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str] = mapped_column(Text, default="")
    detail: Mapped[str] = mapped_column(Text, default="")
    progress: Mapped[dict[str, Any] | None]
    summary: Mapped[dict[str, Any] | None]
    queue: Mapped[str] = mapped_column(String(60), default="pairboard")
    priority: Mapped[int] = mapped_column(default=0)
    place: Mapped[int] = mapped_column(BigInteger, default=0)
    max_attempts: Mapped[int] = mapped_column(default=5)
    max_seconds: Mapped[float | None] = mapped_column(Double)
    gpu_memory_gb: Mapped[float | None] = mapped_column(Double)
    not_before: Mapped[datetime | None]
    tries_from: Mapped[int] = mapped_column(default=0)
    stop_reason: Mapped[str] = mapped_column(Text, default="")
    likeness: Mapped[str] = mapped_column(String(16), default="", index=True)
    passes: Mapped[float] = mapped_column(Double, default=0)
    queued_at: Mapped[datetime]
    rung_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    @property
    def is_stopping(self) -> bool:
        """It was told to stop, and its worker has not ended it yet. One that came to its end all the same has ended
        well."""
        return self.cancel_requested and self.status == "running"


class RunNeed(Base):
    """What a run waits for and then reads: a pretrain's weights, predictions of members, a teacher's predictions.

    `label` names the folder in which a member's files reach the job.
    """

    __tablename__ = "run_needs"
    __table_args__ = (CheckConstraint("role IN ('pretrained', 'member', 'teacher')", name="role_known"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    needs_run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(20), primary_key=True)
    position: Mapped[int]
    label: Mapped[str] = mapped_column(String(60), default="")


class ExperimentRun(Base):
    """Which runs make up an experiment; a pretrain may stand in several."""

    __tablename__ = "experiment_runs"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True, index=True)


class Attempt(Base):
    """A worker's try at a run: its own token, its lease, how many of its events are stored, and how it ended.

    The points of the first `drawn_events` events lie in curve pieces; those of later ones are read from the events.
    `thinned_events` of the stored ones are gone again (retention.thin).
    """

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("run_id", "number"),
        CheckConstraint("outcome IN ('', 'finished', 'failed', 'cancelled', 'returned', 'lost')", name="outcome_known"),
    )

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    number: Mapped[int]
    worker: Mapped[str] = mapped_column(String(100), index=True)
    boot_id: Mapped[str] = mapped_column(String(64))
    token_digest: Mapped[str] = mapped_column(String(64), unique=True)
    claimed_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
    lease_until: Mapped[datetime]
    stored_events: Mapped[int] = mapped_column(default=0)
    drawn_events: Mapped[int] = mapped_column(default=0)
    thinned_events: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str] = mapped_column(String(20), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    ended_at: Mapped[datetime | None]


class RunEvent(Base):
    """One event, numbered per attempt by its one writer."""

    __tablename__ = "run_events"
    __table_args__ = (
        # few among very many: the lines that a person reads (log_queries)
        Index("ix_run_events_log", "attempt_id", "number", sqlite_where=text(LOG), postgresql_where=text(LOG)),
    )

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(20))
    body: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]


class CurvePiece(Base):
    """Up to curve_service.PIECE consecutive points of an attempt's curve, as arrays (curves.packed).

    `fine`: all of them; `coarse`: the lowest and highest of every few, before `fine`, which SQLite then need not read.
    """

    __tablename__ = "curve_pieces"

    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"), primary_key=True)
    series: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    points: Mapped[int]
    first_step: Mapped[float] = mapped_column(Double)
    last_step: Mapped[float] = mapped_column(Double)
    coarse: Mapped[bytes] = mapped_column(LargeBinary)
    fine: Mapped[bytes] = mapped_column(LargeBinary)


class Artifact(Base):
    """A file that an attempt made; its bytes lie in storage under their hash."""

    __tablename__ = "artifacts"
    __table_args__ = (UniqueConstraint("attempt_id", "name"),)

    id: Mapped[int] = mapped_column(BigKey, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True)
    attempt_id: Mapped[int] = mapped_column(ForeignKey("attempts.id"))
    name: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class Worker(Base):
    """A worker as it last reported itself. A new boot id means that it was started anew.

    A draining one ends what it does and gets nothing new. `machine` is its Machine (ml.contract.machine) as JSON.
    """

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    boot_id: Mapped[str] = mapped_column(String(64))
    busy_run_id: Mapped[int | None] = mapped_column(BigInteger)
    last_seen_at: Mapped[datetime]
    queues: Mapped[list[Any]] = mapped_column(default=list)
    machine: Mapped[dict[str, Any]] = mapped_column(default=dict)
    draining: Mapped[bool] = mapped_column(default=False)
    started_at: Mapped[datetime | None]


class PausedQueue(Base):
    """A queue from which nothing is handed out; what runs goes on."""

    __tablename__ = "paused_queues"

    name: Mapped[str] = mapped_column(String(60), primary_key=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    paused_by: Mapped[str] = mapped_column(String(200))
    paused_at: Mapped[datetime]
