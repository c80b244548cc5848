"""The lines of a run's log are found without reading its progress."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_run_log"
down_revision = "20261126_verdict"

LOG = sa.text("type IN ('log', 'printed', 'failed', 'crashed')")


def upgrade() -> None:
    op.create_index("ix_run_events_log", "run_events", ["attempt_id", "number"], sqlite_where=LOG, postgresql_where=LOG)


def downgrade() -> None:
    op.drop_index("ix_run_events_log", table_name="run_events")
