"""The call that scripts make most: by a file's hash, by name; and what it answers when that is not clear."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.app.submissions.conftest import Finish, predicted
from tests.factories import experiment_over_http

URL = "/api/v1/contests/oppo/online-scores"


def post(client: TestClient, status: int, body: dict[str, Any], key: str = "") -> Any:
    answer = client.post(URL, json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.status_code == status, answer.text
    return answer.json()


def owner(client: TestClient, score: dict[str, Any]) -> int:
    found = client.get(f"/api/v1/submissions/{score['submission_id']}").json()
    number: int = found["experiment_id"]
    return number


def test_by_hash_by_name_and_by_number(client: TestClient, finish: Finish) -> None:
    first, second = finish("n-gram mask", seed=1), finish("twelve layers", seed=2)
    by_hash = post(client, 201, {"value": 0.87, "file_sha256": second["sha256"]})
    by_begin = post(client, 201, {"value": 0.87, "file_sha256": first["sha256"][:8].upper()})
    by_name = post(client, 201, {"value": 0.88, "experiment": " n-gram mask "})
    by_number = [post(client, 201, {"value": 0.88, "experiment": name}) for name in (1, "1", "#1")]
    by_both = post(client, 201, {"value": 0.88, "experiment": "n-gram mask", "file_sha256": first["sha256"]})
    found = [owner(client, score) for score in (by_hash, by_begin, by_name, *by_number, by_both)]
    assert found == [second["id"], *[first["id"]] * 6]
    by_submission = post(client, 201, {"value": 0.8, "submission": by_hash["submission_id"]})
    assert by_submission["submission_id"] == by_hash["submission_id"]
    assert owner(client, post(client, 201, {"value": 0.81, "corrects": by_submission["id"]})) == second["id"]


def test_a_file_that_was_made_elsewhere_is_known_once_it_was_told(client: TestClient, finish: Finish) -> None:
    finish("first")
    sha256 = "ab" * 32
    unknown = post(client, 404, {"value": 0.87, "file_sha256": sha256})["error"]
    assert "has a file whose hash is abababababababab…: name the experiment" in unknown["message"]
    told = post(client, 201, {"value": 0.87, "file_sha256": sha256, "experiment": "first"})
    assert client.get(f"/api/v1/submissions/{told['submission_id']}").json()["file_sha256"] == sha256
    post(client, 201, {"value": 0.88, "file_sha256": sha256})


def test_what_is_not_clear(client: TestClient, finish: Finish) -> None:
    first = finish("n-gram mask", seed=1)
    finish("other", seed=2)
    one, two = (experiment_over_http(client, name="same", config={"seed": seed})["id"] for seed in (5, 6))
    several = post(client, 409, {"value": 0.5, "experiment": "same"})["error"]
    assert f"the experiments {one}, {two}: name it by its number" in several["message"]
    near = post(client, 404, {"value": 0.5, "experiment": "ngram masks"})["error"]
    assert "near are 'n-gram mask'" in near["message"]
    assert near["fields"][0]["value"] == "ngram masks"
    for name in ("zzzz", "99", "#99"):
        assert "has no experiment" in post(client, 404, {"value": 0.5, "experiment": name})["error"]["message"]
    assert "say of what it is" in post(client, 422, {"value": 0.5})["error"]["message"]
    assert "is no SHA-256" in post(client, 422, {"value": 0.5, "file_sha256": "xyz"})["error"]["message"]
    clash = post(client, 422, {"value": 0.5, "file_sha256": first["sha256"], "experiment": "other"})["error"]
    assert "but 'other' is 2" in clash["message"]
    twin = finish("twin", predicted(1), seed=7)
    both = post(client, 409, {"value": 0.5, "file_sha256": first["sha256"]})["error"]
    assert f"the experiments {first['id']}, {twin['id']} have files" in both["message"]
    clear = post(client, 201, {"value": 0.5, "file_sha256": first["sha256"], "experiment": "twin"})
    assert owner(client, clear) == twin["id"]
    for body in ({"submission": 99}, {"corrects": 99}):
        assert client.post(URL, json={"value": 0.5, **body}).status_code in {404, 422}
    assert client.post("/api/v1/contests/none/online-scores", json={"value": 0.5}).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"value": 87.8}, "did you mean 0.878?"),
        ({"value": "0.8"}, "value"),
        ({"value": 0.8, "board": "x" * 21}, "at most 20 printable"),
        ({"value": 0.8, "board": "a\nb"}, "at most 20 printable"),
        ({"value": 0.8, "time": "yesterday"}, "'yesterday' is no time"),
        ({"value": 0.8, "corrects": 0}, "corrects"),
        ({"value": 0.8, "corrects": 10**6}, "has no online score 1000000"),
        ({"value": 0.8, "submission": 1 << 63}, "submission"),
        ({"value": 0.8, "sha": "x"}, "sha"),
    ],
)
def test_a_refused_body(client: TestClient, finish: Finish, body: dict[str, Any], message: str) -> None:
    finish("first")
    assert message in post(client, 422, {"experiment": "first", **body})["error"]["message"]
    assert client.get("/api/v1/contests/oppo/submissions").json() == []


def test_one_key_is_one_score_of_one_experiment(client: TestClient, finish: Finish) -> None:
    finish("first", seed=1)
    finish("second", seed=2)
    body = {"value": 0.87, "experiment": "first", "board": "A"}
    first = post(client, 201, body, "k")
    assert post(client, 200, body, "k") == first
    assert post(client, 200, {**body, "board": ""}, "k") == first, "the board came from the submission"
    assert "was used for 0.87" in post(client, 409, {**body, "board": "B"}, "k")["error"]["message"]
    assert "was used for experiment 1" in post(client, 409, {**body, "experiment": "second"}, "k")["error"]["message"]
    assert len(client.get("/api/v1/contests/oppo/submissions").json()) == 1


def test_many_at_once_with_one_key(client: TestClient, finish: Finish) -> None:
    """Retries that cross each other, by both calls: one score, one submission, one place used."""
    number = finish("first")["id"]
    calls = [
        (URL, {"value": 0.5, "experiment": "first"}),
        (f"/api/v1/experiments/{number}/online-scores", {"value": 0.5}),
    ]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: client.post(calls[n % 2][0], json=calls[n % 2][1], headers={"Idempotency-Key": "one"}),
                range(16),
            )
        )
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert client.get("/api/v1/contests/oppo/quota").json()["used"] == 1


def test_many_at_once_without_a_key_leave_one_latest(client: TestClient, finish: Finish) -> None:
    number = finish("first")["id"]
    with ThreadPoolExecutor(8) as pool:
        url = f"/api/v1/experiments/{number}/online-scores"
        list(pool.map(lambda n: client.post(url, json={"value": n / 100}), range(12)))
    scores = client.get(f"/api/v1/experiments/{number}").json()["scores"]
    row = client.get("/api/v1/contests/oppo/leaderboard").json()["rows"][0]["online"]
    assert len(scores) == row["count"] == 12
    assert row["value"] == scores[-1]["value"]
    assert (row["best"] or row["value"]) == 0.11
    assert client.get("/api/v1/contests/oppo/quota").json()["used"] == 12
