"""Webhooks: told in the transaction of what happened, signed, tried again, never to where they may not lead."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.db import clock
from app.settings import Settings
from app.webhooks import postman
from app.webhooks.models import WebhookDelivery
from app.webhooks.postman import PAUSES, Postman
from ml.contract.events import Failed, Finished, Scored
from ml.contract.scores import Scores
from tests.app.webhooks.conftest import Receiver
from tests.factories import TINY, contest_over_http, experiment_over_http

HOOKS = "/api/v1/contests/oppo/webhooks"
ALL = ["experiment.finished", "experiment.failed", "score.best"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allow": "localhost, 127.0.0.0/8"})


def added(client: TestClient, url: str, events: list[str] = ALL, **more: Any) -> dict[str, Any]:
    answer = client.post(HOOKS, json={"url": url, "events": events, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sent(app: FastAPI) -> int:
    return Postman(app.state.settings, app.state.database).deliver()


def run_of(client: TestClient, headers: dict[str, str], seed: int, *events: Any) -> int:
    """An experiment whose one run reports these events; its number."""
    made = experiment_over_http(client, name=f"seed {seed}", config={**TINY, "pretrain": None, "seed": seed})
    run = made["runs"][0]["id"]
    who = {"worker": "w1", "boot_id": "boot-one"}
    token = client.post(f"/api/v1/runs/{run}/claim", json=who, headers=headers).json()["token"]
    body = {"first": 1, "events": [event.model_dump(mode="json") for event in events]}
    mine = {"Authorization": f"Bearer {token}"}
    answer = client.post(f"/api/v1/runs/{run}/events", json=body, headers=mine)
    assert answer.status_code == 200, answer.text
    number: int = made["id"]
    return number


def scored(value: float) -> Scored:
    return Scored(split="valid", rows=10, scores=Scores(roc_auc=value, accuracy=0.7, f1=0.6, log_loss=0.5))


def test_what_happens_is_told_once_and_signed(
    client: TestClient, app: FastAPI, receiver: Receiver, worker_headers: dict[str, str]
) -> None:
    contest_over_http(client)
    hook = added(client, receiver.url)
    number = run_of(client, worker_headers, 1, scored(0.75), Finished(seconds=1))
    run_of(client, worker_headers, 2, scored(0.7), Failed(reason="it broke", detail="Traceback"))
    run_of(client, worker_headers, 3, scored(0.8))
    assert receiver.got == [], "nothing leaves within the request"
    assert sent(app) == 4
    assert sent(app) == 0
    told = sorted((json.loads(body) for _, _, body in receiver.got), key=lambda item: item["timestamp"])
    kinds = [item["type"] for item in told]
    assert sorted(kinds) == ["experiment.failed", "experiment.finished", "score.best", "score.best"]
    best = [item["data"] for item in told if item["type"] == "score.best"]
    assert [(item["value"], item["before"]) for item in best] == [(0.75, None), (0.8, 0.75)]
    finished = next(item["data"] for item in told if item["type"] == "experiment.finished")
    assert (finished["contest"], finished["experiment"], finished["scores"]) == ("oppo", number, {"valid": 0.75})
    assert finished["path"] == f"/experiments/{number}"
    failed = next(item["data"] for item in told if item["type"] == "experiment.failed")
    assert failed["reason"] == "it broke"
    for path, headers, body in receiver.got:
        assert path == "/hook"
        text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(hook["secret"].removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == len(receiver.got)


def test_an_online_score_that_is_the_best(client: TestClient, app: FastAPI, receiver: Receiver) -> None:
    contest_over_http(client)
    added(client, receiver.url, ["score.best"])
    experiment_over_http(client, config={**TINY, "pretrain": None})
    for value in (0.8, 0.7, 0.9):
        path = "/api/v1/experiments/1/online-scores"
        assert client.post(path, json={"value": value}).status_code == 201
    sent(app)
    told = [json.loads(body)["data"] for _, _, body in receiver.got]
    # 0.7 replaced 0.8 on the table, and 0.9 beats what stands there
    assert [(item["split"], item["value"], item["before"]) for item in told] == [
        ("online", 0.8, None),
        ("online", 0.9, 0.7),
    ]


def test_a_rolled_back_event_is_not_told(client: TestClient, app: FastAPI, receiver: Receiver) -> None:
    contest_over_http(client)
    added(client, receiver.url)
    experiment_over_http(client, config={**TINY, "pretrain": None})
    refused = client.post("/api/v1/experiments/1/online-scores", json={"value": 1.5})
    assert refused.status_code == 422
    assert sent(app) == 0


def test_a_receiver_that_is_away_is_tried_again_and_given_up(
    client: TestClient, app: FastAPI, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    contest_over_http(client)
    hook = added(client, receiver.url)
    receiver.status = 503
    client.post(f"{HOOKS}/{hook['id']}/test")
    now = timedelta()
    monkeypatch.setattr(postman, "clock", lambda session: clock(session) + now)
    for number, pause in enumerate(PAUSES, start=1):
        assert sent(app) == 1, number
        assert sent(app) == 0, "not at once"
        found = client.get(f"{HOOKS}/{hook['id']}/deliveries").json()[0]
        assert (found["outcome"], found["tries"], found["last_error"][:3]) == ("waiting", number, "503")
        now += pause + timedelta(seconds=1)
    assert sent(app) == 1
    found = client.get(f"{HOOKS}/{hook['id']}/deliveries").json()[0]
    assert (found["outcome"], found["tries"], found["next_try_at"]) == ("failed", len(PAUSES) + 1, None)
    now += timedelta(days=31)
    Postman(app.state.settings, app.state.database).forget()
    assert client.get(f"{HOOKS}/{hook['id']}/deliveries").json() == []


def test_one_that_died_while_sending_is_taken_up_again(
    client: TestClient, app: FastAPI, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    contest_over_http(client)
    hook = added(client, receiver.url)
    client.post(f"{HOOKS}/{hook['id']}/test")

    def dies(*_: object) -> str:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(postman.sending, "send", dies)
        with pytest.raises(MemoryError):
            sent(app)
    assert sent(app) == 0, "it may still be under way"
    monkeypatch.setattr(postman, "clock", lambda session: clock(session) + postman.HELD + timedelta(seconds=1))
    assert sent(app) == 1
    assert len(receiver.got) == 1


def test_switched_off_nothing_is_told(client: TestClient, app: FastAPI, receiver: Receiver) -> None:
    contest_over_http(client)
    hook = added(client, receiver.url)
    client.post(f"{HOOKS}/{hook['id']}/test")
    assert client.patch(f"{HOOKS}/{hook['id']}", json={"on": False}).json()["on"] is False
    assert client.post(f"{HOOKS}/{hook['id']}/test").status_code == 409
    experiment_over_http(client, config={**TINY, "pretrain": None})
    client.post("/api/v1/experiments/1/online-scores", json={"value": 0.8})
    assert sent(app) == 0
    client.patch(f"{HOOKS}/{hook['id']}", json={"on": True})
    assert sent(app) == 1, "what waited before"
    assert client.delete(f"{HOOKS}/{hook['id']}").status_code == 204
    assert client.get(HOOKS).json() == []
    with app.state.database.reading() as session:
        assert session.query(WebhookDelivery).count() == 0


def test_of_every_contest_and_of_one(client: TestClient, receiver: Receiver) -> None:
    contest_over_http(client)
    client.post("/api/v1/contests", json={"name": "Other", "slug": "other"})
    every = added(client, receiver.url, every_contest=True)
    own = added(client, f"{receiver.url}/own")
    assert "secret" not in client.get(HOOKS).json()[0]
    assert [item["id"] for item in client.get("/api/v1/contests/other/webhooks").json()] == [every["id"]]
    assert client.delete(f"/api/v1/contests/other/webhooks/{own['id']}").status_code == 404
    assert client.post(HOOKS, json={"url": receiver.url, "events": ALL, "every_contest": True}).status_code == 409
    for body in (
        {"url": "ftp://x/", "events": ALL},
        {"url": receiver.url, "events": []},
        {"url": "https://x.example/", "events": ["all"]},
    ):
        assert client.post(HOOKS, json=body).status_code == 422


def test_the_page(client: TestClient, app: FastAPI, receiver: Receiver) -> None:
    contest_over_http(client)
    page = "/contests/oppo/webhooks"
    assert "Nobody is told yet" in client.get(page).text
    wrong = client.post(page, data={"url": "http://10.1.2.3/", "events": "score.best"})
    assert wrong.status_code == 422
    for text in ("no public address", "PAIRBOARD_WEBHOOK_ALLOW", 'value="http://10.1.2.3/"'):
        assert text in wrong.text
    made = client.post(page, data={"url": receiver.url, "events": ["score.best", "experiment.failed"]})
    assert made.status_code == 201
    assert "whsec_" in made.text
    shown = client.get(page).text
    assert "whsec_" not in shown
    assert client.post(f"{page}/1", data={"action": "test"}).headers["location"] == page
    receiver.status = 418
    sent(app)
    assert "418" in client.get(page).text
    receiver.status = 200
    for action in ("off", "on", "delete"):
        assert client.post(f"{page}/1", data={"action": action}).status_code == 303
    assert client.post(f"{page}/1", data={"action": "test"}).status_code == 404
