"""Unlabelled files, folds, blends, what a run needs, marks of a row, intervals and members of a score."""

import sqlalchemy as sa
from alembic import op

revision = "20261123_run_needs"
down_revision = "20261123_first_tables"

#: SQLite counts up only INTEGER keys by itself
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FILE_KINDS = "kind IN ('train', 'test', 'unlabelled')"
RUN_KINDS = "kind IN ('pretrain', 'finetune', 'blend')"


def upgrade() -> None:
    with op.batch_alter_table("contest_files") as table:
        table.drop_constraint(op.f("ck_contest_files_kind_known"), type_="check")
        table.create_check_constraint(op.f("ck_contest_files_kind_known"), FILE_KINDS)
    with op.batch_alter_table("experiments") as table:
        table.add_column(sa.Column("marks", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("unlabelled_file_id", KEY, nullable=True))
        table.create_foreign_key(
            op.f("fk_experiments_unlabelled_file_id_contest_files"), "contest_files", ["unlabelled_file_id"], ["id"]
        )
    with op.batch_alter_table("experiments") as table:
        table.alter_column("marks", server_default=None)
    with op.batch_alter_table("scores") as table:
        table.add_column(sa.Column("low", sa.Double(), nullable=True))
        table.add_column(sa.Column("high", sa.Double(), nullable=True))
        table.add_column(sa.Column("members", sa.JSON(), nullable=True))
    op.create_table(
        "run_needs",
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("needs_run_id", KEY, nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(length=60), nullable=False),
        sa.CheckConstraint("role IN ('pretrained', 'member', 'teacher')", name=op.f("ck_run_needs_role_known")),
        sa.ForeignKeyConstraint(["needs_run_id"], ["runs.id"], name=op.f("fk_run_needs_needs_run_id_runs")),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_needs_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "needs_run_id", "role", name=op.f("pk_run_needs")),
    )
    op.create_index("ix_run_needs_needs_run_id", "run_needs", ["needs_run_id"])
    op.execute(
        "INSERT INTO run_needs (run_id, needs_run_id, role, position, label) "
        "SELECT id, pretrain_run_id, 'pretrained', 0, '' FROM runs WHERE pretrain_run_id IS NOT NULL"
    )
    op.drop_index("ix_runs_pretrain_run_id", "runs")
    with op.batch_alter_table("runs") as table:
        table.drop_constraint(op.f("fk_runs_pretrain_run_id_runs"), type_="foreignkey")
        table.drop_column("pretrain_run_id")
        table.drop_constraint(op.f("ck_runs_kind_known"), type_="check")
        table.create_check_constraint(op.f("ck_runs_kind_known"), RUN_KINDS)
        table.add_column(sa.Column("fold", sa.Integer(), nullable=True))
        table.add_column(sa.Column("repeat", sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("unlabelled_file_id", KEY, nullable=True))
        table.create_foreign_key(
            op.f("fk_runs_unlabelled_file_id_contest_files"), "contest_files", ["unlabelled_file_id"], ["id"]
        )
    with op.batch_alter_table("runs") as table:
        table.alter_column("repeat", server_default=None)


def downgrade() -> None:
    """Blends, their experiments' other runs and unlabelled files have no place in the older tables: refused if any."""
    lost = {
        "runs": "kind = 'blend' OR fold IS NOT NULL",
        "contest_files": "kind = 'unlabelled'",
    }
    for table_name, which in lost.items():
        count = op.get_bind().scalar(sa.text(f"SELECT count(*) FROM {table_name} WHERE {which}"))  # noqa: S608
        if count:
            raise RuntimeError(
                f"{count} rows of {table_name} ({which}) cannot be held by the older tables: delete them first"
            )
    with op.batch_alter_table("runs") as table:
        table.add_column(sa.Column("pretrain_run_id", KEY, nullable=True))
        table.create_foreign_key(op.f("fk_runs_pretrain_run_id_runs"), "runs", ["pretrain_run_id"], ["id"])
        table.drop_constraint(op.f("fk_runs_unlabelled_file_id_contest_files"), type_="foreignkey")
        table.drop_column("unlabelled_file_id")
        table.drop_column("repeat")
        table.drop_column("fold")
        table.drop_constraint(op.f("ck_runs_kind_known"), type_="check")
        table.create_check_constraint(op.f("ck_runs_kind_known"), "kind IN ('pretrain', 'finetune')")
    op.execute(
        "UPDATE runs SET pretrain_run_id = (SELECT needs_run_id FROM run_needs "
        "WHERE run_needs.run_id = runs.id AND role = 'pretrained')"
    )
    op.create_index("ix_runs_pretrain_run_id", "runs", ["pretrain_run_id"])
    op.drop_index("ix_run_needs_needs_run_id", "run_needs")
    op.drop_table("run_needs")
    with op.batch_alter_table("scores") as table:
        for column in ("members", "high", "low"):
            table.drop_column(column)
    with op.batch_alter_table("experiments") as table:
        table.drop_constraint(op.f("fk_experiments_unlabelled_file_id_contest_files"), type_="foreignkey")
        table.drop_column("unlabelled_file_id")
        table.drop_column("marks")
    with op.batch_alter_table("contest_files") as table:
        table.drop_constraint(op.f("ck_contest_files_kind_known"), type_="check")
        table.create_check_constraint(op.f("ck_contest_files_kind_known"), "kind IN ('train', 'test')")
