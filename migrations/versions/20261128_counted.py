"""What pages count is kept where it is quickly read: the table's rows in an index that holds nothing else, which serves
as that of their contest, too; how many events of an attempt were thinned out, beside it; and Postgres learns how many
rows have one value in a field of the config, for the search by fields."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_counted"
down_revision = "20261128_family"


def upgrade() -> None:
    op.create_index("ix_experiments_counted", "experiments", ["contest_id", "archived_at"])
    op.drop_index("ix_experiments_contest_id", "experiments")
    with op.batch_alter_table("attempts") as table:
        table.add_column(sa.Column("thinned_events", sa.Integer(), nullable=False, server_default="0"))
    with op.batch_alter_table("attempts") as table:
        table.alter_column("thinned_events", server_default=None)
    op.execute(
        "UPDATE attempts SET thinned_events = stored_events"
        " - (SELECT count(*) FROM run_events WHERE run_events.attempt_id = attempts.id)"
    )
    if op.get_bind().dialect.name == "postgresql":
        # a value belongs to one field alone: taken for independent, they let it expect one row in a hundred
        op.execute("CREATE STATISTICS experiment_fields_values (mcv) ON name, text FROM experiment_fields")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP STATISTICS experiment_fields_values")
    with op.batch_alter_table("attempts") as table:
        table.drop_column("thinned_events")
    op.create_index("ix_experiments_contest_id", "experiments", ["contest_id"])
    op.drop_index("ix_experiments_counted", "experiments")
