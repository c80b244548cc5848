"""Postgres's own programs pg_dump and pg_restore: one state of the database into a file, and back.

Called by backup.py and restore.py; the counterpart of sqlite.py. The password goes by PGPASSWORD, since everyone on the
machine sees a command line.
"""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session

from app.errors import AppError
from app.keeping.queries import Contents, contents

INSTALL = (
    "install PostgreSQL's client programs, of the server's version or newer (Debian: apt-get install postgresql-client)"
)


def require_programs() -> None:
    """Raise AppError unless both are there: who can back up but not restore finds out too late."""
    for name in ("pg_dump", "pg_restore"):
        if shutil.which(name) is None:
            raise AppError(f"there is no {name} on the PATH: {INSTALL}")


def dump(url: str, target: Path) -> Contents:
    """Write the database to `target` in pg_dump's custom format; what is read beside is of the very same state."""
    require_programs()
    engine = create_engine(url)
    try:
        with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
            found = contents(Session(connection))
            _run("pg_dump", make_url(url), f"--snapshot={snapshot}", "--format=custom", f"--file={target}")
        return found
    finally:
        engine.dispose()


def load(url: str, dumped: Path, set_aside: str) -> str:
    """Bring a dump in, all of it or nothing. Tables that are there are kept under another schema's name, which is
    returned; empty when there were none."""
    require_programs()
    engine = create_engine(url)
    try:
        moved = has_tables(engine)
        if moved:
            _schema(engine, 'ALTER SCHEMA public RENAME TO "{name}"', "CREATE SCHEMA public", name=set_aside)
        try:
            _run("pg_restore", make_url(url), "--single-transaction", "--exit-on-error", str(dumped))
        except BaseException:
            if moved:
                _schema(engine, "DROP SCHEMA public CASCADE", 'ALTER SCHEMA "{name}" RENAME TO public', name=set_aside)
            raise
        return set_aside if moved else ""
    finally:
        engine.dispose()


def has_tables(engine: Engine) -> bool:
    """Whether anything is there to lose."""
    return bool(inspect(engine).get_table_names())


def others(engine: Engine) -> int:
    """How many other clients are connected to the database."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    with engine.connect() as connection:
        return connection.scalar(text(query)) or 0


def _schema(engine: Engine, *statements: str, name: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement.format(name=name)))


def _run(program: str, url: URL, *args: str) -> None:
    query = {key: value for key, value in url.query.items() if key != "password"}
    address = URL.create("postgresql", url.username, None, url.host, url.port, url.database, query)
    env = {**os.environ, "LC_ALL": "C"}
    if password := url.password or url.query.get("password"):
        env["PGPASSWORD"] = str(password)
    command = [program, f"--dbname={address.render_as_string()}", "--no-password", "--no-owner", "--no-privileges"]
    done = subprocess.run([*command, *args], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        told = "; ".join(line for line in done.stderr.strip().splitlines()[:6]) or f"it ended with {done.returncode}"
        hint = f": {INSTALL}" if "version" in told else ""
        raise AppError(f"{told if told.startswith(program) else f'{program}: {told}'}{hint}")
