"""Views of the table that are saved by name, and which of them is a contest's default."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_views"
down_revision = "20261126_run_log"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "saved_views",
        sa.Column("id", KEY, nullable=False),
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("view", sa.JSON(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_saved_views_contest_id_contests")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_views")),
        sa.UniqueConstraint("contest_id", "name", name=op.f("uq_saved_views_contest_id_name")),
    )
    op.create_index(
        "ix_saved_views_default",
        "saved_views",
        ["contest_id"],
        unique=True,
        sqlite_where=sa.text("is_default"),
        postgresql_where=sa.text("is_default"),
    )


def downgrade() -> None:
    op.drop_index("ix_saved_views_default", table_name="saved_views")
    op.drop_table("saved_views")
