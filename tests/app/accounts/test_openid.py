"""Signing in with a real OpenID provider, a process of its own: who comes in, as whom, and what is not believed."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fastapi import FastAPI
from httpx2 import Response
from starlette.testclient import TestClient

from app.accounts import queries, service
from app.db import Database
from app.errors import AppError
from app.main import create_app
from app.settings import Settings
from tests.app.accounts.conftest import PASSWORD, browser

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def provider() -> Iterator[httpx2.Client]:
    """The provider, started and stopped."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.openid_provider", str(port), "bench", "provider secret"]
    with subprocess.Popen(command, cwd=ROOT) as process, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            for _ in range(600):
                try:
                    client.get("/keys").raise_for_status()
                    break
                except httpx2.TransportError:
                    assert process.poll() is None
                    time.sleep(0.1)
            yield client
        finally:
            process.terminate()


@pytest.fixture
def app(public: FastAPI, provider: httpx2.Client) -> Iterator[FastAPI]:
    """The app with the three values set."""
    given = {"oidc_issuer": str(provider.base_url).rstrip("/"), "oidc_client_id": "bench"}
    settings: Settings = public.state.settings.model_copy(
        update={**given, "oidc_client_secret": type(public.state.settings.secret)("provider secret")}
    )
    made = create_app(settings)
    provider.post("/lie", json={"about": ""})
    yield made
    made.state.database.dispose()


def through(client: TestClient, provider: httpx2.Client, start: str = "/sign-in/openid") -> Response:
    """To the provider and back, as a browser goes."""
    left = client.get(start)
    assert left.status_code == 302, left.text
    there = provider.get(left.headers["location"])
    assert there.status_code == 302, there.text
    back = urlsplit(there.headers["location"])
    assert (back.netloc, back.path) == ("bench.example", "/sign-in/openid/back")
    return client.get(f"{back.path}?{back.query}")


def link_of(client: TestClient) -> str:
    """On the account page, by which a member connects the account."""
    return client.get("/account").text.split('href="/sign-in/openid')[1].split('"')[0].join(("/sign-in/openid", ""))


def test_who_is_new_reads_until_an_owner_gives_more(app: FastAPI, provider: httpx2.Client) -> None:
    provider.post("/be", json={"sub": "7", "preferred_username": "ada", "email": "x@y.example"})
    client = browser(app)
    assert "/sign-in/openid" in client.get("/sign-in").text
    answer = through(client, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    told = client.get("/api/v1/me").json()
    assert (told["name"], told["role"]) == ("ada 2", "viewer"), "never the account of somebody of the same name"
    assert client.post("/api/v1/contests", json={"name": "x"}).status_code == 403
    provider.post("/be", json={"sub": "7", "preferred_username": "ada, renamed"})
    again = browser(app)
    through(again, provider)
    assert again.get("/api/v1/me").json()["name"] == "ada 2", "the subject counts, not the name"
    with app.state.database.writing() as session:
        found = queries.member_by_name(session, "ada 2")
        assert found is not None
        service.set_role(session, found, "member")
    assert client.post("/api/v1/contests", json={"name": "x"}).status_code == 201
    refused = browser(app).post("/sign-in", data={"name": "ada 2", "password": ""})
    assert refused.status_code in {401, 422}, "there is no password"
    with app.state.database.writing() as session:
        service.leave(session, queries.member(session, found.id))
    closed = through(browser(app), provider)
    assert closed.status_code == 401
    assert "is closed" in closed.text


def test_a_member_connects_the_own_account(app: FastAPI, provider: httpx2.Client) -> None:
    provider.post("/be", json={"sub": "8", "preferred_username": "lovelace"})
    client = browser(app)
    client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    assert through(client, provider, link_of(client)).headers["location"] == "/account"
    assert "from now on" in client.get("/account").text
    other = browser(app)
    through(other, provider)
    assert other.get("/api/v1/me").json()["name"] == "ada"
    with app.state.database.writing() as session:
        service.add_member(session, "ben", PASSWORD)
    client.post("/sign-in", data={"name": "ben", "password": PASSWORD})
    through(client, provider, link_of(client))
    assert "connected with ada already" in client.get("/account").text


def test_below_a_root_path_the_provider_is_told_to_come_back_there(app: FastAPI, provider: httpx2.Client) -> None:
    below = create_app(app.state.settings.model_copy(update={"root_path": "/pairboard"}))
    left = browser(below).get("/pairboard/sign-in/openid").headers["location"]
    assert parse_qs(urlsplit(left).query)["redirect_uri"] == ["http://bench.example/pairboard/sign-in/openid/back"]
    below.state.database.dispose()


def test_a_provider_that_is_away_is_told(app: FastAPI) -> None:
    app.state.settings = app.state.settings.model_copy(update={"oidc_issuer": "http://127.0.0.1:9"})
    answer = browser(app).get("/sign-in/openid")
    assert answer.status_code == 401
    assert "try again" in answer.text


def test_without_the_three_values(public: FastAPI) -> None:
    assert browser(public).get("/sign-in/openid").status_code == 404
    assert "/sign-in/openid" not in browser(public).get("/sign-in").text
    half = public.state.settings.model_copy(update={"oidc_issuer": "https://accounts.example"})
    with pytest.raises(AppError, match="PAIRBOARD_OIDC_CLIENT_ID and PAIRBOARD_OIDC_CLIENT_SECRET is missing"):
        create_app(half)


def test_the_log_says_who_came(app: FastAPI, provider: httpx2.Client) -> None:
    provider.post("/be", json={"sub": "11", "preferred_username": "hopper"})
    through(browser(app), provider)
    ada = browser(app)
    ada.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    found = ada.get("/api/v1/audit").json()["entries"]
    assert ("hopper", "GET", 303) in [(entry["who"], entry["method"], entry["status"]) for entry in found]
    database: Database = app.state.database
    with database.reading() as session:
        assert queries.member_by_name(session, "hopper") is not None
