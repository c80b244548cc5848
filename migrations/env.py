"""Alembic's entry: runs the migrations on the engine that app/schema.py hands over."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Connection

from app.db import Base


@contextmanager
def loose_foreign_keys(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making a new one under the old name: while the old one is dropped, its rows' children
    have no parent. The pragma counts only outside of a transaction; the check before the commit makes up for it."""
    if connection.dialect.name != "sqlite":
        yield
        connection.commit()
        return
    connection.exec_driver_sql("ROLLBACK")
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        yield
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
            raise RuntimeError(f"the migration left {len(broken)} rows without the row they refer to: {broken[:3]}")
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    finally:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        connection.exec_driver_sql("BEGIN")


with context.config.attributes["engine"].connect() as connection, loose_foreign_keys(connection):
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    context.run_migrations()
