"""Submissions, with the day whose quota each uses; to which of them a score belongs, and what it corrects.

Scores that stand there stay as they are, without a submission. Downgrading takes submissions away and leaves every
score; one that was corrected then counts as one more.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261127_submissions"
down_revision = "20261127_audit"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("contests") as table:
        table.add_column(sa.Column("time_zone", sa.String(length=60), nullable=False, server_default="UTC"))
        table.add_column(sa.Column("submissions_a_day", sa.Integer(), nullable=True))
    with op.batch_alter_table("contests") as table:
        table.alter_column("time_zone", server_default=None)
    op.create_table(
        "submissions",
        sa.Column("id", KEY, nullable=False),
        sa.Column("contest_id", KEY, nullable=False),
        sa.Column("experiment_id", KEY, nullable=True),
        sa.Column("removed_id", KEY, nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("predictions_sha256", sa.String(length=64), nullable=False),
        sa.Column("board", sa.String(length=20), nullable=False),
        sa.Column("contest_day", sa.Date(), nullable=False),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_by", sa.String(length=200), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.String(length=200), nullable=False),
        sa.Column("withdrawn_why", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["contest_id"], ["contests.id"], name=op.f("fk_submissions_contest_id_contests")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name=op.f("fk_submissions_experiment_id_experiments")
        ),
        sa.ForeignKeyConstraint(
            ["removed_id"], ["removed_experiments.id"], name=op.f("fk_submissions_removed_id_removed_experiments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submissions")),
    )
    op.create_index("ix_submissions_day", "submissions", ["contest_id", "contest_day"])
    for name in ("experiment_id", "sha256", "predictions_sha256"):
        op.create_index(op.f(f"ix_submissions_{name}"), "submissions", [name])
    with op.batch_alter_table("scores") as table:
        table.add_column(sa.Column("submission_id", KEY, nullable=True))
        table.add_column(sa.Column("board", sa.String(length=20), nullable=False, server_default=""))
        table.add_column(sa.Column("told_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("corrects_id", KEY, nullable=True))
        table.add_column(sa.Column("counts", sa.Boolean(), nullable=False, server_default=sa.true()))
        table.create_foreign_key(op.f("fk_scores_submission_id_submissions"), "submissions", ["submission_id"], ["id"])
        table.create_foreign_key(op.f("fk_scores_corrects_id_scores"), "scores", ["corrects_id"], ["id"])
        table.create_unique_constraint(op.f("uq_scores_corrects_id"), ["corrects_id"])
    with op.batch_alter_table("scores") as table:
        table.alter_column("board", server_default=None)
        table.alter_column("counts", server_default=None)
    op.create_index(op.f("ix_scores_submission_id"), "scores", ["submission_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_scores_submission_id"), table_name="scores")
    with op.batch_alter_table("scores") as table:
        table.drop_constraint(op.f("uq_scores_corrects_id"), type_="unique")
        table.drop_constraint(op.f("fk_scores_corrects_id_scores"), type_="foreignkey")
        table.drop_constraint(op.f("fk_scores_submission_id_submissions"), type_="foreignkey")
        for name in ("counts", "corrects_id", "told_at", "board", "submission_id"):
            table.drop_column(name)
    op.drop_table("submissions")
    with op.batch_alter_table("contests") as table:
        table.drop_column("submissions_a_day")
        table.drop_column("time_zone")
