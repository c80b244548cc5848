"""SQLite's file: one state of it into another file, by its online backup, and back.

Called by backup.py and restore.py; the counterpart of postgres.py.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from app import migrating
from app.errors import AppError
from app.keeping.queries import Contents, contents

BESIDE = ("", "-wal", "-shm")


def path_of(url: str) -> Path:
    """Where the database lies. Raises AppError for one in memory."""
    name = make_url(url).database
    if not name or name == ":memory:":
        raise AppError("a SQLite database in memory can't be kept: give PAIRBOARD_DATABASE_URL a file")
    return Path(name)


def dump(url: str, target: Path) -> Contents:
    """Copy the database as it stands to `target`, while it is in use, and say what the copy holds."""
    try:
        migrating.copy_file(path_of(url), target)
        with closing(_reading(target)) as copy:
            wrong = copy.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise AppError(f"the SQLite database could not be copied to {target.parent}: {error}") from error
    if wrong != "ok":
        raise AppError(f"the SQLite database is damaged ({wrong}): restore an earlier backup")
    # not by Database: that would have the copy write a WAL
    engine = create_engine("sqlite://", creator=lambda: _reading(target))
    try:
        with Session(engine) as session:
            return contents(session)
    finally:
        engine.dispose()


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def has_tables(path: Path) -> bool:
    """Whether anything is there to lose; a damaged file counts."""
    if not path.is_file():
        return False
    try:
        with closing(_reading(path)) as database:
            return bool(database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    except sqlite3.DatabaseError:
        return True


def require_unused(path: Path) -> None:
    """Raise AppError when a process has the database open. Brings the WAL into the file."""
    if not path.is_file():
        return
    try:
        with closing(sqlite3.connect(path, timeout=1)) as database:
            database.execute("PRAGMA journal_mode=DELETE")  # SQLite does it only for the last one that has it open
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise AppError(f"{path} is in use: stop pairboard first") from error
    except sqlite3.DatabaseError:  # damaged: nobody can use it
        return


def put(beside: Path, path: Path, set_aside: str) -> str:
    """Have the file `beside` take the place of `path`. What was there is kept under another name, which is returned."""
    with closing(sqlite3.connect(beside)) as database:
        database.execute("PRAGMA journal_mode=DELETE")  # one file to rename
    migrating.sync(beside)
    kept = ""
    for suffix in BESIDE:
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(path.with_name(f"{path.name}.{set_aside}{suffix}"))
            kept = str(path.with_name(f"{path.name}.{set_aside}"))
    beside.rename(path)
    migrating.sync(path.parent)
    return kept
