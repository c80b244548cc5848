"""The table's rows are counted from an index that holds nothing else, which serves as that of their contest, too; and
Postgres learns how many rows have one value in a field of the config, for the search by fields."""

from alembic import op

revision = "20261128_counted"
down_revision = "20261128_family"


def upgrade() -> None:
    op.create_index("ix_experiments_counted", "experiments", ["contest_id", "archived_at"])
    op.drop_index("ix_experiments_contest_id", "experiments")
    if op.get_bind().dialect.name == "postgresql":
        # a value belongs to one field alone: taken for independent, they let it expect one row in a hundred
        op.execute("CREATE STATISTICS experiment_fields_values (mcv) ON name, text FROM experiment_fields")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP STATISTICS experiment_fields_values")
    op.create_index("ix_experiments_contest_id", "experiments", ["contest_id"])
    op.drop_index("ix_experiments_counted", "experiments")
