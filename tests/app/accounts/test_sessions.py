"""Sessions are rows: a new key at each sign-in, ended at once here and everywhere; passwords are changed by who knows
them."""

from fastapi import FastAPI
from httpx2 import Response
from sqlalchemy import event, select
from starlette.testclient import TestClient

from app.accounts import queries, service
from app.accounts.keys import digest
from app.accounts.models import SignedIn
from app.identity import SESSION_COOKIE
from tests.app.accounts.conftest import PASSWORD, browser
from tests.factories import contest_over_http, experiment_over_http


def get_with(app: FastAPI, key: str) -> Response:
    """A browser that has a copy of this key."""
    return browser(app).get("/", headers={"Cookie": f"{SESSION_COOKIE}={key}"})


def sign_in(client: TestClient, name: str = "ada", password: str = PASSWORD) -> str:
    answer = client.post("/sign-in", data={"name": name, "password": password})
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text
    return client.cookies[SESSION_COOKIE]


def test_the_key_is_kept_as_a_hash_and_the_cookie_is_for_the_browser_alone(public: FastAPI) -> None:
    client = browser(public)
    answer = client.post("/sign-in", data={"name": "ada", "password": PASSWORD})
    cookie = next(value for value in answer.headers.get_list("set-cookie") if value.startswith(SESSION_COOKIE))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie, "http://"
    secure = browser(public, scheme="https").post("/sign-in", data={"name": "ada", "password": PASSWORD})
    assert any(SESSION_COOKIE in value and "Secure" in value for value in secure.headers.get_list("set-cookie"))
    key = client.cookies[SESSION_COOKIE]
    with public.state.database.reading() as session:
        row = session.scalars(select(SignedIn).order_by(SignedIn.id)).first()
        assert row is not None
        assert (row.digest, row.address, row.agent) == (digest(key), "10.0.0.9", "Firefox on a test")


def test_each_sign_in_draws_a_new_key_and_ends_the_old(public: FastAPI) -> None:
    client = browser(public)
    form, planted = {"name": "ada", "password": PASSWORD}, {"Cookie": f"{SESSION_COOKIE}=planted"}
    answer = client.post("/sign-in", data=form, headers=planted)
    first = answer.cookies[SESSION_COOKIE]
    assert first != "planted"
    second = sign_in(client)
    assert second != first
    assert get_with(public, first).headers["location"] == "/sign-in"
    assert get_with(public, second).status_code == 200


def test_out_here_and_out_everywhere(public: FastAPI) -> None:
    here, there = browser(public), browser(public, "10.0.0.10")
    key = sign_in(here)
    sign_in(there)
    page = here.get("/account").text
    assert "10.0.0.9" in page
    assert "10.0.0.10" in page
    here.post("/sign-out")
    assert get_with(public, key).status_code == 303, "a copy of the cookie is worth nothing"
    assert there.get("/").status_code == 200
    sign_in(here)
    listed = there.get("/api/v1/me/sessions").json()
    assert [item["here"] for item in listed].count(True) == 1
    assert there.post("/account/sessions/end").headers["location"] == "/sign-in"
    assert here.get("/").status_code == there.get("/").status_code == 303
    sign_in(here)
    sign_in(there)
    mine, other = sorted(here.get("/api/v1/me/sessions").json(), key=lambda item: not item["here"])
    assert here.post(f"/account/sessions/{other['id']}/end").status_code == 303
    assert there.get("/").status_code == 303
    assert here.delete(f"/api/v1/me/sessions/{mine['id'] + 1000}").status_code == 404
    assert here.delete("/api/v1/me/sessions").json() == {"ended": 1}
    assert here.get("/").status_code == 303


def test_another_password_ends_every_other_session(public: FastAPI) -> None:
    here, there = browser(public), browser(public)
    sign_in(here)
    sign_in(there)
    wrong = here.post("/account/password", data={"old": "wrong", "new": "a longer password"})
    assert wrong.status_code == 422
    assert "this is not your password" in wrong.text
    short = here.post("/account/password", data={"old": PASSWORD, "new": "short"})
    assert "at least 10 characters" in short.text
    assert there.get("/").status_code == 200
    assert here.post("/account/password", data={"old": PASSWORD, "new": "a longer password"}).status_code == 303
    assert "1 other sessions" in here.get("/account").text
    assert there.get("/").status_code == 303
    assert browser(public).post("/sign-in", data={"name": "ada", "password": PASSWORD}).status_code == 401
    sign_in(there, password="a longer password")
    body = {"old": "a longer password", "new": PASSWORD}
    assert there.post("/api/v1/me/password", json=body).json() == {"ended": 1}


def test_an_expired_session_counts_no_longer(public: FastAPI) -> None:
    client = browser(public)
    sign_in(client)
    with public.state.database.writing() as session:
        row = session.scalars(select(SignedIn)).one()
        row.expires_at = row.created_at
    assert client.get("/").status_code == 303
    sign_in(client)
    with public.state.database.reading() as session:
        assert len(session.scalars(select(SignedIn)).all()) == 1, "what expired is cleared away"


def test_a_closed_account_and_a_reset_password(public: FastAPI) -> None:
    with public.state.database.writing() as session:
        service.add_member(session, "ben", PASSWORD)
    owner, ben = browser(public), browser(public)
    sign_in(owner)
    sign_in(ben, "ben")
    made = ben.post("/api/v1/tokens", json={"name": "mine", "scopes": ["read"]}).json()
    program = {"Authorization": f"Bearer {made['token']}"}
    assert browser(public).get("/api/v1/contests", headers=program).status_code == 200
    number = next(row["id"] for row in owner.get("/api/v1/members").json() if row["name"] == "ben")
    assert owner.post(f"/members/{number}", data={"act": "leave"}).status_code == 303
    assert ben.get("/").status_code == 303
    assert browser(public).get("/api/v1/contests", headers=program).status_code == 401
    assert browser(public).post("/sign-in", data={"name": "ben", "password": PASSWORD}).status_code == 401
    assert owner.patch(f"/api/v1/members/{number}", json={"left": False}).json()["left_at"] is None
    sign_in(ben, "ben")
    assert browser(public).get("/api/v1/contests", headers=program).status_code == 401, "revoked stays revoked"
    with public.state.database.writing() as session:
        service.reset_password(session, queries.member(session, number), "something else")
    assert ben.get("/").status_code == 303


def test_a_page_costs_one_query_more_for_a_member(public: FastAPI) -> None:
    client = browser(public)
    sign_in(client)
    contest_over_http(client)
    experiment_over_http(client)
    asked: list[str] = []
    engine = public.state.database.read_engine
    event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    assert client.get("/contests/oppo").status_code == 200
    about = [text for text in asked if "member_" in text or "tokens" in text]
    assert len(about) == 1, about
