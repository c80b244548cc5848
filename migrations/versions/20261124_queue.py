"""Where a run stands in its queue and what it may take; paused queues; what workers tell about themselves."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261124_queue"
down_revision = "20261123_run_needs"


def columns() -> dict[str, tuple[sa.Column[Any], ...]]:
    """Fresh ones: a column belongs to one table."""
    return {
        "runs": (
            sa.Column("queue", sa.String(length=60), nullable=False, server_default="pairboard"),
            sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("place", sa.BigInteger(), nullable=False, server_default="0"),
            sa.Column("max_attempts", sa.Integer(), nullable=False, server_default="5"),
            sa.Column("max_seconds", sa.Double(), nullable=True),
            sa.Column("gpu_memory_gb", sa.Double(), nullable=True),
            sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
            sa.Column("tries_from", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("stop_reason", sa.Text(), nullable=False, server_default=""),
            sa.Column("likeness", sa.String(length=16), nullable=False, server_default=""),
            sa.Column("passes", sa.Double(), nullable=False, server_default="0"),
        ),
        "workers": (
            sa.Column("queues", sa.JSON(), nullable=False, server_default='["pairboard"]'),
            sa.Column("machine", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("draining", sa.Boolean(), nullable=False, server_default=sa.false()),
            sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        ),
    }


def upgrade() -> None:
    for name, added in columns().items():
        with op.batch_alter_table(name) as table:
            for column in added:
                table.add_column(column)
    op.execute("UPDATE runs SET place = id")
    for name, added in columns().items():
        with op.batch_alter_table(name) as table:
            for column in added:
                if column.server_default is not None:
                    table.alter_column(column.name, server_default=None)
    op.create_index("ix_runs_likeness", "runs", ["likeness"])
    op.create_table(
        "paused_queues",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("paused_by", sa.String(length=200), nullable=False),
        sa.Column("paused_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_paused_queues")),
    )


def downgrade() -> None:
    op.drop_table("paused_queues")
    op.drop_index("ix_runs_likeness", "runs")
    for name, added in columns().items():
        with op.batch_alter_table(name) as table:
            for column in added:
                table.drop_column(column.name)
