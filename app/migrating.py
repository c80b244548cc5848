"""What stands around a migration: it is alone, it happens whole or not at all, and SQLite's file is copied before it.

Called by schema.upgrade and schema.downgrade. One transaction holds all the steps: Postgres and SQLite both undo
changes of tables like any other (alembic itself leaves SQLite without one, python's sqlite3 too; see app/db.py).
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from app.errors import AppError, NoRoom

#: of Postgres's advisory locks, which are numbers; any will do as long as it stays the same
LOCK = 0x7061_6972_626F_6172


@contextmanager
def alone(engine: Engine) -> Iterator[Connection]:
    """A connection in one transaction; a second process waits here until the first one's is over. Committed when the
    block ends, undone when it raises, or when the process is killed."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            with _alone_on_sqlite(connection):
                yield connection
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            yield connection
            connection.commit()


@contextmanager
def _alone_on_sqlite(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making a new one under the old name: while the old one is dropped, its rows' children
    have no parent. The pragma counts only outside of a transaction; the check before the commit makes up for it."""
    try:
        connection.exec_driver_sql("ROLLBACK")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        raise AppError(
            f"the database could not be had alone ({error.orig}); nothing was changed: another migration is under way, "
            "or a long write; try again when it is over"
        ) from error
    try:
        yield
        if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
            raise RuntimeError(f"the migration left {len(broken)} rows without the row they refer to: {broken[:3]}")
        connection.exec_driver_sql("COMMIT")
    except BaseException:
        if _in_transaction(connection):  # a full disk has SQLite undo it by itself
            connection.exec_driver_sql("ROLLBACK")
        raise
    finally:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        connection.exec_driver_sql("BEGIN")


def _in_transaction(connection: Connection) -> bool:
    driver = connection.connection.driver_connection
    return isinstance(driver, sqlite3.Connection) and driver.in_transaction


def copy_of_sqlite(connection: Connection, revision: str) -> Path | None:
    """Copy the file as it stands at this revision beside itself, and return where to. None for other databases.

    Called inside `alone`: nobody writes meanwhile, and readers are not held up. Raises NoRoom.
    """
    name = connection.engine.url.database
    if connection.dialect.name != "sqlite" or not name or name == ":memory:":
        return None
    source, number = Path(name), 1
    target = source.with_name(f"{source.name}.at-{revision}")
    while target.exists():  # an earlier copy may be the better one
        number += 1
        target = source.with_name(f"{source.name}.at-{revision}.{number}")
    try:
        copy_file(source, target)
    except (OSError, sqlite3.Error) as error:
        raise NoRoom(
            f"{target} could not be written ({error}); nothing was migrated: make room for a copy of the database"
        ) from error
    return target


def copy_file(source: Path, target: Path) -> None:
    """Copy a SQLite database that may be in use, by SQLite's online backup: one state of it, whole or not at all."""
    beside = target.with_name(f"{target.name}.making")
    try:
        address = f"{source.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=30)) as old, closing(sqlite3.connect(beside)) as new:
            old.backup(new)  # in one step: writers go on in the WAL, and it never begins anew
            new.execute("PRAGMA journal_mode=DELETE")  # one file, nothing beside it
        sync(beside)
        beside.replace(target)
        sync(target.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
