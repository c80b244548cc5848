"""Hashes of the files that were made for contests, by which a score finds its experiment."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_written_files"
down_revision = "20261127_webhooks"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "written_files",
        sa.Column("id", KEY, nullable=False),
        sa.Column("experiment_id", KEY, nullable=False),
        sa.Column("predictions_sha256", sa.String(length=64), nullable=False),
        sa.Column("form", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_written_files_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_written_files")),
        sa.UniqueConstraint(
            "experiment_id",
            "predictions_sha256",
            "form",
            name=op.f("uq_written_files_experiment_id_predictions_sha256_form"),
        ),
    )
    op.create_index(op.f("ix_written_files_sha256"), "written_files", ["sha256"])


def downgrade() -> None:
    op.drop_table("written_files")
