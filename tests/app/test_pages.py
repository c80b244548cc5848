"""Every page and fragment rendered in each of its states; an undefined name in a template is an error."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import app.web as web
from ml.contract.events import (
    Audited,
    DataRead,
    Evaluated,
    Failed,
    Finished,
    Measured,
    Progress,
    Scored,
    Started,
    Verified,
)
from ml.contract.hardware import Card, Hardware
from ml.contract.leaks import CHECKS, SECONDS, Check, Example
from ml.contract.scores import Scores
from tests.factories import TINY, contest_over_http, experiment_over_http

SCORES = Scores(roc_auc=0.75, accuracy=0.7, f1=0.6, log_loss=0.5)
AUDITED = Audited(
    verdict="suspicious",
    seconds=0.25,
    checks=tuple(
        Check(
            name=name,
            level="suspicious" if name == "exact" else "info",
            count=1,
            of=10,
            second=1 if name in SECONDS else None,
            limit=0.0 if name == "exact" else None,
            examples=(Example(line=3, a="11 12", b="13", label=1, train_line=7, train_a="11 12", train_b="13"),),
        )
        for name in CHECKS
    ),
)
EVENTS = (
    Started(
        device="cpu",
        device_name="chip",
        threads=2,
        code_version="0" * 16,
        python="3.11",
        torch="2.13",
        transformers="5.17",
    ),
    DataRead(
        unit="ids",
        train_rows=50,
        valid_rows=10,
        test_rows=5,
        vocab_size=70,
        unknown_rate=0.01,
        components=40,
        largest_component_rows=3,
        split_sha256="ab" * 32,
    ),
    AUDITED,
    Progress(
        stage="finetune",
        step=3,
        total_steps=9,
        epoch=0.3,
        loss=0.6,
        learning_rate=1e-3,
        samples_per_second=50,
        seconds_left=4,
        tokens_per_second=1234.5,
        model_flops_utilization=0.173,
        peak_memory_bytes=1_500_000_000,
    ),
    Measured(
        hardware=Hardware(
            cpu_count=16,
            cpu_percent=12.5,
            memory_bytes=10**9,
            memory_used_bytes=10**8,
            disk_free_bytes=1,
            cards=(Card(index=3, name="H200", memory_bytes=10**9, memory_used_bytes=10**8, utilization=37),),
        )
    ),
    Evaluated(epoch=1, scores=SCORES),
)
END = (
    Verified(rows=15, predictions_sha256="cd" * 32),
    Scored(split="train", rows=50, scores=SCORES),
    Scored(split="valid", rows=10, scores=SCORES),
    Finished(seconds=3),
)
Carry = Callable[[int, tuple[object, ...]], None]


@pytest.fixture
def carry(client: TestClient, worker_headers: dict[str, str]) -> Carry:
    """Claim a run and report these events of it."""

    def do(run_id: int, events: tuple[object, ...]) -> None:
        who = {"worker": "w1", "boot_id": "boot-one"}
        claim = client.post(f"/api/v1/runs/{run_id}/claim", json=who, headers=worker_headers).json()
        headers = {"Authorization": f"Bearer {claim['token']}"}
        body = {"first": 1, "events": [event.model_dump(mode="json") for event in events]}  # type: ignore[attr-defined]
        answer = client.post(f"/api/v1/runs/{run_id}/events", json=body, headers=headers)
        assert answer.status_code == 200, answer.text

    return do


def shown(client: TestClient, path: str, *texts: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    for text in texts:
        assert text in answer.text, text
    return answer.text


def test_an_empty_house(client: TestClient) -> None:
    shown(client, "/", "/contests/new")
    shown(client, "/contests/new", "roc_auc")
    shown(client, "/sign-in", "password")
    client.post("/contests", data={"name": "Oppo", "slug": "oppo", "metric": "roc_auc"})
    shown(client, "/", "Oppo")
    shown(client, "/contests/oppo", "No experiment yet")
    shown(client, "/contests/oppo/files")
    shown(client, "/contests/oppo/format", "0.9731254")
    shown(client, "/contests/oppo/sealed", "The contest has no test file yet")
    shown(client, "/contests/oppo/valid-online", "No row has a valid and an online score yet")
    shown(client, "/experiments/new?contest=oppo", "Upload one first")
    shown(client, "/nowhere", "there is nothing at /nowhere", status=404)
    shown(client, "/contests/nowhere", status=404)
    shown(client, "/experiments/1000000", status=404)
    shown(client, "/experiments/new?contest=oppo&preset=demmo", "there is no preset", status=422)


def test_an_experiment_in_each_of_its_states(client: TestClient, carry: Carry) -> None:
    contest_over_http(client)
    config = {**TINY, "pretrain": None}
    for name, events, texts in (
        ("waits", None, ["queued", "No worker is connected"]),
        ("works", EVENTS, ["running", "step 3", "0.75000", "Its machine: GPU 3 37% busy"]),
        ("done", EVENTS + END, ["finished", "identical to the bit", "ab" * 6, "audit: suspicious"]),
        ("broken", (*EVENTS, Failed(reason="it broke", detail="Traceback")), ["failed", "it broke", "Traceback"]),
    ):
        found = experiment_over_http(client, name=name, config={**config, "seed": len(name)})
        if events is not None:
            carry(found["runs"][0]["id"], events)
        page = shown(client, f"/experiments/{found['id']}", name, *texts[1:])
        fragment = shown(client, f"/experiments/{found['id']}/status", texts[0])
        assert ("data-live-done" in fragment) == (name in {"done", "broken"})
        assert fragment.strip().split("\n")[-1].strip() in page
    table = shown(client, "/contests/oppo", "waits", "works", "done", "broken", "0.75000")
    rows = shown(client, "/contests/oppo/rows", "waits", "broken", "it broke")
    assert table.count('name="ids"') == rows.count('name="ids"') == 4
    cancelled = client.post("/experiments/1/cancel")
    assert cancelled.headers["location"] == "/experiments/1"
    shown(client, "/experiments/1", "cancelled")


def test_the_numbers_of_a_chart(client: TestClient, carry: Carry) -> None:
    contest_over_http(client)
    run = experiment_over_http(client, config={**TINY, "pretrain": None})["runs"][0]["id"]
    shown(client, f"/curves?run={run}&series=loss", "It told none")
    carry(run, EVENTS)
    shown(client, "/experiments/1", f"/curves?run={run}&amp;series=loss", "data-charts")
    shown(client, f"/curves?run={run}&series=loss", "Showing 1 of 1 points", "0.6", "experiment 1")
    shown(client, f"/curves?run={run}&series=loss&x=time", "hours")
    assert client.get(f"/curves.csv?run={run}&series=loss").text == f"run,step,loss\n{run},3.0,0.6\n"
    shown(client, "/curves?run=99", status=404)
    shown(client, f"/curves?run={run}&series=lost", "is none of", status=422)


def test_a_score_by_hand_and_a_wrong_one(client: TestClient) -> None:
    contest_over_http(client)
    experiment_over_http(client)
    page = shown(client, "/experiments/1")
    key = re.search(r'name="key" value="([^"]+)"', page)
    assert key
    for _ in range(2):  # a double click
        sent = client.post("/experiments/1/online-scores", data={"value": "0.8778", "note": "A榜", "key": key[1]})
        assert sent.status_code == 303
    shown(client, "/contests/oppo", "0.8778", "A榜")
    assert len([s for s in client.get("/api/v1/experiments/1").json()["scores"] if s["split"] == "online"]) == 1
    told = {"value": "0.86", "time": "2026-01-02 10:00"}
    assert client.post("/experiments/1/online-scores", data=told).status_code == 303
    shown(client, "/experiments/1", "2026-01-02T10:00:00+00:00")
    late = client.post("/experiments/1/online-scores", data={"value": "0.86", "time": "soon"})
    assert late.status_code == 422
    assert 'name="time" value="soon"' in late.text
    for value, message in (("0,87", "is not a number"), ("nan", "not a number"), ("87.78", "did you mean 0.8778?")):
        wrong = client.post("/experiments/1/online-scores", data={"value": value})
        assert wrong.status_code == 422
        assert message in wrong.text
        assert f'value="{value}"' in wrong.text


def test_clone_and_edit(client: TestClient) -> None:
    contest_over_http(client)
    experiment_over_http(client, config={**TINY, "seed": 77})
    shown(client, "/experiments/new?contest=oppo&clone=1", 'value="77"', "first (variant)")
    shown(client, "/experiments/1/edit", "first")
    assert client.post("/experiments/1/edit", data={"name": "二号", "note": "n"}).status_code == 303
    shown(client, "/experiments/1", "二号")
    empty = client.post("/experiments/1/edit", data={"name": " "})
    assert empty.status_code == 422
    assert "1 to 200 printable" in empty.text


def test_a_wrong_form_comes_back_as_it_was_typed(client: TestClient) -> None:
    contest_over_http(client)
    typed = {"contest": "oppo", "name": "", "note": "keep me", "encoder.hidden_size": "12x", "preset": "demo"}
    typed["encoder.size"] = "explicit"
    answer = client.post("/experiments", data=typed)
    assert answer.status_code == 422
    for text in ('value="12x"', "keep me", "valid integer", "1 to 200 printable", "Not queued"):
        assert text in answer.text, text
    assert client.get("/api/v1/contests/oppo/leaderboard").json()["total"] == 0


def test_an_upload_with_bad_rows_shows_them(client: TestClient) -> None:
    client.post("/contests", data={"name": "Oppo", "slug": "oppo", "metric": "roc_auc"})
    files = {"file": ("pairs.tsv", "a\tb\t1\nc\td\t0\n<b>\tx\tmaybe\n")}
    refused = client.post("/contests/oppo/files", files=files, data={"kind": "train"})
    assert refused.status_code == 422
    for text in ("line 3", "&#39;maybe&#39;", "&lt;b&gt;"):
        assert text in refused.text, text
    loaded = client.post("/contests/oppo/files", files=files, data={"kind": "train", "skip_bad_rows": "true"})
    assert loaded.status_code == 303
    shown(client, "/contests/oppo/files", "pairs.tsv")


def test_what_people_type_is_text(client: TestClient) -> None:
    contest_over_http(client)
    evil = "<script>alert(1)</script>"
    experiment_over_http(client, name=evil, note=evil)
    score = {"value": 0.5, "note": evil, "board": "<b>"}
    client.post("/api/v1/experiments/1/online-scores", json=score)
    pages = (
        "/contests/oppo",
        "/experiments/1",
        "/experiments/1/edit",
        "/contests/oppo/rows",
        "/contests/oppo/compare?ids=1",
        "/experiments/1/submission",
        "/contests/oppo/submissions",
    )
    for path in pages:
        assert evil not in shown(client, path, "&lt;script&gt;")


def test_every_template_was_rendered_here(app: FastAPI, client: TestClient, carry: Carry) -> None:
    """A new template needs a test above: each file is compiled at least, and none is an orphan."""
    root = Path(web.folder("templates"))
    sources = "\n".join(path.read_text() for path in Path(web.__file__).parent.rglob("*.py"))
    sources += "\n".join(path.read_text() for path in root.rglob("*.html"))
    for path in root.rglob("*.html"):
        name = path.relative_to(root).as_posix()
        assert f'"{name}"' in sources, f"{name} is used nowhere"
        web.templates().env.get_template(name)
