"""Who gets in: the local user on loopback, members and tokens elsewhere, and nobody from another site."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import schema
from app.accounts import service as accounts
from app.db import Database
from app.errors import AppError, Conflict, Refused
from app.main import create_app
from app.settings import Settings

SECRET = "s" * 40


def prepared(folder: Path, **changes: object) -> Settings:
    settings = Settings(data_dir=folder / "data", sweep_seconds=600, allowed_hosts="bench.example", **changes)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    schema.upgrade(database.write_engine)
    database.dispose()
    return settings


def add_member(settings: Settings) -> None:
    database = Database(settings.database)
    with database.writing() as session:
        accounts.add_member(session, "ada", "correct horse battery")
    database.dispose()


@pytest.fixture
def public(tmp_path: Path) -> Iterator[FastAPI]:
    """The app bound to every address, with its secret and one member."""
    settings = prepared(tmp_path, host="0.0.0.0", secret=SECRET)
    add_member(settings)
    app = create_app(settings)
    yield app
    app.state.database.dispose()


def visitor(app: FastAPI, ip: str = "10.0.0.9", host: str = "bench.example") -> TestClient:
    return TestClient(app, base_url=f"http://{host}", client=(ip, 4000), follow_redirects=False)


def test_it_does_not_start_open_to_others(tmp_path: Path) -> None:
    bare = prepared(tmp_path, host="0.0.0.0")
    with pytest.raises(AppError, match=r"PAIRBOARD_HOST=0\.0\.0\.0 .* a secret .* and an account"):
        create_app(bare)
    with pytest.raises(AppError, match=r"needs an account \(pairboard user add NAME\)"):
        create_app(prepared(tmp_path, host="0.0.0.0", secret=SECRET))
    add_member(bare)
    with pytest.raises(AppError, match=r"needs a secret \(PAIRBOARD_SECRET="):
        create_app(bare)


def test_strangers_sign_in_first(public: FastAPI) -> None:
    with visitor(public) as stranger:
        assert stranger.get("/").headers["location"] == "/sign-in"
        refused = stranger.get("/api/v1/contests")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert stranger.post("/api/v1/contests", json={"name": "x"}).status_code == 401
        assert stranger.get("/health").status_code == 200
        wrong = stranger.post("/sign-in", data={"name": "ada", "password": "wrong"})
        assert wrong.status_code == 401
        assert "do not belong together" in wrong.text
        right = stranger.post("/sign-in", data={"name": "ada", "password": "correct horse battery"})
        assert (right.status_code, right.headers["location"]) == (303, "/")
        assert stranger.get("/").status_code == 200
        stranger.post("/sign-out")
        assert stranger.get("/").status_code == 303


def test_beyond_loopback_even_the_own_machine_signs_in(public: FastAPI) -> None:
    with visitor(public, ip="127.0.0.1", host="127.0.0.1") as local:
        assert local.get("/api/v1/contests").status_code == 401


def test_tokens(public: FastAPI) -> None:
    with public.state.database.writing() as session:
        member = accounts.issue_token(session, "ci", "member")
        worker = accounts.issue_token(session, "gpu", "worker")
    with visitor(public) as program:
        for token, status in ((member, 200), (worker, 403), ("pb-member_guessed", 401), ("", 401)):
            answer = program.get("/api/v1/contests", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status, answer.text
        beat = {"worker": "w", "boot_id": "12345678", "busy_run_id": None}
        for token, status in ((worker, 200), (member, 403)):
            headers = {"Authorization": f"Bearer {token}"}
            assert program.post("/api/v1/workers/heartbeat", json=beat, headers=headers).status_code == status


def test_loopback_is_open_to_its_user_alone(tmp_path: Path) -> None:
    app = create_app(prepared(tmp_path))
    with visitor(app, ip="127.0.0.1", host="127.0.0.1:8000") as local:
        assert local.get("/api/v1/contests").status_code == 200
        assert local.get("/api/v1/contests", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 403
        rebound = local.get("/api/v1/contests", headers={"Host": "evil.example"})
        assert rebound.status_code == 403
        assert "PAIRBOARD_ALLOWED_HOSTS" in rebound.json()["error"]["message"]
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert local.post("/api/v1/contests", json={"name": "x"}, headers=headers).status_code == 403
        own = local.post("/api/v1/contests", json={"name": "x"}, headers={"Origin": "http://127.0.0.1:8000"})
        assert own.status_code == 201
    with visitor(app, ip="10.0.0.9", host="127.0.0.1:8000") as stranger:
        assert stranger.get("/api/v1/contests").status_code == 401
    app.state.database.dispose()


def test_members_are_checked(tmp_path: Path) -> None:
    settings = prepared(tmp_path)
    add_member(settings)
    database = Database(settings.database)
    with database.writing() as session:
        with pytest.raises(Conflict, match="there is a member 'ada' already"):
            accounts.add_member(session, "ada", "another password")
        with pytest.raises(Refused, match="at least 10 characters"):
            accounts.add_member(session, "bob", "short")
    database.dispose()


def test_behind_a_proxy_loopback_is_no_longer_open(tmp_path: Path) -> None:
    """Until there is a secret and an owner it says how; then people sign in, and programs have tokens."""
    app = create_app(prepared(tmp_path))
    proxied = {"X-Forwarded-For": "1.2.3.4"}
    with visitor(app, ip="127.0.0.1", host="127.0.0.1:8000") as local:
        for path in ("/", "/api/v1/contests"):
            refused = local.get(path, headers=proxied)
            assert refused.status_code == 403
            assert "PAIRBOARD_SECRET=$(openssl rand -hex 32); pairboard user add NAME" in refused.text
        assert "pairboard user add NAME" in local.get("/sign-in", headers=proxied).text
        assert "nobody has to sign in" in local.get("/").text, "the banner"
    app.state.database.dispose()
    settings = prepared(tmp_path, secret=SECRET)
    add_member(settings)
    app = create_app(settings)
    with visitor(app, ip="127.0.0.1", host="127.0.0.1:8000") as local:
        assert local.get("/api/v1/contests", headers=proxied).status_code == 401
        form = {"name": "ada", "password": "correct horse battery"}
        assert local.post("/sign-in", data=form, headers=proxied).status_code == 303
        page = local.get("/", headers=proxied)
        assert page.status_code == 200
        assert "nobody has to sign in" not in page.text
    app.state.database.dispose()


@pytest.mark.parametrize(
    ("proxies", "ip", "told"), [("", "127.0.0.1", 1), ("127.0.0.1", "127.0.0.1", 0), ("", "10.0.0.9", 0)]
)
def test_a_proxy_that_is_not_named_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, proxies: str, ip: str, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its people would count as one address, and be slowed down as one."""
    monkeypatch.setattr("app.accounts.pages._TOLD", set())
    settings = prepared(tmp_path, host="0.0.0.0", secret=SECRET, trusted_proxies=proxies)
    add_member(settings)
    app = create_app(settings)
    for _ in range(2):
        form, headers = {"name": "ada", "password": "wrong"}, {"X-Forwarded-For": "198.51.100.7"}
        visitor(app, ip=ip).post("/sign-in", data=form, headers=headers)
    assert len([line for line in caplog.messages if "PAIRBOARD_TRUSTED_PROXIES does not name" in line]) == told
    app.state.database.dispose()


def test_only_a_trusted_proxy_says_for_whom_it_asks(tmp_path: Path) -> None:
    settings = prepared(tmp_path, host="0.0.0.0", secret=SECRET, trusted_proxies="10.0.0.1, 10.0.0.2")
    add_member(settings)
    app = create_app(settings)
    form = {"name": "ada", "password": "correct horse battery"}
    told = {"X-Forwarded-For": "6.6.6.6, 192.0.2.7, 10.0.0.2", "X-Forwarded-Proto": "https"}
    cookies = []
    for ip in ("10.0.0.1", "10.0.0.9"):
        answer = visitor(app, ip=ip).post("/sign-in", data=form, headers=told)
        cookies += [value for value in answer.headers.get_list("set-cookie") if value.startswith("pairboard_session")]
    assert ["Secure" in cookie for cookie in cookies] == [True, False]
    client = visitor(app)
    client.post("/sign-in", data=form)
    found = [entry["address"] for entry in client.get("/api/v1/audit").json()["entries"]]
    assert found == ["10.0.0.9", "10.0.0.9", "192.0.2.7"]
    app.state.database.dispose()
