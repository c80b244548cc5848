"""What the leak audit found of an experiment's split."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_audit"
down_revision = "20261127_shown_scores"


def upgrade() -> None:
    with op.batch_alter_table("experiments") as table:
        table.add_column(sa.Column("audit", sa.String(length=20), nullable=False, server_default=""))
    with op.batch_alter_table("experiments") as table:
        table.alter_column("audit", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("experiments") as table:
        table.drop_column("audit")
