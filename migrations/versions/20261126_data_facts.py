"""What was counted in data files, so that nothing is counted twice."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_data_facts"
down_revision = "20261126_deviation"


def upgrade() -> None:
    op.create_table(
        "data_facts",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("what", sa.String(length=20), nullable=False),
        sa.Column("body", sa.JSON(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_data_facts")),
    )


def downgrade() -> None:
    op.drop_table("data_facts")
