"""Points of curves in columns, so that a window of a million is read at once."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_curves"
down_revision = "20261126_tags_archive"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("attempts") as table:
        table.add_column(sa.Column("drawn_events", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("attempts") as table:
        table.alter_column("drawn_events", server_default=None)
    op.create_table(
        "curve_pieces",
        sa.Column("attempt_id", KEY, nullable=False),
        sa.Column("series", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("points", sa.Integer(), nullable=False),
        sa.Column("first_step", sa.Double(), nullable=False),
        sa.Column("last_step", sa.Double(), nullable=False),
        sa.Column("coarse", sa.LargeBinary(), nullable=False),
        sa.Column("fine", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_curve_pieces_attempt_id_attempts")),
        sa.PrimaryKeyConstraint("attempt_id", "series", "number", name=op.f("pk_curve_pieces")),
    )


def downgrade() -> None:
    op.drop_table("curve_pieces")
    with op.batch_alter_table("attempts") as table:
        table.drop_column("drawn_events")
