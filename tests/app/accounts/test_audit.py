"""The audit log: every request that may change something is in it, with who, from where and how it ended, and no row
is changed or deleted, by whatever way."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app.accounts import audit
from app.accounts.models import AuditEntry
from app.cli import cli
from app.db import Database, clock
from app.settings import Settings
from tests.app.accounts.conftest import PASSWORD, browser
from tests.factories import contest_over_http, experiment_over_http


def entries(client: TestClient, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/api/v1/audit{query}").raise_for_status().json()["entries"]
    return found


def told(entry: dict[str, Any]) -> tuple[str, str, str, int]:
    return entry["who"], entry["method"], entry["path"], entry["status"]


def test_what_people_and_programs_do(public: FastAPI) -> None:
    ada = browser(public)
    ada.post("/sign-in", data={"name": "ada", "password": "wrong"})
    ada.post("/sign-in", data={"name": "my password", "password": "x"})
    ada.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    token = ada.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()
    program = browser(public, "10.0.0.7")
    program.headers["Authorization"] = f"Bearer {token['token']}"
    program.post("/api/v1/contests", json={"name": "Oppo"}, headers={"X-Request-ID": "id-of-mine"})
    program.get("/api/v1/contests")
    browser(public).post("/api/v1/contests", json={"name": "Oppo"})
    ada.post("/contests", data={"name": "Oppo", "slug": "oppo", "metric": "roc_auc"})
    ada.post("/sign-out")
    ada.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    found = entries(ada)
    assert [told(entry) for entry in reversed(found)] == [
        ("ada", "POST", "/sign-in", 401),
        ("", "POST", "/sign-in", 401),
        ("ada", "POST", "/sign-in", 303),
        ("ada", "POST", "/api/v1/tokens", 201),
        ("ci", "POST", "/api/v1/contests", 403),
        ("ada", "POST", "/contests", 303),
        ("ada", "POST", "/sign-out", 303),
        ("ada", "POST", "/sign-in", 303),
    ]
    refused = next(entry for entry in found if entry["who"] == "ci")
    assert (refused["token_id"], refused["kind"], refused["address"]) == (token["id"], "token", "10.0.0.7")
    assert (refused["route"], refused["request_id"]) == ("/api/v1/contests", "id-of-mine")
    assert [told(entry) for entry in entries(ada, "?who=ci&refused=true")] == [told(refused)]
    assert entries(ada, "?until=2020-01-01") == []
    assert ada.get("/api/v1/audit?since=yesterday").status_code == 422
    page = ada.get("/audit").text
    assert "10.0.0.7" in page
    assert f"token {token['id']}" in page
    assert browser(public).get("/audit").status_code == 303
    assert program.get("/api/v1/audit").status_code == 403


def test_pages_and_export(app: FastAPI, client: TestClient) -> None:
    with app.state.database.writing() as session:
        plain = {"who": "=cmd()", "kind": "token", "method": "POST", "route": "/x/{n}", "status": 200}
        plain |= {"at": clock(session), "address": "", "request_id": ""}
        session.add_all(AuditEntry(**plain, path=f"/x/{number}") for number in range(2101))
    first = client.get("/api/v1/audit?limit=1000").json()
    second = client.get(f"/api/v1/audit?limit=1000&before={first['older']}").json()
    third = client.get(f"/api/v1/audit?limit=1000&before={second['older']}").json()
    assert [len(part["entries"]) for part in (first, second, third)] == [1000, 1000, 101]
    assert third["older"] is None
    for path in ("/audit.csv", "/api/v1/audit.csv"):
        rows = list(csv.DictReader(io.StringIO(client.get(path).text)))
        assert [row["path"] for row in rows] == [f"/x/{number}" for number in range(2101)]
        assert rows[0]["who"] == "'=cmd()", "no spreadsheet takes it for a formula"
    assert len(list(csv.DictReader(io.StringIO(client.get("/audit.csv?text=/x/210").text)))) == 2
    page = client.get("/audit").text
    assert "/x/2100" in page
    assert "before=2002" in page
    assert "/x/2000<" in client.get("/audit?before=2002").text


@pytest.mark.parametrize("path", ["/audit.csv", "/api/v1/audit.csv"])
def test_what_no_database_can_look_for_is_refused_before_the_file_begins(
    client: TestClient, settings: Settings, path: str
) -> None:
    answer = client.get(f"{path}?who=%00")
    assert answer.status_code == (422 if settings.database.startswith("postgres") else 200)


@pytest.mark.parametrize("sql", ["UPDATE audit_entries SET who = 'x'", "DELETE FROM audit_entries", "TRUNCATE"])
def test_a_row_stays_as_it_is(app: FastAPI, sql: str) -> None:
    database: Database = app.state.database
    if sql == "TRUNCATE":
        if database.url.startswith("sqlite"):
            return  # it has none
        sql = "TRUNCATE audit_entries"
    with database.writing() as session:
        audit.record(session, audit.Deed("ada", "member", "POST", "/x", "/x", 200))
    with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
        session.execute(text(sql))
    for statement in (update(AuditEntry).values(who="x"), delete(AuditEntry)):
        with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
            session.execute(statement)


def test_what_workers_send_is_not_in_it_but_a_strangers_try_is(
    client: TestClient, worker_headers: dict[str, str]
) -> None:
    contest_over_http(client)
    experiment_over_http(client)
    who = {"worker": "w1", "boot_id": "boot-one"}
    claim = client.post("/api/v1/workers/claim", json=who, headers=worker_headers).json()
    own = {"Authorization": f"Bearer {claim['token']}"}
    assert client.post(f"/api/v1/runs/{claim['job']['run_id']}/heartbeat", headers=own).status_code == 200
    token = client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()["token"]
    assert client.post("/api/v1/workers/claim", headers={"Authorization": f"Bearer {token}"}).status_code == 403
    paths = [told(entry) for entry in entries(client)]
    assert paths[0] == ("ci", "POST", "/api/v1/workers/claim", 403)
    assert [entry for entry in paths[1:] if "workers" in entry[2] or "heartbeat" in entry[2]] == []


def test_a_request_that_breaks_is_in_it(app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("app.contests.service.create_contest", broken)
    with TestClient(
        app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1), raise_server_exceptions=False
    ) as it:
        assert it.post("/api/v1/contests", json={"name": "x"}).status_code == 500
    assert told(entries(client)[0]) == ("local", "POST", "/api/v1/contests", 500)


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRBOARD_DATA_DIR", str(tmp_path))
    run = CliRunner().invoke
    assert run(cli, ["migrate"]).exit_code == 0
    assert run(cli, ["user", "add", "ada"], input=f"{PASSWORD}\n").exit_code == 0
    assert run(cli, ["token", "add", "ci", "--scope", "read"]).exit_code == 0
    database = Database(f"sqlite:///{tmp_path / 'pairboard.db'}")
    with database.reading() as session:
        lines = [f"{row.route} {row.path}" for row in session.query(AuditEntry)]
    assert lines == ["pairboard user add ada owner", "pairboard token add 1 ci: read"]
    database.dispose()
