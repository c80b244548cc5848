"""Room for encrypted secrets of webhooks, and encryption of those that lie there in the open.

By PAIRBOARD_SECRET of the environment; without it they stay as they are until the web server starts with one.
Downgrading decrypts them, and needs it.
"""

import os
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

from app.webhooks import vault

revision = "20261127_webhook_secrets"
down_revision = "20261127_audit_replace"


def upgrade() -> None:
    _of_length(300)
    secret = os.environ.get("PAIRBOARD_SECRET", "")
    if secret:
        _each(lambda kept: vault.sealed(kept, secret) if vault.is_plain(kept) else kept)


def downgrade() -> None:
    secret = os.environ.get("PAIRBOARD_SECRET", "")
    _each(lambda kept: vault.opened(kept, secret))
    _of_length(100)


def _of_length(length: int) -> None:
    with op.batch_alter_table("webhooks") as table:
        table.alter_column("secret", type_=sa.String(length=length), existing_nullable=False)


def _each(change: Callable[[str], str]) -> None:
    connection = op.get_bind()
    for number, kept in connection.execute(sa.text("SELECT id, secret FROM webhooks")).all():
        told = {"id": number, "secret": change(kept)}
        connection.execute(sa.text("UPDATE webhooks SET secret = :secret WHERE id = :id"), told)
