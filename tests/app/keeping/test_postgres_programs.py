"""pg_dump and pg_restore: what to install, what they say, and no password on a command line."""

import os
import shutil
import stat
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.errors import AppError
from app.keeping import backup, manifest
from tests.app.keeping.conftest import House


@pytest.fixture
def on_postgres(house: House) -> House:
    if not house.settings.database.startswith("postgres"):
        pytest.skip("SQLite needs no programs")
    return house


def stub(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_without_the_programs_it_says_what_to_install(
    on_postgres: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(AppError, match="there is no pg_dump on the PATH: install PostgreSQL's client programs"):
        on_postgres.back_up()
    assert manifest.backups(on_postgres.backups) == []


def test_what_the_programs_say_is_passed_on(
    on_postgres: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "pg_dump: error: aborting because of server version mismatch\npg_dump: detail: server version: 99"
    stub(tmp_path / "bin", "pg_dump", f"echo '{said}' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with pytest.raises(AppError, match=r"server version mismatch; .*server version: 99.*: install PostgreSQL's client"):
        on_postgres.back_up()
    assert manifest.backups(on_postgres.backups) == []


def test_the_password_is_on_no_command_line(
    on_postgres: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    real = shutil.which("pg_dump")
    stub(tmp_path / "bin", "pg_dump", f'echo "args $@ password $PGPASSWORD" > {seen}; exec {real} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    url = make_url(on_postgres.settings.database).set(password="hush hush").render_as_string(hide_password=False)
    settings = on_postgres.settings.model_copy(update={"database_url": type(on_postgres.settings.database_url)(url)})
    assert not backup.make(settings, on_postgres.storage, on_postgres.backups).manifest.missing
    args, password = seen.read_text().split(" password ")
    assert "hush" not in args
    assert password.strip() == "hush hush"
