"""The deviation of a score's members as a column, which the table can be ordered by."""

import json
import statistics

import sqlalchemy as sa
from alembic import op

revision = "20261126_deviation"
down_revision = "20261126_trash"


def upgrade() -> None:
    op.add_column("scores", sa.Column("deviation", sa.Double(), nullable=True))
    scores = sa.table("scores", sa.column("id"), sa.column("members", sa.Text()), sa.column("deviation"))
    connection = op.get_bind()
    members = sa.cast(scores.c.members, sa.Text)
    for number, text in connection.execute(sa.select(scores.c.id, members).where(scores.c.members.is_not(None))).all():
        values = json.loads(text)
        if values and len(values) > 1:
            change = scores.update().where(scores.c.id == number)
            connection.execute(change.values(deviation=statistics.stdev(values)))


def downgrade() -> None:
    with op.batch_alter_table("scores") as table:
        table.drop_column("deviation")
