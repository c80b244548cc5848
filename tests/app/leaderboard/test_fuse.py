"""Ticked rows go into the form of a fusion, or it is said why they can't."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.leaderboard.importing import import_table
from tests.factories import TINY, contest_over_http, experiment_over_http


def fuse(client: TestClient, *ids: int) -> str:
    """What the page says, or where it leads."""
    answer = client.post("/contests/oppo/selection", data={"ids": list(ids), "action": "fuse"})
    assert answer.status_code == 303
    where = answer.headers["location"]
    if where.startswith("/contests/oppo?"):
        return client.get(where).text.split('role="status">')[1].split("</p>")[0]
    return where


@pytest.fixture
def board(client: TestClient, app: FastAPI) -> TestClient:
    contest_over_http(client)
    for number, data in enumerate(({}, {}, {"split_seed": 9})):
        config: dict[str, Any] = {**TINY, "pretrain": None, "seed": number, "data": {**TINY["data"], **data}}
        experiment_over_http(client, name=f"row {number + 1}", config=config)
    with app.state.database.writing() as session:
        import_table(session, "oppo", "| experiment | valid |\n|-|-|\n| elsewhere | 0.5 |\n")
    return client


def test_the_form_has_the_members(board: TestClient) -> None:
    where = fuse(board, 1, 2)
    assert where == "/experiments/new?contest=oppo&fuse=1,2"
    html = board.get(where).text
    assert 'value="row 1 + row 2"' in html
    members = re.search(r'<input[^>]*name="fusion.members"[^>]*>', html)
    assert members is not None
    assert 'value="1, 2"' in members[0]


def test_the_form_as_it_stands_queues_the_fusion(board: TestClient) -> None:
    html = board.get(fuse(board, 1, 2)).text
    form: dict[str, str] = {"contest": "oppo"}
    for tag in re.findall(r"<input[^>]*>", html.split('action="/experiments"')[1].split("</form>")[0]):
        name, value = re.search(r'name="([^"]*)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or "checked" in tag):
            form[name[1]] = value[1] if value else ""
    for name, body in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', html, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)"[^>]*selected', body)
        if chosen:
            form[name] = chosen[1]
    answer = board.post("/experiments", data=form)
    assert answer.status_code == 303, re.findall(r'class="error"[^>]*>([^<]*)', answer.text)
    made = board.get(f"/api/v1{answer.headers['location']}").json()
    assert made["config"]["fusion"]["members"] == [1, 2]
    assert [run["kind"] for run in made["runs"]] == ["blend"]


def test_what_can_not_be_fused(board: TestClient) -> None:
    assert "tick 2 to 50 rows to fuse them; ticked: 1" in fuse(board, 1)
    assert "experiments 1 and 3 are of different splits (data: split_seed)" in fuse(board, 1, 3)
    assert "experiment 4 was trained elsewhere: pairboard has no predictions of it" in fuse(board, 1, 4)
    board.post("/api/v1/contests/oppo/selection", json={"ids": [2], "action": "cancel"})
    assert "experiment 2 is cancelled: it has no predictions to build on" in fuse(board, 1, 2)
    assert board.get("/experiments/new?contest=oppo&fuse=1,3").status_code == 422
    assert board.get("/experiments/new?contest=oppo&fuse=1,99").status_code == 404
    assert board.get("/experiments/new?contest=oppo&fuse=x").status_code == 422
