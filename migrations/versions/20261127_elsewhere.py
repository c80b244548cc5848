"""A run may stand for a training that was done elsewhere, whose predictions somebody brought."""

from alembic import op

revision = "20261127_elsewhere"
down_revision = "20261127_webhook_secrets"


def upgrade() -> None:
    _allow("kind IN ('pretrain', 'finetune', 'blend', 'elsewhere')")


def downgrade() -> None:
    op.execute("UPDATE runs SET kind = 'blend' WHERE kind = 'elsewhere'")
    _allow("kind IN ('pretrain', 'finetune', 'blend')")


def _allow(kinds: str) -> None:
    with op.batch_alter_table("runs") as table:
        table.drop_constraint(op.f("ck_runs_kind_known"), type_="check")
        table.create_check_constraint(op.f("ck_runs_kind_known"), kinds)
