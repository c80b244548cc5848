"""Who a member is at the OpenID provider.

Downgrading forgets it: those who have no password sign in again when an owner gives them one.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261127_openid"
down_revision = "20261127_audit_log"


def upgrade() -> None:
    with op.batch_alter_table("members") as table:
        table.add_column(sa.Column("subject", sa.String(length=400), nullable=True))
        table.create_unique_constraint(op.f("uq_members_subject"), ["subject"])


def downgrade() -> None:
    with op.batch_alter_table("members") as table:
        table.drop_constraint(op.f("uq_members_subject"), type_="unique")
        table.drop_column("subject")
