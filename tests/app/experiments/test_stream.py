"""Open pages are told what is new: from their cursor on, each point and line once, by one look for all of them."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app import watching
from app.db import clock
from app.errors import Refused
from app.runs import intake, queries, service, stream_service
from app.runs.models import Run
from app.watching import Told, Watches
from ml.contract.events import Crashed, Event, EventBatch, Failed, Printed, Progress
from tests.factories import (
    TINY,
    contest_over_http,
    experiment_over_http,
    make_contest,
    make_experiment,
    make_file,
    storage_in,
)

LEASE = timedelta(hours=1)


def progress(step: int) -> Progress:
    told: dict[str, Any] = {"learning_rate": 1e-3, "samples_per_second": 9, "seconds_left": 1}
    return Progress(stage="finetune", step=step, total_steps=99, epoch=step / 10, loss=1 / step, **told)


@pytest.fixture
def run(session: Session, tmp_path: Path) -> Run:
    contest = make_contest(session)
    make_file(session, storage_in(tmp_path), contest)
    found = make_experiment(session, contest)[1][0]
    service.claim(session, found.id, worker="w1", boot_id="boot-one", lease=LEASE)
    return queries.run(session, found.id)


def tell(session: Session, run: Run, *events: Event) -> None:
    attempt = queries.current_attempt(session, run)
    assert attempt is not None
    batch = EventBatch(first=attempt.stored_events + 1, events=events)
    intake.store(session, run, attempt, batch, LEASE, clock(session))


def losses(news: stream_service.News) -> list[tuple[list[float], list[float]]]:
    return [(curve["x"], curve["y"]) for curve in news.curves if curve["series"] == "loss"]


def lines(news: stream_service.News) -> list[tuple[int, str]]:
    return [(line["number"], line["text"]) for log in news.logs for line in log["lines"]]


def test_each_point_and_line_once(session: Session, run: Run) -> None:
    tell(session, run, progress(1), Printed(lines=("one", "two")))
    seen = stream_service.now(session, [run])
    assert seen == {run.id: (1, 2, 2)}
    nothing = stream_service.news(session, [run], seen)
    assert (nothing.curves, nothing.logs) == ([], [])
    tell(session, run, progress(2), Printed(lines=("three",)), progress(4))
    news = stream_service.news(session, [run], stream_service.cursor_seen(stream_service.cursor_text(seen)))
    assert losses(news) == [([2.0, 4.0], [0.5, 0.25])]
    assert lines(news) == [(3, "three")]
    tell(session, run, progress(5))
    last = stream_service.news(session, [run], news.seen)
    assert losses(last) == [([5.0], [0.2])]
    assert lines(last) == []
    whole = stream_service.news(session, [run], {})
    assert losses(whole) == [([1.0, 2.0, 4.0, 5.0], [1.0, 0.5, 0.25, 0.2])]
    assert lines(whole) == [(1, "one"), (2, "two"), (3, "three")]

    tell(session, run, Crashed(reason="killed"))
    service.claim(session, run.id, worker="w2", boot_id="boot-two", lease=LEASE)
    session.refresh(run)
    tell(session, run, progress(3), Printed(lines=("anew",)))
    again = stream_service.news(session, [run], last.seen)
    assert losses(again) == [([3.0], [pytest.approx(1 / 3)])]
    assert lines(again) == [(1, "anew")]
    assert again.seen == {run.id: (2, 2, 1)}


@pytest.mark.parametrize("text", ["x", "1:2:3", "1:2:3:4,", "1:2:3:-4", "9" * 30 + ":1:1:1"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="cursor of an answer before"):
        stream_service.cursor_seen(text)
    assert stream_service.cursor_seen("-") == stream_service.cursor_seen("") == {}


def test_one_look_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0.01)
    looks: list[frozenset[str]] = []

    def look(languages: frozenset[str]) -> tuple[list[Told], bool]:
        looks.append(languages)
        number = len(looks)
        return [Told("news", str(number), ""), Told("status", "中", "", to="zh")], number < 5

    async def read(watches: Watches, language: str) -> list[str]:
        found = []
        async with watches.follow("key", lambda: look, language) as queue:
            while (told := await queue.get()) is not None:
                found.append(told.data)
        return found

    async def many() -> list[list[str]]:
        watches = Watches()
        found = await asyncio.gather(*(read(watches, "zh" if n % 2 else "en") for n in range(50)))
        assert watches._tasks == {}, "nobody looks for nobody"
        return found

    found = asyncio.run(many())
    assert len(looks) == 5
    assert looks[0] == {"en", "zh"}
    assert found[0] == ["1", "2", "3", "4", "5"]
    assert found[1] == ["1", "中", "2", "中", "3", "中", "4", "中", "5", "中"]


def test_a_slow_reader_is_let_go_and_the_watch_ends_with_its_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "EVERY_S", 0.001)
    monkeypatch.setattr(watching, "BEHIND", 3)
    looks = []

    def look(languages: frozenset[str]) -> tuple[list[Told], bool]:
        looks.append(languages)
        return [Told("news", str(len(looks)), "")], True

    async def slow() -> None:
        watches = Watches()
        async with watches.follow("key", lambda: look, "en") as queue:
            while watches._tasks:
                await asyncio.sleep(0.01)
            said = [queue.get_nowait() for _ in range(queue.qsize())]
        assert said[-1] is None
        assert watches._readers == {}

    asyncio.run(asyncio.wait_for(slow(), 20))
    assert len(looks) < 10


def messages(text: str) -> list[tuple[str, Any, str]]:
    """(kind, data, cursor) of a stream that ended."""
    found = []
    for block in text.strip().split("\n\n"):
        parts = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        found.append((parts["event"], json.loads(parts["data"]), parts["id"]))
    return found


def test_over_http(client: TestClient, worker_headers: dict[str, str]) -> None:
    contest_over_http(client)
    run = experiment_over_http(client, config={**TINY, "pretrain": None})["runs"][0]["id"]
    claim = {"worker": "w1", "boot_id": "boot-one"}
    token = client.post(f"/api/v1/runs/{run}/claim", json=claim, headers=worker_headers).json()["token"]
    page = client.get("/experiments/1").text
    assert f'data-cursor="{run}:1:0:0"' in page
    events = (progress(1), Printed(lines=("one",)), progress(2), Failed(reason="it broke"))
    body = {"first": 1, "events": [event.model_dump(mode="json") for event in events]}
    sent = client.post(f"/api/v1/runs/{run}/events", json=body, headers={"Authorization": f"Bearer {token}"})
    assert sent.status_code == 200

    url = "/api/v1/experiments/1/stream"
    told = messages(client.get(url, params={"after": f"{run}:1:1:0"}, headers={"Accept-Language": "zh"}).text)
    assert [kind for kind, _, _ in told] == ["news", "status", "done"]
    _, news, cursor = told[0]
    assert [curve["x"] for curve in news["curves"] if curve["series"] == "loss"] == [[2.0]]
    assert [line["text"] for line in news["logs"][0]["lines"]] == ["one", "failed: it broke"]
    assert "失败" in told[1][1]
    assert "data-live-done" in told[1][1]
    back = messages(client.get(url, params={"after": "-"}, headers={"Last-Event-ID": cursor}).text)
    assert [kind for kind, _, _ in back] == ["status", "done"], "what the browser says it has is not sent again"
    assert "failed" in back[0][1]
    assert client.get("/api/v1/experiments/1000000/stream").status_code == 404
    assert client.get(url, params={"after": "x"}).status_code == 422
    assert client.get(url, headers=worker_headers).status_code == 403
    assert "data-stream" not in client.get("/experiments/1").text, "nothing moves any more"
