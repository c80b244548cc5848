"""Tags of an experiment, who asked for it, and since when it lies in the archive."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_tags_archive"
down_revision = "20261124_queue"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("experiments") as table:
        table.add_column(sa.Column("made_by", sa.String(length=200), nullable=False, server_default=""))
        table.add_column(sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("experiments") as table:
        table.alter_column("made_by", server_default=None)
    op.create_table(
        "experiment_tags",
        sa.Column("experiment_id", KEY, nullable=False),
        sa.Column("tag", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_experiment_tags_experiment_id_experiments")
        ),
        sa.PrimaryKeyConstraint("experiment_id", "tag", name=op.f("pk_experiment_tags")),
    )
    op.create_index(op.f("ix_experiment_tags_tag"), "experiment_tags", ["tag"])


def downgrade() -> None:
    op.drop_index(op.f("ix_experiment_tags_tag"), "experiment_tags")
    op.drop_table("experiment_tags")
    with op.batch_alter_table("experiments") as table:
        table.drop_column("archived_at")
        table.drop_column("made_by")
