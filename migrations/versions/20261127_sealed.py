"""Sealed answers of contests, and what was sent in to be scored by them."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_sealed"
down_revision = "20261127_submission_format"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sealed_answers",
        sa.Column("id", KEY, nullable=False),
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("test_file_id", KEY, nullable=False),
        sa.Column("stored", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("public_rows", sa.BigInteger(), nullable=False),
        sa.Column("public_share", sa.Double(), nullable=False),
        sa.Column("uploads_a_day", sa.Integer(), nullable=False),
        sa.Column("runs_a_day", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.String(length=60), nullable=False),
        sa.Column("opens_at", MOMENT, nullable=True),
        sa.Column("closes_at", MOMENT, nullable=True),
        sa.Column("revealed_at", MOMENT, nullable=True),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint("uploads_a_day >= 1 AND runs_a_day >= 0", name=op.f("ck_sealed_answers_limits_known")),
        sa.CheckConstraint("public_share > 0 AND public_share < 1", name=op.f("ck_sealed_answers_share_known")),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_sealed_answers_contest_id_contests")),
        sa.ForeignKeyConstraint(
            ["test_file_id"], ["contest_files.id"], name=op.f("fk_sealed_answers_test_file_id_contest_files")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sealed_answers")),
        sa.UniqueConstraint("contest_id", name=op.f("uq_sealed_answers_contest_id")),
    )
    op.create_table(
        "sealed_uploads",
        sa.Column("id", KEY, nullable=False),
        sa.Column("sealed_id", KEY, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("status", sa.String(length=10), nullable=False),
        sa.Column("fault", sa.String(length=30), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("file_name", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("remark", sa.String(length=500), nullable=False),
        sa.Column("public_score", sa.Double(), nullable=True),
        sa.Column("private_score", sa.Double(), nullable=True),
        sa.Column("experiment_id", KEY, nullable=True),
        sa.Column("run_id", KEY, nullable=True),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("sent_at", MOMENT, nullable=False),
        sa.CheckConstraint("status IN ('scored', 'refused')", name=op.f("ck_sealed_uploads_status_known")),
        sa.CheckConstraint("kind IN ('upload', 'run')", name=op.f("ck_sealed_uploads_kind_known")),
        sa.ForeignKeyConstraint(
            ["sealed_id"], ["sealed_answers.id"], name=op.f("fk_sealed_uploads_sealed_id_sealed_answers")
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name=op.f("fk_sealed_uploads_experiment_id_experiments"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["runs.id"], name=op.f("fk_sealed_uploads_run_id_runs"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sealed_uploads")),
        sa.UniqueConstraint("run_id", name=op.f("uq_sealed_uploads_run_id")),
    )
    op.create_index("ix_sealed_uploads_day", "sealed_uploads", ["sealed_id", "made_by", "sent_at"])
    op.create_index("ix_sealed_uploads_experiment_id", "sealed_uploads", ["experiment_id"])


def downgrade() -> None:
    op.drop_table("sealed_uploads")
    op.drop_table("sealed_answers")
