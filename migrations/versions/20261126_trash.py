"""Rows in the trash, and what is left of those that were removed for good.

Downgrading takes rows out of the trash, and the scores of removed ones with their table.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261126_trash"
down_revision = "20261126_views"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "trash",
        sa.Column("experiment_id", KEY, nullable=False),
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("thrown_by", sa.String(length=200), nullable=False),
        sa.Column("thrown_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_trash_contest_id_contests")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiments.id"], name=op.f("fk_trash_experiment_id_experiments")),
        sa.PrimaryKeyConstraint("experiment_id", name=op.f("pk_trash")),
    )
    op.create_index(op.f("ix_trash_contest_id"), "trash", ["contest_id"])
    op.create_table(
        "removed_experiments",
        sa.Column("id", KEY, autoincrement=False, nullable=False),
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=200), nullable=False),
        sa.Column("config", sa.JSON(), nullable=True),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_by", sa.String(length=200), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["contest_id"], ["contests.id"], name=op.f("fk_removed_experiments_contest_id_contests")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removed_experiments")),
    )
    op.create_index(op.f("ix_removed_experiments_contest_id"), "removed_experiments", ["contest_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_removed_experiments_contest_id"), table_name="removed_experiments")
    op.drop_table("removed_experiments")
    op.drop_index(op.f("ix_trash_contest_id"), table_name="trash")
    op.drop_table("trash")
