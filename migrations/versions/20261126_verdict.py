"""What came of an experiment in one line, and who posted a score."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_verdict"
down_revision = "20261126_quick_table"


def upgrade() -> None:
    for name, column in (("experiments", "verdict"), ("scores", "made_by")):
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column(column, sa.String(length=200), nullable=False, server_default=""))
        with op.batch_alter_table(name) as table:
            table.alter_column(column, server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("scores") as table:
        table.drop_column("made_by")
    with op.batch_alter_table("experiments") as table:
        table.drop_column("verdict")
