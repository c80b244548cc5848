"""What the leaderboard says of noise: counted after an answer has left, kept, and counted again when something came."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.experiments import service as experiments
from app.significance import queries, standing
from app.significance.standing import Standing
from tests.app.leaderboard.test_compare import finished
from tests.app.significance.test_noise import ROWS, predicted
from tests.factories import contest_over_http, make_contest

Add = Callable[..., int]


@pytest.fixture
def add(client: TestClient, app: FastAPI) -> Add:
    """Makes a row that has predicted; returns its number."""
    contest_over_http(client, rows=ROWS)

    def made(name: str, skill: float, seed: int, auc: float = 0.8, rows: range = range(0, ROWS, 2)) -> int:
        with app.state.database.writing() as session:
            contest = contest_queries.contest(session, "oppo")
            text = predicted(skill, seed, rows)
            return finished(session, app.state.storage, contest, name, text, auc, seed=seed).id

    return made


def judge(app: FastAPI) -> bool:
    return standing.judge(app.state.database, app.state.storage, 1)


def known(app: FastAPI) -> Standing:
    with app.state.database.reading() as session:
        found = standing.standing(session, 1)
    assert found is not None
    return found


def test_the_table_groups_rows_that_can_not_be_told_apart(client: TestClient, app: FastAPI, add: Add) -> None:
    good, alike, bad = add("good", 1.5, 2, 0.9), add("alike", 1.5, 3, 0.89), add("bad", 0.2, 4, 0.6)
    other = add("of another split", 1.5, 9, 0.95, range(1, ROWS, 2))
    first = client.get("/contests/oppo?sort=-valid").text
    assert "tier" not in first  # nobody has counted yet; it is done after this answer
    page = client.get("/contests/oppo?sort=-valid").text
    assert "2 of 3 rows can't be told from the best of their split." in page
    assert (
        "This split has chosen among 4 rows" in page
    )  # counted by the settings of the split, as trained elsewhere too
    assert page.count("tier 1<") == 2
    assert page.count("tier 2<") == 1
    assert page.count('class="edge"') == 1
    assert 'class="edge"' not in client.get("/contests/oppo").text  # by number, tiers do not lie together
    assert "第 2 档" in client.get("/contests/oppo/rows", headers={"Accept-Language": "zh"}).text
    found = Standing.model_validate(client.get("/api/v1/contests/oppo/significance/standing").json())
    assert {number: place.tier for number, place in found.rows.items()} == {good: 1, alike: 1, bad: 2, other: 1}
    assert found.splits[0].best in {good, alike}
    assert found.rows[other].split == 1
    assert 0 < found.splits[0].optimism < 0.01


def test_the_order_of_rows_is_no_reason_to_count_again(session: Session) -> None:
    """An online score moves a row on Postgres, and with it the place of its valid score in a sum of all."""
    sums = set()
    for name, values in (("one", (0.1, 0.2, 0.3)), ("other", (0.2, 0.3, 0.1))):
        contest = make_contest(session, name)
        for value in values:
            experiments.create_external(session, contest, name=f"{name} {value}", note="").shown_valid = value
        session.flush()
        sums.add(queries.stamp(session, contest).split("/")[2])
    assert len(sums) == 1


def test_it_is_counted_again_when_rows_come_or_go_and_only_then(client: TestClient, app: FastAPI, add: Add) -> None:
    add("good", 1.5, 2)
    bad = add("bad", 0.2, 3)
    assert judge(app)
    assert not judge(app)
    assert known(app).splits[0].rows == 2
    third = add("third", 1.0, 4)
    assert judge(app)
    assert known(app).splits[0].rows == 3
    client.post("/api/v1/contests/oppo/selection", json={"ids": [bad], "action": "archive"})
    assert judge(app)
    assert bad not in known(app).rows
    assert third in known(app).rows
    assert known(app).splits[0].chosen_among == 3  # it has chosen, archived or not


def test_a_row_whose_file_is_gone_is_left_out(client: TestClient, app: FastAPI, add: Add) -> None:
    kept, gone = add("kept", 1.5, 2), add("gone", 1.5, 3)
    for path in app.state.storage.root.glob("??/*"):
        if path.read_bytes() == predicted(1.5, 3).encode():
            path.unlink()
    assert judge(app)
    found = known(app)
    assert (found.candidates, found.judged, list(found.rows)) == (2, 1, [kept])
    assert client.get(f"/contests/oppo/compare?ids={kept},{gone}").status_code == 200
    assert client.get(f"/contests/oppo/compare/pairs?first={kept}&second={gone}").status_code == 404


def test_more_rows_than_can_be_judged_are_said(
    client: TestClient, app: FastAPI, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed, auc in ((2, 0.7), (3, 0.9), (4, 0.8)):
        add(f"row {seed}", 1.0, seed, auc)
    monkeypatch.setattr(standing, "JUDGED", 2)
    assert judge(app)
    assert "2 of 3 rows with a valid score are judged" in client.get("/contests/oppo").text
    monkeypatch.setattr(standing, "CELLS", ROWS // 2)
    add("one more", 1.0, 5, 0.6)
    assert judge(app)
    assert list(known(app).rows) == [2]  # the best one


def test_a_count_that_failed_is_begun_anew(app: FastAPI, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    add("one", 1.0, 2)
    with monkeypatch.context() as broken:
        broken.setattr(standing, "noise", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            judge(app)
    assert judge(app)


def test_two_do_not_count_the_same_at_once(app: FastAPI, add: Add) -> None:
    add("one", 1.0, 2)
    assert standing._claim(app.state.database, 1)
    assert not judge(app)
