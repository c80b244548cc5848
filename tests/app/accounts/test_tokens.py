"""Tokens: shown once, kept as a hash, with scopes, a contest and an expiry, noted at most once a minute, revoked at
once; never more than their makers may."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app.accounts import queries, service, tokens
from app.accounts.keys import NOTED_EVERY, digest
from app.accounts.models import Token
from app.cli import cli
from app.db import Database
from app.errors import Conflict, Refused
from tests.factories import contest_over_http


def as_program(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def made(client: TestClient, **body: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"], **body})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_it_is_shown_once_and_revoked_at_once(app: FastAPI, client: TestClient) -> None:
    answer = client.post("/account/tokens", data={"name": "ci", "scopes": ["read", "submit"], "days": "30"})
    assert answer.headers["cache-control"] == "no-store"
    plain = answer.text.split('value="pb-token_')[1].split('"')[0]
    assert plain not in client.get("/account").text
    with app.state.database.reading() as session:
        row = session.scalars(select(Token)).one()
        assert (row.scopes, row.digest) == ("read submit", digest(f"pb-token_{plain}"))
        assert row.expires_at is not None
        assert row.expires_at - row.created_at == timedelta(days=30)
    program = as_program(f"pb-token_{plain}")
    assert client.get("/api/v1/me", headers=program).json()["scopes"] == ["read", "submit"]
    assert client.post(f"/account/tokens/{row.id}/revoke").status_code == 303
    assert client.get("/api/v1/me", headers=program).status_code == 401
    assert "revoked" in client.get("/account").text


def test_its_last_use_is_noted_at_most_once_a_minute(app: FastAPI, client: TestClient) -> None:
    token = made(client)
    program = as_program(token["token"])

    def last() -> Any:
        return next(row for row in client.get("/api/v1/tokens").json() if row["id"] == token["id"])["last_used_at"]

    assert last() is None
    client.get("/api/v1/me", headers=program)
    first = last()
    assert first is not None
    client.get("/api/v1/me", headers=program)
    assert last() == first
    with app.state.database.writing() as session:
        row = queries.token(session, token["id"])
        assert row.last_used_at is not None
        row.last_used_at -= NOTED_EVERY
    client.get("/api/v1/me", headers=program)
    assert last() > first


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"name": " "}, 422, "1 to 100 printable"),
        ({"scopes": []}, 422, "scopes"),
        ({"scopes": ["fly"]}, 422, "scopes"),
        ({"scopes": ["worker", "read"]}, 422, "does nothing else"),
        ({"scopes": ["admin"], "contest": "oppo"}, 422, "of every contest"),
        ({"contest": "none"}, 404, "there is no contest"),
        ({"days": 0}, 422, "more than 0"),
        ({"days": -1}, 422, "more than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(client: TestClient, body: dict[str, Any], status: int, words: str) -> None:
    contest_over_http(client)
    answer = client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"], **body})
    assert answer.status_code == status
    assert words in answer.text


def test_nobody_gives_more_than_they_have(app: FastAPI, client: TestClient) -> None:
    with app.state.database.writing() as session:
        service.add_member(session, "ada", "correct horse battery")
        ben = service.add_member(session, "ben", "correct horse battery")
        wide = tokens.Wanted("wide", ("read", "submit", "run"), member_id=ben.id)
        plain = tokens.issue(session, wide)[1]
        service.set_role(session, ben, "viewer")
    client.post("/sign-in", data={"name": "ben", "password": "correct horse battery"})
    assert client.get("/members").status_code == 403
    assert client.post("/contests", data={"name": "x", "metric": "roc_auc"}).status_code == 403
    refused = client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["run"]})
    assert refused.status_code == 403
    assert "you can't give" in refused.json()["error"]["message"]
    own = made(client)
    assert [row["name"] for row in client.get("/api/v1/tokens").json()] == ["ci", "wide"]
    assert client.get("/api/v1/me", headers=as_program(plain)).json()["scopes"] == ["read"]
    assert client.post("/api/v1/contests", json={"name": "x"}, headers=as_program(plain)).status_code == 403
    more = {"name": "n", "scopes": ["read"]}
    assert client.post("/api/v1/tokens", json=more, headers=as_program(own["token"])).status_code == 403
    client.post("/sign-out")
    foreign = made(client, name="of the local user")
    client.post("/sign-in", data={"name": "ben", "password": "correct horse battery"})
    assert client.delete(f"/api/v1/tokens/{foreign['id']}").status_code == 404, "another's"
    assert client.delete(f"/api/v1/tokens/{own['id']}").status_code == 204


def test_who_makes_a_contest_owns_it(app: FastAPI, client: TestClient) -> None:
    with app.state.database.writing() as session:
        service.add_member(session, "ada", "correct horse battery")
        service.add_member(session, "ben", "correct horse battery")
    contest_over_http(client, slug="of-another")
    client.post("/sign-in", data={"name": "ben", "password": "correct horse battery"})
    contest_over_http(client, slug="bens")
    client.post("/contests", data={"name": "2", "slug": "bens-2", "metric": "roc_auc"})
    for slug, status in (("bens", 200), ("bens-2", 200), ("of-another", 403)):
        assert client.get(f"/contests/{slug}/members").status_code == status
        assert ("/members" in client.get(f"/contests/{slug}").text) == (status == 200)
    assert client.get("/audit").status_code == 403


def test_there_is_always_an_owner(app: FastAPI) -> None:
    with app.state.database.writing() as session:
        ada = service.add_member(session, "ada", "correct horse battery")
        ben = service.add_member(session, "ben", "correct horse battery")
        assert (ada.role, ben.role) == ("owner", "member")
        for change in (lambda: service.set_role(session, ada, "viewer"), lambda: service.leave(session, ada)):
            with pytest.raises(Conflict, match="ada is the only owner"):
                change()
        with pytest.raises(Refused, match="there is no role 'king': choose of owner, member, viewer"):
            service.set_role(session, ben, "king")
        service.set_role(session, ben, "owner")
        service.leave(session, ada)
        with pytest.raises(Conflict, match="ben is the only owner"):
            service.leave(session, ben)


def test_at_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRBOARD_DATA_DIR", str(tmp_path))

    def run(*args: str, **more: Any) -> str:
        done = CliRunner().invoke(cli, list(args), **more)
        assert done.exit_code == 0, done.output
        return done.output

    run("migrate")
    assert run("user", "add", "ada", input="correct horse battery\n") == "added member ada (owner)\n"
    assert "(viewer)" in run("user", "add", "eve", "--role", "viewer", input="correct horse battery\n")
    assert run("user", "role", "eve", "member") == "eve is member\n"
    assert "another password" in run("user", "password", "eve", input="another horse battery\n")
    plain = run("token", "add", "ci", "--scope", "read,submit", "--days", "7").strip()
    assert plain.startswith("pb-token_")
    assert run("token", "add", "gpu", "--scope", "worker").startswith("pb-worker_")
    assert "read submit" in run("token", "list")
    run("token", "revoke", "1")
    database = Database(f"sqlite:///{tmp_path / 'pairboard.db'}")
    with database.reading() as session:
        assert queries.live_token(session, digest(plain)) is None
        assert service.sign_in(session, "eve", "another horse battery").role == "member"
    database.dispose()
