"""`pairboard doctor` on a healthy house and on each kind of broken one."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app import doctor
from app.cli import cli
from app.runs import queries
from app.settings import Settings
from tests.conftest import DATABASES
from tests.factories import contest_over_http, experiment_over_http


def states(settings: Settings) -> dict[str, tuple[str, str]]:
    return {item.name: (item.state, item.text) for item in doctor.examine(settings)}


def test_a_house_at_work(
    app: FastAPI,
    client: TestClient,
    settings: Settings,
    worker_headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contest_over_http(client)
    beat = {"worker": "w1", "boot_id": "boot-one"}
    assert client.post("/api/v1/workers/heartbeat", json=beat, headers=worker_headers).is_success
    experiment_over_http(client)
    found = states(settings)
    assert found["web server"][0] == "warning"  # the test's own is not on a port
    assert {name: state for name, (state, _) in found.items() if state != "ok"} == {"web server": "warning"}
    assert found["queue pairboard"][1] == "2 wait; the first: next: a worker is about to take it"
    assert found["files"] == ("ok", "2 recorded, all there")

    shutil.rmtree(settings.data_dir / "storage")
    with app.state.database.writing() as session:
        queries.workers(session)[0].last_seen_at -= timedelta(hours=1)
    found = states(settings)
    assert found["files"][0] == "bad"
    assert found["files"][1].startswith("2 of 2 recorded files are gone")
    assert found["worker"][1].startswith("w1 was last heard of at")
    assert found["queue pairboard"][0] == "bad"
    assert "no worker is connected" in found["queue pairboard"][1]


def test_a_secret_that_can_be_guessed(tmp_path: Path) -> None:
    for secret, host, state in (
        ("", "127.0.0.1", "ok"),
        ("", "0.0.0.0", "bad"),
        ("abc" * 20, "0.0.0.0", "bad"),
        ("0f8a3c7e5b1d9264" * 3, "0.0.0.0", "ok"),
    ):
        found = states(Settings(data_dir=tmp_path, secret=secret, host=host, port=1))["secret"]
        assert found[0] == state
        assert not secret or secret not in found[1]


@pytest.mark.parametrize("database", DATABASES)
def test_a_database_that_is_not_ready(tmp_path: object, database: str) -> None:
    url = "" if database == "sqlite" else "postgresql://nobody@127.0.0.1:1/none"
    settings = Settings(data_dir=tmp_path, database_url=url, broker_url="redis://127.0.0.1:1/0", port=1)  # type: ignore[arg-type]
    found = states(settings)
    assert found["broker"] == ("bad", "redis does not answer, and queued runs wait: see PAIRBOARD_BROKER_URL")
    state, text = found["database"]
    assert state == "bad"
    assert ("run `pairboard migrate`" if database == "sqlite" else "see PAIRBOARD_DATABASE_URL") in text
    assert "clock" not in found


def test_the_command_says_it_and_fails(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRBOARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PAIRBOARD_PORT", "1")
    told = CliRunner().invoke(cli, ["doctor"])
    assert told.exit_code == 1
    assert "bad      database" in told.output
    assert "ok       data folder" in told.output
