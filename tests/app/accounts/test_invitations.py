"""Invitations: a link that makes one account, everywhere or for one contest, and can be taken back."""

from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from tests.app.accounts.conftest import PASSWORD, browser
from tests.app.test_chinese_pages import ZH, english_in
from tests.factories import contest_over_http


def owner(app: FastAPI) -> TestClient:
    client = browser(app)
    assert client.post("/sign-in", data={"name": "ada", "password": PASSWORD}).status_code == 303
    return client


def invite(client: TestClient, **form: str) -> str:
    """The path of a new link."""
    text = client.post("/members/invitations", data=form).text
    return text.split('value="http://bench.example')[1].split('"')[0].replace("&amp;", "&")


def test_a_link_makes_one_account_with_its_role(public: FastAPI) -> None:
    ada, ben = owner(public), browser(public)
    link = invite(ada, role="viewer", note="for Ben")
    assert link.split("=")[1] not in ada.get("/members").text, "shown once"
    assert "ada invites you as viewer" in ben.get(link).text
    form = {"key": link.split("=")[1], "name": "ada", "password": PASSWORD}
    taken = ben.post("/join", data=form)
    assert taken.status_code == 409
    assert "there is a member &#39;ada&#39; already" in taken.text
    assert ben.post("/join", data={**form, "name": "ben", "password": "short"}).status_code == 422
    assert ben.post("/join", data={**form, "name": "ben"}).status_code == 303
    assert ben.get("/api/v1/me").json() | {"contest": None} == {
        "name": "ben",
        "kind": "member",
        "role": "viewer",
        "scopes": ["read"],
        "contest": None,
    }
    again = browser(public).post("/join", data={**form, "name": "carl"})
    assert again.status_code == 422
    assert "was used already" in again.text
    assert "used by ben" in ada.get("/members").text


def test_below_a_root_path_the_link_leads_there(public: FastAPI) -> None:
    below = create_app(public.state.settings.model_copy(update={"root_path": "/pairboard"}))
    ada, ben = owner(below), browser(below)
    made = ada.post("/pairboard/api/v1/invitations", json={"role": "viewer"}).json()
    assert made["link"].startswith("http://bench.example/pairboard/join?key=")
    assert "invites you" in ben.get(made["link"].removeprefix("http://bench.example")).text
    below.state.database.dispose()


def test_pages_in_chinese(public: FastAPI) -> None:
    ada = owner(public)
    link = invite(ada, role="viewer", note="二号")
    for client, path in ((ada, "/members"), (ada, "/account"), (ada, link), (browser(public), link)):
        answer = client.get(path, headers=ZH)
        assert answer.status_code == 200
        assert english_in(answer.text.replace("Firefox on a test", "")) == []


def test_for_one_contest(public: FastAPI) -> None:
    ada, ben = owner(public), browser(public)
    contest_over_http(ada)
    contest_over_http(ada, slug="other")
    assert ada.put("/api/v1/contests/oppo/private", json={"private": True}).status_code == 204
    made = ada.post("/api/v1/invitations", json={"role": "member", "contest": "oppo"}).json()
    key = made["link"].split("=")[1]
    assert "to the contest Oppo as member" in ben.get(f"/join?key={key}").text
    ben.post("/join", data={"key": key, "name": "ben", "password": PASSWORD})
    assert ben.patch("/api/v1/queue").status_code == 405
    files = {"file": ("u.tsv", b"a\tb\n")}
    assert ben.post("/contests/oppo/files", files=files, data={"kind": "unlabelled"}).status_code == 303
    assert ben.post("/contests/other/files", files=files, data={"kind": "unlabelled"}).status_code == 403
    assert ben.post("/api/v1/contests", json={"name": "x"}).status_code == 403
    more = ada.post("/api/v1/invitations", json={"role": "owner", "contest": "other"}).json()
    key = more["link"].split("=")[1]
    assert "Join as ben" in ben.get(f"/join?key={key}").text
    assert ben.post("/join", data={"key": key}).status_code == 303
    assert ben.get("/contests/other/members").status_code == 200
    assert ben.get("/contests/oppo/members").status_code == 403
