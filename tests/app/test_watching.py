"""What a set-up tells those who watch it: health checks, figures for Prometheus, log lines with their ids."""

import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from app import logs as app_logs
from app.settings import Settings
from ml.contract.logs import about
from tests.factories import TINY, contest_over_http, experiment_over_http
from worker import main as worker_main
from worker.settings import WorkerSettings

WHO = {"worker": "w1", "boot_id": "boot-one"}


def figures(client: TestClient) -> dict[tuple[str, str], float]:
    """Name and first label -> value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name, ",".join(sample.labels.values())] = sample.value
    return found


def test_prometheus_is_told_what_the_rows_say(client: TestClient, worker_headers: dict[str, str]) -> None:
    contest_over_http(client)
    made = experiment_over_http(client, config={**TINY, "data": {**TINY["data"], "repeats": 2}})
    before = figures(client)
    waiting = len(made["runs"])
    assert before["pairboard_runs", "queued"] == waiting
    assert before["pairboard_queue_depth", "pairboard"] == waiting
    assert 0 <= before["pairboard_queue_age_seconds", "pairboard"] < 60
    assert before["pairboard_attempts_total", "lost"] == 0
    run = made["runs"][0]["id"]
    token = client.post(f"/api/v1/runs/{run}/claim", json=WHO, headers=worker_headers).json()["token"]
    lost = {"first": 1, "events": [{"type": "crashed", "reason": "killed"}], "waited_seconds": 70.0}
    mine = {"Authorization": f"Bearer {token}"}
    assert client.post(f"/api/v1/runs/{run}/events", json=lost, headers=mine).status_code == 200
    client.post("/api/v1/workers/heartbeat", json={**WHO, "busy_run_id": None}, headers=worker_headers)
    after = figures(client)
    assert after["pairboard_attempts_total", "lost"] == 1
    assert after["pairboard_workers", "idle"] == 1
    assert after["pairboard_disk_free_bytes", ""] > 0
    buckets = [
        after["pairboard_event_lag_seconds_bucket", edge] - before.get(("pairboard_event_lag_seconds_bucket", edge), 0)
        for edge in ("60.0", "300.0")
    ]
    assert buckets == [0, 1]
    name = "POST,/api/v1/runs/{run_id}/events,200"
    grown = after["pairboard_request_seconds_count", name] - before.get(("pairboard_request_seconds_count", name), 0)
    assert grown == 1


def test_paths_that_nobody_made_are_one_series(client: TestClient) -> None:
    for number in range(3):
        assert client.get(f"/nothing/{number}").status_code == 404
    assert not [key for key in figures(client) if "nothing" in key[1]]


def test_figures_are_for_members(client: TestClient, worker_headers: dict[str, str]) -> None:
    assert client.get("/metrics", headers=worker_headers).status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 403  # by a proxy, unready


def test_live_and_ready(client: TestClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/health/live").json() == client.get("/health/ready").json() == {"ok": True}

    def away(*_: object) -> int:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr("app.runs.queue_queries.queued_count", away)
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/ready")
    assert answer.status_code == 503
    assert "the database can't be read" in answer.json()["error"]["message"]
    assert client.get("/health").status_code == 503


def test_a_database_that_is_away_asks_to_try_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> object:
        raise OperationalError("SELECT", {}, Exception("database or disk is full"))

    monkeypatch.setattr("app.runs.queries.run", away)
    answer = client.get("/api/v1/runs/1")
    assert answer.status_code == 503
    assert "nothing was changed" in answer.json()["error"]["message"]
    assert "database or disk is full" in caplog.text


@pytest.fixture
def plain_log() -> Iterator[None]:
    """Puts the log back as pytest had it."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    others = {name: logging.getLogger(name).level for name in ("worker", "httpx2", "alembic", "kombu.connection")}
    yield
    for name, level_before in others.items():
        logging.getLogger(name).setLevel(level_before)
    for handler in set(root.handlers) - set(before):
        root.removeHandler(handler)
    root.handlers[:], root.level = before, level


def test_json_lines_name_run_attempt_and_request(
    plain_log: None, client: TestClient, worker_headers: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    contest_over_http(client)
    run = experiment_over_http(client, config={**TINY, "pretrain": None})["runs"][0]["id"]
    app_logs.configure(Settings(log_format="json", log_level="debug"))
    headers = {**worker_headers, "X-Request-ID": "from-the-proxy-1"}
    answer = client.post(f"/api/v1/runs/{run}/claim", json=WHO, headers=headers)
    assert answer.headers["X-Request-ID"] == "from-the-proxy-1"
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    (claimed,) = [line for line in lines if line["message"] == "claimed by w1"]
    assert (claimed["run"], claimed["attempt"], claimed["request"]) == (run, 1, "from-the-proxy-1")
    assert (claimed["who"], claimed["level"], claimed["logger"]) == ("web", "INFO", "app.runs.lifecycle")
    assert claimed["time"][:2] == "20"
    (asked,) = [line for line in lines if line["logger"] == "app.request_log"]
    assert (asked["status"], asked["run"]) == (200, run)


def test_an_answer_says_how_long_it_took(client: TestClient) -> None:
    begun = time.perf_counter()
    told = client.get("/api/v1/contests").headers["Server-Timing"]
    taken = 1000 * (time.perf_counter() - begun)

    name, _, milliseconds = told.partition(";dur=")
    assert name == "app"
    assert 0 < float(milliseconds) <= taken + 0.05, "rounded to tenths"


def test_an_id_that_would_forge_a_line_is_not_taken(client: TestClient) -> None:
    given = client.get("/health/live", headers={"X-Request-ID": "a b {injected}"}).headers["X-Request-ID"]
    assert len(given) == 16
    assert "injected" not in given


def test_the_worker_s_lines(
    plain_log: None, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("FORMAT", "json"), ("LEVEL", "warning")):
        monkeypatch.setenv(f"PAIRBOARD_LOG_{variable}", value)
    worker_main._configure_log(WorkerSettings(name="gpu0"))
    with about(run=7, attempt=2):
        logging.getLogger("worker.tasks").warning("the disk failed: %s", OSError(28, "full"))
        logging.getLogger("worker.tasks").info("not told")
    (line,) = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert (line["run"], line["attempt"], line["worker"]) == (7, 2, "gpu0")
    assert line["message"] == "the disk failed: [Errno 28] full"
    monkeypatch.setenv("PAIRBOARD_LOG_FORMAT", "text")
    worker_main._configure_log(WorkerSettings(name="gpu0"))
    with about(run=7):
        logging.getLogger("worker.tasks").warning("hi")
    assert capfd.readouterr().err.endswith(" worker WARNING run=7 hi\n")


def test_many_requests_at_once_all_get_their_answer(client: TestClient, app: FastAPI) -> None:
    """More of them than there are threads and connections."""
    contest_over_http(client)
    number = experiment_over_http(client)["id"]
    with ThreadPoolExecutor(100) as pool:
        found = list(pool.map(lambda _: client.get(f"/api/v1/experiments/{number}").status_code, range(300)))
    assert found == [200] * 300
