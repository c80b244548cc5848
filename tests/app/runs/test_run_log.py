"""A run's log: its lines in order with numbers that stay, what went wrong first, search, only what is new."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.db import clock
from app.errors import NotFound, Refused
from app.runs import intake, log_queries, log_service, queries, service
from app.runs.log_service import Line, RunLog
from app.runs.models import Run
from ml.contract.events import Crashed, Event, EventBatch, Failed, Log, Printed, Progress
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
    return Progress(
        stage="finetune",
        step=step,
        total_steps=9,
        epoch=0.1,
        loss=0.5,
        learning_rate=1e-3,
        samples_per_second=9,
        seconds_left=1,
    )


@pytest.fixture
def run(session: Session, tmp_path) -> Run:  # type: ignore[no-untyped-def]
    contest = make_contest(session)
    make_file(session, storage_in(tmp_path), contest)
    found = make_experiment(session, contest)[1][0]
    service.claim(session, found.id, worker="w1", boot_id="boot-one", lease=LEASE)
    return queries.run(session, found.id)


def tell(session: Session, run: Run, *events: Event, first: int | None = None) -> None:
    attempt = queries.current_attempt(session, run)
    assert attempt is not None
    batch = EventBatch(first=first or attempt.stored_events + 1, events=events)
    intake.store(session, run, attempt, batch, LEASE, clock(session))


def read(session: Session, run: Run, attempt: int | None = None, after: str = "") -> RunLog:
    return log_service.read(session, run, log_queries.attempt(session, run, attempt), after)


def texts(log: RunLog) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in log.lines]


def test_lines_in_order_and_what_went_wrong(session: Session, run: Run) -> None:
    tell(session, run, Log(message="37% unknown", level="warning"), progress(1), Printed(lines=("loading", "")))
    printed = Printed(
        lines=("Traceback (most recent call last):", '  File "x.py"', "ValueError: 坏", "banana", "loss is NaN now"),
        left_out=12345,
    )
    tell(session, run, progress(2), printed)
    log = read(session, run)
    assert [line.text for line in log.lines][:4] == [
        "37% unknown",
        "loading",
        "",
        "(12,345 bytes of the log are left out here)",
    ]
    assert log.lines[0] == Line(1, "37% unknown", "warning", False)
    assert [line.number for line in log.wrong] == [5, 7, 9]
    assert log.active
    assert [line.number for line in log.having("VALUEERROR: 坏")] == [7]
    assert log.having("%") == log.lines[:1], "a search is plain text"
    tell(session, run, Failed(reason="CUDA out of memory", detail="Traceback\nb"))
    ended = read(session, run)
    assert [line.text for line in ended.lines[-3:]] == ["failed: CUDA out of memory", "Traceback", "b"]
    assert ended.lines[-3].level == "error"
    assert not ended.active


def test_a_last_word_does_not_say_again_what_was_printed(session: Session, run: Run) -> None:
    tell(
        session,
        run,
        Printed(lines=("a", "b", "c")),
        Crashed(reason="killed", detail="(1 earlier lines left out)\nb\nc"),
    )
    assert texts(read(session, run, 1)) == [(1, "a"), (2, "b"), (3, "c"), (4, "crashed: killed")]


def test_only_what_is_new_and_nothing_twice(session: Session, run: Run) -> None:
    tell(session, run, Printed(lines=("one", "two")))
    first = read(session, run)
    tell(session, run, Printed(lines=("one", "two")), first=1)  # its answer got lost, so it is sent again
    assert texts(read(session, run)) == [(1, "one"), (2, "two")]
    tell(session, run, progress(1))
    between = read(session, run, after=first.cursor)
    assert between.lines == []
    tell(session, run, Printed(lines=("three",)))
    news = read(session, run, after=between.cursor)
    assert texts(news) == [(3, "three")]
    assert read(session, run, after=news.cursor).lines == []
    assert texts(read(session, run))[-1:] == texts(news), "numbers stay"

    tell(session, run, Crashed(reason="killed"))
    service.claim(session, run.id, worker="w2", boot_id="boot-two", lease=LEASE)
    session.refresh(run)
    tell(session, run, Printed(lines=("anew",)))
    assert texts(read(session, run, after=news.cursor)) == [(1, "anew")], "of the attempt that followed, from its begin"
    assert texts(read(session, run, 1))[-1] == (4, "crashed: killed")
    with pytest.raises(NotFound, match="no attempt 3"):
        read(session, run, 3)
    with pytest.raises(Refused, match="cursor of an answer before"):
        read(session, run, after="1:2")


def test_progress_is_not_read_for_it(session: Session, run: Run) -> None:
    """The lines are found by an index of their own."""
    if session.get_bind().dialect.name != "sqlite":
        pytest.skip("Postgres plans by statistics that a small table does not have")
    query = (
        f"EXPLAIN QUERY PLAN SELECT number FROM run_events WHERE attempt_id = 1 AND number > 2 AND {log_queries.LOG}"
    )
    plan = " ".join(str(row) for row in session.execute(text(query)))
    assert "ix_run_events_log" in plan


def test_page_and_rest(client: TestClient, worker_headers: dict[str, str]) -> None:
    contest_over_http(client)
    run_id = experiment_over_http(client, config={**TINY, "pretrain": None})["runs"][0]["id"]
    url, api = f"/runs/{run_id}/log", f"/api/v1/runs/{run_id}/log"
    assert "nothing yet" in client.get(url).text
    claim = {"worker": "w1", "boot_id": "boot-one"}
    token = client.post(f"/api/v1/runs/{run_id}/claim", json=claim, headers=worker_headers).json()["token"]
    lines = [f"row {n}" for n in range(1, 1001)]
    lines[299] = "RuntimeError: <b>bad</b>"
    body = {"first": 1, "events": [Printed(lines=tuple(lines)).model_dump(mode="json")]}
    sent = client.post(f"/api/v1/runs/{run_id}/events", json=body, headers={"Authorization": f"Bearer {token}"})
    assert sent.status_code == 200, sent.text

    shown = client.get(url).text
    for part in ("1 line looks like an error", "RuntimeError: &lt;b&gt;bad&lt;/b&gt;", "row 1000", "row 601<"):
        assert part in shown, part
    assert f'href="{url}?attempt=1&amp;line=300#L300"' in shown
    assert "row 600<" not in shown
    around = client.get(f"{url}?attempt=1&line=300").text
    assert 'id="L300"' in around
    assert 'id="L101"' in around
    assert 'id="L1000"' not in around
    found = client.get(f"{url}?search=ROW 99").text
    assert "11 lines hold “ROW 99”" in found
    assert "row 98<" not in found
    assert "0 lines hold" in client.get(f"{url}?search=nowhere").text
    assert client.get(f"{url}?attempt=2").status_code == 404
    page = client.get("/experiments/1").text
    assert f'data-log="{api}?attempt=1"' in page
    assert "RuntimeError: &lt;b&gt;" in page

    whole = client.get(api, params={"limit": 2}).json()
    assert (whole["total"], [line["text"] for line in whole["lines"]]) == (1000, ["row 999", "row 1000"])
    assert client.get(api, params={"after": whole["cursor"]}).json()["lines"] == []
    assert [line["number"] for line in client.get(api, params={"wrong": True}).json()["lines"]] == [300]
    assert client.get(api, params={"search": "row 99", "attempt": 1}).json()["total"] == 11
    assert client.get(f"{api}.txt").text.split("\n")[299:301] == ["RuntimeError: <b>bad</b>", "row 301"]
    assert client.get(f"{api}?after=x").status_code == 422
