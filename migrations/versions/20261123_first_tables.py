"""The first tables: members, tokens, contests, files, experiments, runs, attempts, events, scores, workers."""

import sqlalchemy as sa
from alembic import op

revision = "20261123_first_tables"
down_revision = None

#: SQLite counts up only INTEGER keys by itself
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "contests",
        sa.Column("id", KEY, nullable=False),
        sa.Column("slug", sa.String(length=60), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("metric", sa.String(length=20), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contests")),
        sa.UniqueConstraint("slug", name=op.f("uq_contests_slug")),
    )
    op.create_table(
        "members",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
        sa.UniqueConstraint("name", name=op.f("uq_members_name")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("scope IN ('member', 'worker')", name=op.f("ck_tokens_scope_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("busy_run_id", sa.BigInteger(), nullable=True),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    op.create_table(
        "contest_files",
        sa.Column("id", KEY, nullable=False),
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("layout", sa.JSON(), nullable=False),
        sa.Column("layout_digest", sa.String(length=64), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('train', 'test')", name=op.f("ck_contest_files_kind_known")),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_contest_files_contest_id_contests")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contest_files")),
        sa.UniqueConstraint(
            "contest_id",
            "kind",
            "sha256",
            "layout_digest",
            name=op.f("uq_contest_files_contest_id_kind_sha256_layout_digest"),
        ),
    )
    op.create_index("ix_contest_files_contest_id", "contest_files", ["contest_id"])

    op.create_table(
        "experiments",
        sa.Column("id", KEY, nullable=False),
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("config", sa.JSON(), nullable=True),
        sa.Column("fingerprint", sa.String(length=64), nullable=True),
        sa.Column("parent_id", KEY, nullable=True),
        sa.Column("train_file_id", KEY, nullable=True),
        sa.Column("test_file_id", KEY, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("origin IN ('pairboard', 'external')", name=op.f("ck_experiments_origin_known")),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_experiments_contest_id_contests")),
        sa.ForeignKeyConstraint(["parent_id"], ["experiments.id"], name=op.f("fk_experiments_parent_id_experiments")),
        sa.ForeignKeyConstraint(
            ["test_file_id"], ["contest_files.id"], name=op.f("fk_experiments_test_file_id_contest_files")
        ),
        sa.ForeignKeyConstraint(
            ["train_file_id"], ["contest_files.id"], name=op.f("fk_experiments_train_file_id_contest_files")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
    )
    op.create_index("ix_experiments_contest_id", "experiments", ["contest_id"])
    op.create_index("ix_experiments_fingerprint", "experiments", ["fingerprint"])

    op.create_table(
        "runs",
        sa.Column("id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("train_file_id", KEY, nullable=False),
        sa.Column("test_file_id", KEY, nullable=True),
        sa.Column("pretrain_run_id", KEY, nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=True),
        sa.Column("summary", sa.JSON(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rung_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('pretrain', 'finetune')", name=op.f("ck_runs_kind_known")),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'finished', 'failed', 'cancelled')", name=op.f("ck_runs_status_known")
        ),
        sa.ForeignKeyConstraint(["pretrain_run_id"], ["runs.id"], name=op.f("fk_runs_pretrain_run_id_runs")),
        sa.ForeignKeyConstraint(
            ["test_file_id"], ["contest_files.id"], name=op.f("fk_runs_test_file_id_contest_files")
        ),
        sa.ForeignKeyConstraint(
            ["train_file_id"], ["contest_files.id"], name=op.f("fk_runs_train_file_id_contest_files")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
    )
    op.create_index("ix_runs_fingerprint", "runs", ["fingerprint"])
    op.create_index("ix_runs_pretrain_run_id", "runs", ["pretrain_run_id"])
    op.create_index("ix_runs_status_kind", "runs", ["status", "kind"])

    op.create_table(
        "attempts",
        sa.Column("id", KEY, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=100), nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stored_events", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('', 'finished', 'failed', 'cancelled', 'returned', 'lost')",
            name=op.f("ck_attempts_outcome_known"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_attempts_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("run_id", "number", name=op.f("uq_attempts_run_id_number")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_attempts_token_digest")),
    )
    op.create_index("ix_attempts_worker", "attempts", ["worker"])

    op.create_table(
        "experiment_runs",
        sa.Column("experiment_id", KEY, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_runs_experiment_id_experiments")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_experiment_runs_run_id_runs")),
        sa.PrimaryKeyConstraint("experiment_id", "run_id", name=op.f("pk_experiment_runs")),
    )
    op.create_index("ix_experiment_runs_run_id", "experiment_runs", ["run_id"])

    op.create_table(
        "scores",
        sa.Column("id", KEY, nullable=False),
        sa.Column("experiment_id", KEY, nullable=False),
        sa.Column("run_id", KEY, nullable=True),
        sa.Column("split", sa.String(length=10), nullable=False),
        sa.Column("metric", sa.String(length=20), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("text", sa.String(length=60), nullable=False),
        sa.Column("uncertain", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("split IN ('train', 'valid', 'online')", name=op.f("ck_scores_split_known")),
        sa.CheckConstraint("value >= -1e300 AND value <= 1e300", name=op.f("ck_scores_value_finite")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_scores_experiment_id_experiments")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_scores_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scores")),
        sa.UniqueConstraint("experiment_id", "idempotency_key", name=op.f("uq_scores_experiment_id_idempotency_key")),
        sa.UniqueConstraint("run_id", "split", "metric", name=op.f("uq_scores_run_id_split_metric")),
    )
    op.create_index("ix_scores_experiment_split_metric", "scores", ["experiment_id", "split", "metric"])

    op.create_table(
        "artifacts",
        sa.Column("id", KEY, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("attempt_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_artifacts_attempt_id_attempts")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_artifacts_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
        sa.UniqueConstraint("attempt_id", "name", name=op.f("uq_artifacts_attempt_id_name")),
    )
    op.create_index("ix_artifacts_run_id", "artifacts", ["run_id"])

    op.create_table(
        "run_events",
        sa.Column("attempt_id", KEY, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_run_events_attempt_id_attempts")),
        sa.PrimaryKeyConstraint("attempt_id", "number", name=op.f("pk_run_events")),
    )


def downgrade() -> None:
    op.drop_table("run_events")
    op.drop_index("ix_artifacts_run_id", "artifacts")

    op.drop_table("artifacts")
    op.drop_index("ix_scores_experiment_split_metric", "scores")

    op.drop_table("scores")
    op.drop_index("ix_experiment_runs_run_id", "experiment_runs")

    op.drop_table("experiment_runs")
    op.drop_index("ix_attempts_worker", "attempts")

    op.drop_table("attempts")
    op.drop_index("ix_runs_status_kind", "runs")
    op.drop_index("ix_runs_pretrain_run_id", "runs")
    op.drop_index("ix_runs_fingerprint", "runs")

    op.drop_table("runs")
    op.drop_index("ix_experiments_fingerprint", "experiments")
    op.drop_index("ix_experiments_contest_id", "experiments")

    op.drop_table("experiments")
    op.drop_index("ix_contest_files_contest_id", "contest_files")

    op.drop_table("contest_files")
    op.drop_table("workers")
    op.drop_table("tokens")
    op.drop_table("members")
    op.drop_table("contests")
