"""Online scores: append-only, once however often they are sent, and never a number that can't be one."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.factories import contest_over_http, experiment_over_http

KEY = {"Idempotency-Key": "9b2f"}


@pytest.fixture
def url(client: TestClient) -> str:
    contest_over_http(client)
    return f"/api/v1/experiments/{experiment_over_http(client)['id']}/online-scores"


def online(client: TestClient, url: str) -> list[dict[str, Any]]:
    scores = client.get(url.removesuffix("/online-scores")).json()["scores"]
    return [score for score in scores if score["split"] == "online"]


def test_the_same_key_is_one_score(client: TestClient, url: str) -> None:
    body = {"value": 0.8778, "note": "board A"}
    first, again = (client.post(url, json=body, headers=KEY) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    other = client.post(url, json={"value": 0.8779}, headers=KEY)
    assert other.status_code == 409
    assert "was used for 0.8778 'board A' before" in other.json()["error"]["message"]
    assert [score["value"] for score in online(client, url)] == [0.8778]


def test_without_a_key_each_post_is_a_score_and_the_latest_is_shown(client: TestClient, url: str) -> None:
    for value in (0.88, 0.87):
        assert client.post(url, json={"value": value}).status_code == 201
    assert [score["value"] for score in online(client, url)] == [0.88, 0.87]
    row = client.get("/api/v1/contests/oppo/leaderboard").json()["rows"][0]
    assert (row["online"]["value"], row["online"]["count"]) == (0.87, 2)


def test_many_at_once_with_one_key(client: TestClient, url: str) -> None:
    """A client that retries before the first answer came: one score, and every answer the same."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post(url, json={"value": 0.5}, headers=KEY), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
    assert len(online(client, url)) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"value": NaN}', "value"),
        ('{"value": Infinity}', "value"),
        ('{"value": 1e999}', "value"),
        ('{"value": 87.78}', "did you mean 0.8778?"),
        ('{"value": -0.1}', "outside the range of AUC (0 to 1)"),
        ('{"value": "0.8"}', "value"),
        ('{"value": true}', "value"),
        ('{"value": 0.8, "note": 3}', "note"),
        ('{"value": 0.8, "nots": "x"}', "nots"),
        ("{}", "value"),
        ("[", "JSON"),
    ],
)
def test_refused(client: TestClient, url: str, body: str, message: str) -> None:
    answer = client.post(url, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert message in answer.json()["error"]["message"]
    assert online(client, url) == []


def test_a_key_that_is_no_key(client: TestClient, url: str) -> None:
    answer = client.post(url, json={"value": 0.5}, headers={"Idempotency-Key": "x" * 201})
    assert answer.status_code == 422
    assert "201 characters" in answer.json()["error"]["message"]


def test_no_such_experiment(client: TestClient) -> None:
    answer = client.post("/api/v1/experiments/1000000/online-scores", json={"value": 0.5})
    assert answer.status_code == 404
    assert "1000000" in answer.json()["error"]["message"]
