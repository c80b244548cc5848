"""`pairboard setup`: tables, a worker's token in a file, and the first member; once or many times."""

from pathlib import Path

import pytest
from sqlalchemy import delete, func, select
from typer.testing import CliRunner

from app.accounts import queries, service
from app.accounts.models import Token
from app.cli import cli
from app.db import Database
from app.errors import AppError
from app.settings import load
from app.worker_token import leave_worker_token
from worker.settings import load as load_worker

PASSWORD = "correct horse battery\n"


@pytest.fixture
def token_file(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the variables want the token; its folder is there, as a mounted volume is."""
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets" / "worker-token"
    for name, value in (("DATABASE_URL", database_url), ("DATA_DIR", tmp_path / "data"), ("WORKER_TOKEN_FILE", file)):
        monkeypatch.setenv(f"PAIRBOARD_{name}", str(value))
    return file


def setup(*args: str, password: str = "") -> str:
    done = CliRunner().invoke(cli, ["setup", *args], input=password)
    assert done.exit_code == 0, done.output
    return done.output


def knows(token: str, member: str = "ada") -> tuple[bool, bool]:
    """Whether the database has the token, alive, and the member."""
    database = Database(load().database)
    with database.reading() as session:
        row = queries.live_token(session, service.digest(token))
        found = (row is not None and row.scopes == "worker", queries.member_by_name(session, member) is not None)
    database.dispose()
    return found


def test_everything_at_once_and_again(token_file: Path) -> None:
    assert f"wrote a worker's token in {token_file}" in setup("--member", "ada", password=PASSWORD)
    token = token_file.read_text()
    assert token_file.stat().st_mode & 0o777 == 0o600
    assert knows(token) == (True, True)
    assert load_worker().token.get_secret_value() == token
    assert "there is a worker's token" in setup()
    assert token_file.read_text() == token


def test_a_token_of_another_database_is_replaced(token_file: Path) -> None:
    token_file.write_text("pb-worker_of-a-database-that-is-gone")
    setup()
    assert knows(token_file.read_text()) == (True, False)


def test_a_folder_that_is_not_there(token_file: Path) -> None:
    """No token is made that nobody could read."""
    setup()
    database = Database(load().database)
    with database.writing() as session:
        session.execute(delete(Token))
    token_file.unlink()
    token_file.parent.rmdir()
    with pytest.raises(AppError, match="see PAIRBOARD_WORKER_TOKEN_FILE"):
        leave_worker_token(load(), database)
    token_file.parent.mkdir()
    assert leave_worker_token(load(), database)
    with database.reading() as session:
        assert session.scalar(select(func.count(Token.id))) == 1
    database.dispose()
