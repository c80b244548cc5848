"""Alembic's entry: runs the migrations on the engine that app/schema.py hands over."""

from alembic import context

from app.db import Base

with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
