"""The scores that the table shows stand in the experiment's row, too: it is ordered, searched and summed up by them
without looking at ten thousand scores."""

import sqlalchemy as sa
from alembic import op

revision = "20261127_shown_scores"
down_revision = "20261127_sealed"

COLUMNS = {"shown_train": "value", "shown_valid": "value", "shown_online": "value", "shown_deviation": "deviation"}

#: read with them, so that no long row is looked at
COVERED = ("name", "made_by", "created_at", "origin")


def upgrade() -> None:
    with op.batch_alter_table("experiments") as table:
        for name in COLUMNS:
            table.add_column(sa.Column(name, sa.Double(), nullable=True))
    for name, column in COLUMNS.items():
        split = "valid" if name == "shown_deviation" else name.removeprefix("shown_")
        op.execute(
            f"UPDATE experiments SET {name} = (SELECT scores.{column} FROM scores JOIN contests"  # noqa: S608 - ours
            " ON contests.id = experiments.contest_id WHERE scores.experiment_id = experiments.id"
            f" AND scores.latest AND scores.split = '{split}' AND scores.metric = contests.metric)"
        )
    op.drop_index("ix_experiments_table", table_name="experiments")
    op.create_index("ix_experiments_table", "experiments", ["contest_id", "archived_at", "id", *COVERED, *COLUMNS])


def downgrade() -> None:
    op.drop_index("ix_experiments_table", table_name="experiments")
    op.create_index("ix_experiments_table", "experiments", ["contest_id", "archived_at", "id"])
    with op.batch_alter_table("experiments") as table:
        for name in COLUMNS:
            table.drop_column(name)
