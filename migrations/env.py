"""Alembic's entry: runs the migrations on the connection, already alone in a transaction, that app/schema.py hands
over."""

from alembic import context

from app.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
