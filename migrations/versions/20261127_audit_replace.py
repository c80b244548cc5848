"""SQLite: a row of the audit log is not replaced, either. INSERT OR REPLACE fires no trigger of DELETE there."""

from alembic import op

revision = "20261127_audit_replace"
down_revision = "20261127_openid"


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER audit_entries_no_replace BEFORE INSERT ON audit_entries "
            "WHEN EXISTS (SELECT 1 FROM audit_entries WHERE id = NEW.id) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_entries_no_replace")
