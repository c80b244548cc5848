"""What workers call over HTTP: tokens, claims, events, files; and what happens to the wrong ones."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from ml.contract.events import Artifact, Failed, Finished, Log
from tests.factories import TINY, contest_over_http, experiment_over_http, upload_over_http

WHO = {"worker": "w1", "boot_id": "boot-one"}
NO_PRETRAIN = {**TINY, "pretrain": None}


@pytest.fixture
def run_id(client: TestClient) -> int:
    contest_over_http(client)
    found: int = experiment_over_http(client, config=NO_PRETRAIN)["runs"][0]["id"]
    return found


def claim(client: TestClient, run_id: int, headers: dict[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    answer = client.post(f"/api/v1/runs/{run_id}/claim", json=WHO, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json(), {"Authorization": f"Bearer {answer.json()['token']}"}


def batch(first: int, *events: Any) -> dict[str, Any]:
    return {"first": first, "events": [event.model_dump(mode="json") for event in events]}


def test_a_worker_carries_a_run(client: TestClient, run_id: int, worker_headers: dict[str, str]) -> None:
    claimed, mine = claim(client, run_id, worker_headers)
    train = claimed["job"]["inputs"][0]
    fetched = client.get(f"/api/v1/runs/{run_id}/inputs/{train['sha256']}", headers=mine)
    assert hashlib.sha256(fetched.content).hexdigest() == train["sha256"] == fetched.headers["X-Content-SHA256"]
    weights = b"weights" * 1000
    sha256 = upload_over_http(client, run_id, "model.safetensors", weights, mine)
    assert upload_over_http(client, run_id, "model.safetensors", weights, mine) == sha256
    event = Artifact(name="model.safetensors", path="model.safetensors", sha256=sha256, size=len(weights))
    sent = client.post(
        f"/api/v1/runs/{run_id}/events", json=batch(1, Log(message="hi"), event, Finished(seconds=1)), headers=mine
    )
    assert sent.json() == {"stored": 3, "stop": False}
    run = client.get(f"/api/v1/runs/{run_id}").json()
    assert run["status"] == "finished"
    assert [item["sha256"] for item in run["artifacts"]] == [sha256]
    assert client.get(f"/api/v1/runs/{run_id}/artifacts/model.safetensors").content == weights


def test_tokens_open_only_their_own_doors(client: TestClient, run_id: int, worker_headers: dict[str, str]) -> None:
    other = experiment_over_http(client, config={**NO_PRETRAIN, "seed": 9})["runs"][0]["id"]
    _, mine = claim(client, run_id, worker_headers)
    assert client.post(f"/api/v1/runs/{run_id}/claim", json=WHO).status_code == 401
    assert client.post(f"/api/v1/runs/{other}/events", json=batch(1), headers=mine).status_code == 403
    assert client.post(f"/api/v1/runs/{run_id}/events", json=batch(1)).status_code == 401
    assert client.post(f"/api/v1/runs/{run_id}/events", json=batch(1), headers=worker_headers).status_code == 401
    assert client.get("/api/v1/contests", headers=worker_headers).status_code == 403
    assert client.get("/api/v1/contests", headers={"Authorization": "Bearer pb-member_guess"}).status_code == 401
    assert client.get("/api/v1/contests", headers=mine).status_code == 401


def test_cancel_reaches_the_worker_in_the_next_answer(
    client: TestClient, run_id: int, worker_headers: dict[str, str]
) -> None:
    _, mine = claim(client, run_id, worker_headers)
    assert client.post(f"/api/v1/runs/{run_id}/heartbeat", headers=mine).json()["stop"] is False
    assert client.post(f"/api/v1/runs/{run_id}/cancel").json()["cancel_requested"] is True
    assert client.post(f"/api/v1/runs/{run_id}/heartbeat", headers=mine).json()["stop"] is True


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"first": 0, "events": []}',
        b'{"first": 1, "events": [{"type": "unknown"}]}',
        b'{"first": 1, "events": [{"type": "log", "message": "x", "extra": 1}]}',
        b'{"first": 1, "events": [{"type": "finished", "seconds": NaN}]}',
        b'{"first": 1, "events": [{"type": "finished", "seconds": 1e999}]}',
        b'{"first": 1, "events": [{"type": "log", "message": "half a character: \\ud800"}]}',
    ],
)
def test_a_malformed_batch_is_refused_and_changes_nothing(
    client: TestClient, run_id: int, worker_headers: dict[str, str], body: bytes
) -> None:
    _, mine = claim(client, run_id, worker_headers)
    answer = client.post(
        f"/api/v1/runs/{run_id}/events", content=body, headers={**mine, "Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]
    assert client.get(f"/api/v1/runs/{run_id}").json()["status"] == "running"


def test_lost_files_are_said_to_be_lost(
    app: FastAPI, client: TestClient, run_id: int, worker_headers: dict[str, str]
) -> None:
    claimed, mine = claim(client, run_id, worker_headers)
    sha256 = claimed["job"]["inputs"][0]["sha256"]
    Path(app.state.storage.path(sha256)).unlink()
    answer = client.get(f"/api/v1/runs/{run_id}/inputs/{sha256}", headers=mine)
    assert answer.status_code == 404
    assert "no longer in the data folder" in answer.json()["error"]["message"]


def test_a_run_that_printed_a_nul_can_end(client: TestClient, run_id: int, worker_headers: dict[str, str]) -> None:
    """Postgres keeps no NUL: the last word of a crash was refused there, and the run waited for its lease to end."""
    _, mine = claim(client, run_id, worker_headers)
    told = batch(1, Log(message="a\0b"), Failed(reason="out of \0 memory", detail="line\0\nline"))
    answer = client.post(f"/api/v1/runs/{run_id}/events", json=told, headers=mine)
    assert answer.json() == {"stored": 2, "stop": False}
    run = client.get(f"/api/v1/runs/{run_id}").json()
    assert (run["status"], run["reason"]) == ("failed", "out of \ufffd memory")
    lines = client.get(f"/api/v1/runs/{run_id}/log").json()["lines"]
    assert [line["text"] for line in lines][:2] == ["a\ufffdb", "failed: out of \ufffd memory"]
