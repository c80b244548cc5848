"""The queue and the workers over HTTP: what pages and the REST API show, and what their buttons do."""

import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.db import clock
from app.runs import queries
from ml.contract.hardware import Card, Hardware, WorkerMachine
from tests.factories import TINY, contest_over_http, experiment_over_http

NO_PRETRAIN = {**TINY, "pretrain": None}
CARD = Card(
    index=0, name="NVIDIA H200", memory_bytes=150 * 10**9, memory_used_bytes=10**9, utilization=37, temperature=45
)
MACHINE = WorkerMachine(
    host="bench-1",
    versions={"torch": "2.13.0"},
    hardware=Hardware(
        cpu_count=16,
        cpu_percent=12.5,
        memory_bytes=128 * 10**9,
        memory_used_bytes=10**9,
        disk_free_bytes=10**9,
        cards=(CARD,),
    ),
).model_dump(mode="json")


def beat(client: TestClient, headers: dict[str, str], name: str = "w1", **more: Any) -> dict[str, Any]:
    body = {"worker": name, "boot_id": f"boot-of-{name}", "machine": MACHINE, **more}
    answer = client.post("/api/v1/workers/heartbeat", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def claim(client: TestClient, headers: dict[str, str], name: str = "w1", **more: Any) -> Any:
    body = {"worker": name, "boot_id": f"boot-of-{name}", **more}
    return client.post("/api/v1/workers/claim", json=body, headers=headers)


def shown(client: TestClient, path: str, *texts: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    for text in texts:
        assert text in answer.text, text
    return answer.text


@pytest.fixture
def two(client: TestClient) -> tuple[int, int]:
    """The runs of two experiments that wait."""
    contest_over_http(client)
    found = [experiment_over_http(client, name=name, config={**NO_PRETRAIN, "seed": len(name)}) for name in ("a", "bb")]
    return found[0]["runs"][0]["id"], found[1]["runs"][0]["id"]


def test_an_empty_queue(client: TestClient) -> None:
    shown(client, "/queue", "Nothing runs", "Nothing waits", "pairboard worker --queues pairboard")
    shown(client, "/workers", "No worker has reported yet")
    assert client.get("/api/v1/queue").json() == {"waiting": [], "running": [], "paused": []}
    assert client.get("/api/v1/workers").json() == []


def test_a_queue_at_work(client: TestClient, two: tuple[int, int], worker_headers: dict[str, str]) -> None:
    shown(client, "/queue", "no worker is connected: start one with <code>pairboard worker</code>")
    assert claim(client, worker_headers).json()["job"]["run_id"] == two[0]
    page = shown(client, "/queue", "next: the worker is busy (run 1 on w1)", "Cancel all 2 runs")
    assert shown(client, "/queue/rows").strip().split("\n")[-1] in page
    answer = client.get("/api/v1/queue").json()
    assert [item["run_id"] for item in answer["running"]] == [two[0]]
    (waits,) = answer["waiting"]
    assert (waits["run_id"], waits["position"], waits["experiments"]) == (two[1], 1, [2])
    shown(client, "/experiments/2", "Next: the worker is busy", "place 1")
    assert client.post("/queue/cancel").status_code == 303
    shown(client, "/queue", "being cancelled", "Nothing waits")


def test_the_buttons_of_the_queue(client: TestClient, two: tuple[int, int]) -> None:
    def line() -> list[int]:
        return [item["run_id"] for item in client.get("/api/v1/queue").json()["waiting"]]

    first, second = two
    assert client.post(f"/runs/{second}/move", data={"to": "first"}).headers["location"] == "/queue"
    assert line() == [second, first]
    assert client.post(f"/runs/{first}/priority", data={"priority": "urgent"}).status_code == 303
    assert line() == [first, second]
    assert client.post(f"/runs/{first}/priority", data={"priority": "extreme"}).status_code == 422
    assert client.post(f"/runs/{first}/move", data={"to": "sideways"}).status_code == 422
    assert client.post("/queues/pairboard/pause", data={"reason": "new <card>"}).status_code == 303
    shown(client, "/queue", "Paused by local", "new &lt;card&gt;", "Resume pairboard")
    shown(client, "/experiments/1", "Queue pairboard is paused by local")
    assert client.post("/queues/pairboard/resume").status_code == 303
    assert client.post(f"/runs/{first}/cancel").status_code == 303
    assert line() == [second]
    assert client.post("/experiments/1/retry").headers["location"] == "/experiments/1"
    assert line() == [first, second]  # as urgent as it was
    assert client.post("/experiments/1/retry").status_code == 409


def test_the_queue_by_rest(client: TestClient, two: tuple[int, int]) -> None:
    first, second = two
    moved = client.post(f"/api/v1/runs/{second}/move", json={"to": "first"})
    assert moved.status_code == 200, moved.text
    changed = client.patch(f"/api/v1/runs/{first}", json={"queue": "gpu", "max_hours": 1.5})
    assert changed.json()["placement"] == {
        "queue": "gpu",
        "priority": 0,
        "max_attempts": 5,
        "max_hours": 1.5,
        "gpu_memory_gb": None,
    }
    assert client.patch(f"/api/v1/runs/{first}", json={"max_hours": None}).json()["placement"]["max_hours"] is None
    wrong = client.patch(f"/api/v1/runs/{first}", json={"priority": 1000})
    assert wrong.status_code == 422
    assert "placement.priority" in wrong.json()["error"]["message"]
    assert client.put("/api/v1/queues/gpu/pause", json={"reason": "r"}).status_code == 204
    assert client.get("/api/v1/queue").json()["paused"][0]["name"] == "gpu"
    assert client.delete("/api/v1/queues/gpu/pause").status_code == 204
    assert client.delete("/api/v1/queues/gpu/pause").status_code == 404
    assert client.post("/api/v1/queue/cancel", json={"queue": "gpu"}).json() == {"runs": 1}
    assert client.post("/api/v1/experiments/1/retry").json()["runs"][0]["status"] == "queued"
    assert client.post("/api/v1/queue/cancel", json={}).json() == {"runs": 2}


def test_a_placement_is_asked_for(client: TestClient) -> None:
    contest_over_http(client)
    asked = {"queue": "gpu", "priority": 10, "max_hours": 6, "gpu_memory_gb": 18}
    made = experiment_over_http(client, config=TINY, placement=asked)
    assert {run["placement"]["queue"] for run in made["runs"]} == {"gpu"}
    assert made["runs"][0]["placement"] == {**asked, "max_attempts": 5}
    assert experiment_over_http(client, config=TINY)["runs"][-1]["placement"]["queue"] == "pairboard"
    body = {"name": "x", "config": TINY, "placement": {"max_hours": -1}}
    wrong = client.post("/api/v1/contests/oppo/experiments", json=body)
    assert wrong.status_code == 422
    assert wrong.json()["error"]["fields"][0]["field"] == "body.placement.max_hours"


def test_the_form_asks_for_a_placement(client: TestClient, worker_headers: dict[str, str]) -> None:
    contest_over_http(client)
    beat(client, worker_headers, queues=["gpu", "pairboard"])
    shown(client, "/experiments/new?contest=oppo", '<option value="gpu">', 'name="placement.queue" value="pairboard"')
    typed = {
        "contest": "oppo",
        "name": "one",
        "placement.queue": "gpu",
        "placement.priority": "urgent",
        "placement.max_hours": "2.5",
        "placement.gpu_memory_gb": "",
    }
    sent = client.post("/experiments", data=typed)
    assert sent.status_code == 303, sent.text
    asked = client.get("/api/v1/experiments/1").json()["runs"][0]["placement"]
    assert asked == {"queue": "gpu", "priority": 10, "max_attempts": 5, "max_hours": 2.5, "gpu_memory_gb": None}
    cloned = shown(client, "/experiments/new?contest=oppo&clone=1", 'name="placement.queue" value="gpu"', 'value="2.5"')
    assert re.search(r"<option value=\"urgent\" selected>", cloned)
    wrong = client.post("/experiments", data={**typed, "placement.max_hours": "soon", "placement.queue": "a b"})
    assert wrong.status_code == 422
    for text in ('value="soon"', 'value="a b"', "valid number", "should match pattern"):
        assert text in wrong.text, text


def test_workers_are_shown_and_drained(
    app: FastAPI, client: TestClient, two: tuple[int, int], worker_headers: dict[str, str]
) -> None:
    assert beat(client, worker_headers, queues=["gpu", "pairboard"]) == {"ok": True, "draining": False}
    page = shown(client, "/workers", "bench-1", "NVIDIA H200", "37% busy", "45 °C", "torch 2.13.0", "gpu, pairboard")
    assert shown(client, "/workers/rows").strip().split("\n")[-1] in page
    assert client.post("/workers/w1/drain", data={"draining": "true"}).status_code == 303
    shown(client, "/workers", "draining", "Give w1 work again")
    assert beat(client, worker_headers)["draining"] is True
    assert claim(client, worker_headers).status_code == 204
    assert client.patch("/api/v1/workers/w1", json={"draining": False}).json()["draining"] is False
    assert claim(client, worker_headers).status_code == 200
    (row,) = client.get("/api/v1/workers").json()
    assert (row["busy_run_id"], row["away"], row["machine"]["hardware"]["cpu_count"]) == (two[0], False, 16)
    assert client.patch("/api/v1/workers/nobody", json={"draining": True}).status_code == 404
    assert client.post("/workers/w1/forget").status_code == 409
    with app.state.database.writing() as session:
        queries.workers(session)[0].last_seen_at -= timedelta(hours=1)
    shown(client, "/workers", "away", "Last heard of")
    client.post("/api/v1/queue/cancel", json={})
    with app.state.database.writing() as session:
        for attempt in queries.open_attempts(session):
            attempt.outcome, attempt.ended_at = "cancelled", clock(session)
    assert client.post("/workers/w1/forget").status_code == 303
    shown(client, "/workers", "No worker has reported yet")


def test_a_silent_worker_is_shown(
    app: FastAPI, client: TestClient, two: tuple[int, int], worker_headers: dict[str, str]
) -> None:
    claim(client, worker_headers)
    assert "silent" not in shown(client, "/queue")
    with app.state.database.writing() as session:
        queries.open_attempts(session)[0].heartbeat_at -= timedelta(seconds=75)
    for path, text in (("/queue", "its lease ends in 15 min"), ("/experiments/1", "chip silent")):
        assert re.search(r"Its worker has been silent for (7|8)\d s", shown(client, path, text))
