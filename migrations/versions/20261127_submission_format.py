"""The form in which a contest wants its prediction files."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_submission_format"
down_revision = "20261126_data_facts"


def upgrade() -> None:
    with op.batch_alter_table("contests") as table:
        table.add_column(sa.Column("submission_format", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("contests") as table:
        table.drop_column("submission_format")
