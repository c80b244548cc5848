"""A migration happens whole or not at all, alone, and after a copy: on both databases, with real ones that fail."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from app import schema
from app.cli import cli
from app.db import Database
from app.errors import AppError
from app.runs import queries
from tests.conftest import DATABASES, drop_postgres, new_postgres
from tests.factories import make_contest, make_experiment, make_file, storage_in

HEAD = schema.head()
#: changes a table whose rows have children, makes one, changes rows; then TAIL
BROKEN = """
import os, signal, time
import sqlalchemy as sa
from alembic import op

revision = "20991231_next"
down_revision = {head!r}


def upgrade() -> None:
    with open({told!r}, "a") as file:
        file.write("x")
    op.create_table("extras", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("INSERT INTO extras (id) VALUES (1)")
    with op.batch_alter_table("contest_files") as table:
        table.drop_column("rows")
        table.add_column(sa.Column("lines", sa.BigInteger(), nullable=True))
    op.execute("UPDATE runs SET reason = 'half'")
    {tail}


def downgrade() -> None:
    raise NotImplementedError
"""
Next = Callable[[str], Path]


@pytest.fixture
def next_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Next:
    """Has this code one migration more, that ends with the given line; tells the folder that holds them."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema.folder("migrations"), folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(schema, "folder", lambda name: folder)

    def write(tail: str) -> Path:
        text = BROKEN.format(head=HEAD, told=str(tmp_path / "told"), tail=tail)
        (folder / "versions" / "20991231_next.py").write_text(text)
        schema._head_in.cache_clear()
        return folder

    return write


@pytest.fixture
def filled(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """A database at today's revision with an experiment, its runs and its file."""
    database = Database(database_url)
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        contest = make_contest(session)
        make_file(session, storage_in(tmp_path), contest)
        make_experiment(session, contest)
    yield database
    database.dispose()


def everything(database: Database) -> dict[str, Any]:
    """Tables, columns, keys, checks, indexes and rows, as the database itself tells them."""
    engine, found = database.read_engine, {}
    for name in inspect(engine).get_table_names():
        told = inspect(engine)
        parts = [told.get_columns(name), told.get_pk_constraint(name), told.get_foreign_keys(name)]
        parts += [told.get_unique_constraints(name), told.get_check_constraints(name), told.get_indexes(name)]
        with engine.connect() as connection:
            rows = sorted(repr(tuple(row)) for row in connection.exec_driver_sql(f"SELECT * FROM {name}"))
        # a partial index's condition is an object that tells its address
        found[name] = ([re.sub(r" object at 0x\w+", "", str(part)) for part in parts], rows)
    return found


def copies(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.db.at-*"))


def test_one_that_fails_in_the_middle_changes_nothing_and_the_next_goes_through(
    filled: Database, next_migration: Next, tmp_path: Path
) -> None:
    before = everything(filled)
    next_migration("raise ZeroDivisionError('in the middle')")
    with pytest.raises(AppError, match=rf"stays at migration {HEAD}, with nothing changed: ZeroDiv.*in the middle"):
        schema.upgrade(filled.write_engine)
    assert (tmp_path / "told").read_text() == "x", "it did begin"
    assert everything(filled) == before
    with filled.writing() as session:
        assert queries.run(session, 1).reason == ""  # and it is used as before

    next_migration("pass")
    schema.upgrade(filled.write_engine)
    after = everything(filled)
    assert schema.current(filled.read_engine) == "20991231_next"
    assert after["extras"][1] == ["(1,)"]
    assert all("half" in row for row in after["runs"][1])
    assert len(after["experiment_runs"][1]) == len(before["experiment_runs"][1]) == 2


@pytest.mark.parametrize("kind", DATABASES)
def test_one_that_is_killed_in_the_middle_changes_nothing(kind: str, tmp_path: Path, next_migration: Next) -> None:
    url = new_postgres() if kind == "postgres" else f"sqlite:///{tmp_path / 'test.db'}"
    database = Database(url)
    schema.upgrade(database.write_engine, HEAD or "")
    before = everything(database)
    database.dispose()  # or Postgres could not take the tables for the other process
    folder = next_migration("os.kill(os.getpid(), signal.SIGKILL)")
    assert migrate_elsewhere(folder, url).wait(60) == -signal.SIGKILL
    assert everything(database) == before
    next_migration("pass")
    schema.upgrade(database.write_engine)
    assert schema.current(database.read_engine) == "20991231_next"
    database.dispose()
    if kind == "postgres":
        drop_postgres(url)


def migrate_elsewhere(folder: Path, url: str) -> "subprocess.Popen[bytes]":
    """Another process, with the migrations of `folder`."""
    code = (
        "import sys, pathlib; from app import schema; from app.db import Database;"
        "schema.folder = lambda name: pathlib.Path(sys.argv[1]);"
        "schema.upgrade(Database(sys.argv[2]).write_engine)"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(folder), url], env={**os.environ})


def test_of_several_processes_one_migrates(database_url: str, tmp_path: Path, next_migration: Next) -> None:
    """From nothing to the newest tables, begun by three at once."""
    folder = next_migration("time.sleep(0.5)")
    ends = [process.wait(60) for process in [migrate_elsewhere(folder, database_url) for _ in range(3)]]
    assert ends == [0, 0, 0]
    assert (tmp_path / "told").read_text() == "x"
    database = Database(database_url)
    assert schema.current(database.read_engine) == "20991231_next"
    database.dispose()


def test_a_sqlite_database_is_copied_before(filled: Database, next_migration: Next, tmp_path: Path) -> None:
    before = everything(filled)
    assert schema.upgrade(filled.write_engine) is None, "nothing is to be done"
    next_migration("pass")
    copy = schema.upgrade(filled.write_engine)
    if filled.url.startswith("postgres"):
        assert copy is None
    else:
        assert copies(tmp_path) == [f"test.db.at-{HEAD}"]
        kept = Database(f"sqlite:///{copy}")
        assert everything(kept) == before
        kept.dispose()


def test_no_room_for_the_copy_is_told_and_an_earlier_copy_stays(
    tmp_path: Path, next_migration: Next, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    schema.upgrade(database.write_engine, HEAD or "")
    (tmp_path / f"test.db.at-{HEAD}").write_text("an earlier one")
    next_migration("raise ValueError")
    with pytest.raises(AppError, match=rf"a copy is in .*test\.db\.at-{HEAD}\.2\)"):
        schema.upgrade(database.write_engine)
    assert (tmp_path / f"test.db.at-{HEAD}").read_text() == "an earlier one"
    (tmp_path / f"test.db.at-{HEAD}.3.making").mkdir()  # stands in for a disk that takes nothing
    (tmp_path / "told").unlink()
    with pytest.raises(AppError, match="nothing was migrated: make room"):
        schema.upgrade(database.write_engine)
    assert not (tmp_path / "told").exists()
    database.dispose()


def test_the_command_says_where_the_copy_is(
    tmp_path: Path, next_migration: Next, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAIRBOARD_DATA_DIR", str(tmp_path))
    assert "copy" not in CliRunner().invoke(cli, ["migrate"]).output
    next_migration("pass")
    told = CliRunner().invoke(cli, ["migrate"]).output
    assert f"a copy of the database as it was is in {tmp_path / f'pairboard.db.at-{HEAD}'}" in told


def test_a_long_write_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.db.BUSY_TIMEOUT_MS", 200)
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    schema.upgrade(database.write_engine)
    with Session(database.write_engine) as writer:
        writer.connection()
        with pytest.raises(AppError, match=r"could not be had alone .*database is locked"):
            schema.upgrade(database.write_engine)
    database.dispose()
