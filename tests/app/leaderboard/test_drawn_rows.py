"""Rows that were drawn before look as if they were drawn now, whatever has changed meanwhile."""

from dataclasses import replace

import pytest
from fastapi import FastAPI
from markupsafe import Markup
from starlette.testclient import TestClient

from app.leaderboard import pages
from app.leaderboard.drawn_rows import DrawnRows
from app.leaderboard.exporting import Line
from app.leaderboard.row_queries import Row
from tests.factories import TINY, contest_over_http, experiment_over_http

VIEWS = (
    "",
    "?sort=-valid",
    "?show=gap,hours,by",
    "?against=1",
    "?search=tag:send",
    "?sort=-online&against=2&show=made",
)
LANGUAGES = ("en", "zh")
SELECTION = "/api/v1/contests/oppo/selection"


def texts(client: TestClient) -> dict[str, str]:
    return {
        f"{language} {view}": client.get(f"/contests/oppo/rows{view}", headers={"Accept-Language": language}).text
        for view in VIEWS
        for language in LANGUAGES
    }


def test_what_was_drawn_before_is_as_drawn_now(
    client: TestClient, app: FastAPI, worker_headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    contest_over_http(client)
    runs = [
        experiment_over_http(client, name=f"row {seed} <i>", config={**TINY, "pretrain": None, "seed": seed})["runs"][0]
        for seed in range(4)
    ]
    claimed = {"worker": "w1", "boot_id": "boot-one"}
    changes = (
        lambda: None,
        lambda: client.post("/api/v1/experiments/1/online-scores", json={"value": 0.7, "note": "a & b", "board": "A"}),
        lambda: client.post("/api/v1/experiments/2/online-scores", json={"value": 0.8}),
        lambda: client.post(f"/api/v1/runs/{runs[0]['id']}/claim", json=claimed, headers=worker_headers),
        lambda: client.post(SELECTION, json={"ids": [3], "action": "tag", "tag": "send"}),
        lambda: client.patch("/api/v1/experiments/3", json={"name": "renamed", "note": "**why**", "verdict": "keep"}),
        lambda: client.post("/api/v1/experiments/2/cancel"),
        lambda: client.post(SELECTION, json={"ids": [2], "action": "archive"}),
    )
    before = ""
    for number, change in enumerate(changes):
        done = change()
        assert done is None or done.is_success, done.text
        warm = texts(client)
        with monkeypatch.context() as patch:
            patch.setattr(pages, "_DRAWN", DrawnRows())
            assert warm == texts(client)
        assert warm["en "] != before, f"change {number} is not seen"
        before = warm["en "]


def row(number: int) -> Line:
    shown = dict.fromkeys(Row._fields, "")
    return Line(Row(**{**shown, "id": number, "marks": {}}), None, None, None)


def test_the_least_lately_used_go_first() -> None:
    drawn = DrawnRows(most=2)
    drawn.put(("en",), row(1), None, Markup("<tr>1"))
    drawn.put(("en",), row(2), None, Markup("<tr>2"))
    assert drawn.get(("en",), row(1), None) == "<tr>1"
    drawn.put(("en",), row(3), None, Markup("<tr>3"))
    assert [drawn.get(("en",), row(number), None) for number in (1, 2, 3)] == ["<tr>1", None, "<tr>3"]
    other = replace(row(1), row=row(1).row._replace(marks={"leaking": "why"}))
    assert drawn.get(("en",), other, None) is None
    assert drawn.get(("zh",), row(1), None) is None
    assert drawn.get(("en",), row(1), "edge") is None
