"""Blending from the table: what fits together, what it would gain, and the click that makes the row."""

import html
import re
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from scipy.special import expit
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import NotFound, Refused
from app.experiments.models import Experiment
from app.language import choose
from app.leaderboard.importing import import_table
from app.significance.blending import Blend, blend
from app.significance.fitting import fitting
from app.storage import Storage
from ml.contract.fusion_config import METHODS
from tests.app.leaderboard.test_compare import finished
from tests.app.significance.test_noise import ROWS, predicted
from tests.app.test_chinese_pages import english_in
from tests.factories import (
    TINY,
    contest_over_http,
    experiment_over_http,
    make_contest,
    make_experiment,
    make_file,
    storage_in,
)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_in(tmp_path)


@pytest.fixture
def contest(session: Session, storage: Storage) -> Contest:
    made = make_contest(session, "Oppo")
    make_file(session, storage, made, rows=ROWS)
    return made


def rows(session: Session, storage: Storage, contest: Contest, *texts: str) -> list[Experiment]:
    return [
        finished(session, storage, contest, f"row {place}", text, seed=place) for place, text in enumerate(texts, 1)
    ]


def test_what_a_blend_gains(session: Session, storage: Storage, contest: Contest) -> None:
    good, bad, same = rows(session, storage, contest, predicted(1.2, 2), predicted(0.1, 3), predicted(1.2, 2))
    found = blend(session, storage, contest, [same.id, good.id, bad.id, bad.id])
    assert [member.id for member in found.members] == sorted([good.id, bad.id, same.id])
    assert found.best == good.id
    assert found.pairs == ROWS // 2
    assert found.errors[0][2] == pytest.approx(1)
    assert found.members[1].adds.value < 0
    assert found.members[0].weights.keys() == {"weights", "greedy", "constrained"}
    assert [method.method for method in found.methods] == list(METHODS)
    words = {method.method: method.words for method in found.methods}
    assert re.fullmatch(
        rf"mean of ranks loses 0\.\d{{4}} \(0\.\d{{4}} to 0\.\d{{4}}\) to #{good.id}", words["rank_mean"]
    )
    assert words["greedy"].startswith(f"greedy selection adds nothing that can be told from noise to #{good.id}: ")
    assert "mean of ranks loses 0.0" in found.words
    assert re.search(
        "; (weights by regression|greedy selection|shares).* adds? nothing that can be told from noise$", found.words
    )


def alone(skill: float, seed: int) -> str:
    """Predictions whose errors have nothing to do with those of other rows."""
    labels = [line.split("\t")[1] == "1" for line in predicted(0, 0, range(ROWS)).splitlines()]
    noise = np.random.default_rng(seed).standard_normal(ROWS)
    scores = expit(skill * (np.array(labels) * 2 - 1) + noise).tolist()
    return "".join(f"{row}\t{int(labels[row])}\t{scores[row]!r}\n" for row in range(ROWS))


def test_gains_in_a_sentence(session: Session, storage: Storage, contest: Contest) -> None:
    first, second = rows(session, storage, contest, alone(0.7, 2), alone(0.7, 3))
    found = blend(session, storage, contest, [first.id, second.id])
    gains = [method for method in found.methods if method.gain and method.gain.low > 0]
    assert len(gains) == len(METHODS)
    numbers = r"0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)"
    assert re.fullmatch(rf"(.* gains {numbers} over #{found.best}(; |$))+", found.words)
    values = [float(value) for value in re.findall(r"gains (0\.\d+)", found.words)]
    assert values == sorted(values, reverse=True)
    assert abs(found.errors[0][1] or 1) < 0.8
    try:
        choose("zh")
        assert re.search(rf"排名平均比 #{found.best} 高 0\.\d{{4}}（", blend_again(session, storage, contest, found))
    finally:
        choose("en")


def blend_again(session: Session, storage: Storage, contest: Contest, before: Blend) -> str:
    """The numbers are kept, the words are the reader's."""
    again = blend(session, storage, contest, [member.id for member in before.members])
    assert again.errors is before.errors
    return again.words


def test_rows_that_do_not_fit_are_named(session: Session, storage: Storage, contest: Contest) -> None:
    texts = [predicted(1.0, 2), predicted(1.0, 3), predicted(1.0, 4, range(1, ROWS, 2)), ""]
    one, two, other, nothing = rows(session, storage, contest, *texts)
    waiting, _ = make_experiment(session, contest, "waiting")
    far = make_contest(session, "Far")
    make_file(session, storage, far, rows=ROWS)
    (foreign,) = rows(session, storage, far, predicted(1.0, 2))
    everything = [one.id, two.id, other.id, nothing.id, waiting.id]
    with pytest.raises(Refused) as refused:
        fitting(session, storage, contest, everything)
    told = {error.value: error.message for error in refused.value.fields}
    assert told[str(other.id)] == (
        f"experiment {other.id} (row 3) held out other rows than {one.id}: 200 of the train file's rows only it "
        f"(2, 4, 6, 8, 10, …), 200 only {one.id} (1, 3, 5, 7, 9, …)"
    )
    assert told[str(nothing.id)] == f"experiment {nothing.id} (row 4) held out no rows"
    assert "has no valid_predictions.tsv: it has not finished" in told[str(waiting.id)]
    assert len(told) == 3
    assert refused.value.detail == {"fitting": [one.id, two.id]}
    assert [item.id for item in fitting(session, storage, contest, [two.id, one.id]).experiments] == [one.id, two.id]
    with pytest.raises(NotFound, match=str(foreign.id)):
        fitting(session, storage, contest, [one.id, foreign.id])
    for ids in ([one.id], list(range(1, 52))):
        with pytest.raises(Refused, match=rf"tick 2 to 50 rows to blend them; ticked: {len(ids)}"):
            fitting(session, storage, contest, ids)


def test_another_train_file_is_named(session: Session, storage: Storage, contest: Contest) -> None:
    (one,) = rows(session, storage, contest, predicted(1.0, 2))
    make_file(session, storage, contest, rows=ROWS + 1)
    late = finished(session, storage, contest, "late", predicted(1.0, 3), seed=9)
    with pytest.raises(Refused, match=f"experiment {late.id} .* was trained on another train file than {one.id}"):
        blend(session, storage, contest, [one.id, late.id])


def test_rows_of_one_label_tell_nothing(session: Session, storage: Storage, contest: Contest) -> None:
    ids = [row.id for row in rows(session, storage, contest, *["3\t1\t0.9\n5\t1\t0.2\n"] * 2)]
    with pytest.raises(Refused, match="can't be judged on their 2 rows: 2 positives and 0 negatives"):
        blend(session, storage, contest, ids)


@pytest.fixture
def board(client: TestClient, app: FastAPI) -> tuple[TestClient, str]:
    """Three finished rows and one that waits; a browser, and the ids of the three."""
    contest_over_http(client, rows=ROWS)
    with app.state.database.writing() as session:
        contest = contest_queries.contest(session, "oppo")
        texts = [predicted(skill, seed) for skill, seed in ((1.2, 2), (1.1, 3), (0.9, 4))]
        ids = [row.id for row in rows(session, app.state.storage, contest, *texts)]
    experiment_over_http(client, name="waits", config={**TINY, "pretrain": None, "seed": 99})
    return client, ",".join(map(str, ids))


def test_the_page(board: tuple[TestClient, str]) -> None:
    client, ids = board
    answer = client.post("/contests/oppo/selection", data={"ids": ids.split(","), "action": "blend"})
    assert answer.headers["location"] == f"/contests/oppo/blend?ids={ids}"
    page = client.get(answer.headers["location"])
    assert page.status_code == 200
    for text in ("Blend of 3 rows", "at most 50 rows", "heat-5", "Spearman", "expect about 0.0", "adds"):
        assert text in page.text, text
    assert page.text.count('name="method" value=') == len(METHODS)
    chinese = client.get(answer.headers["location"], headers={"Accept-Language": "zh"}).text
    assert "3 行的融合" in chinese
    assert "最多融合表中 50 行" in chinese
    assert english_in(chinese) == []
    refused = client.get(f"/contests/oppo/blend?ids={ids},4", headers={"Accept-Language": "zh"}).text
    assert "这些行无法融合" in refused
    assert english_in(refused) == []


def test_a_page_of_rows_that_do_not_fit_leads_to_those_that_do(board: tuple[TestClient, str]) -> None:
    client, ids = board
    page = client.get(f"/contests/oppo/blend?ids={ids},4")
    assert page.status_code == 422
    assert "experiment 4 (waits) has no valid_predictions.tsv" in html.unescape(page.text)
    assert f'href="?ids={ids}"' in page.text
    assert "Blend the 3 that fit together" in page.text
    lonely = client.get("/contests/oppo/blend?ids=1")
    assert lonely.status_code == 422
    assert "tick 2 to 50 rows to blend them; ticked: 1" in lonely.text
    assert client.get("/contests/oppo/blend?ids=1,77").status_code == 404
    assert client.get("/contests/oppo/blend?ids=x").status_code == 422


def test_one_click_makes_the_row_and_a_second_leads_to_it(board: tuple[TestClient, str]) -> None:
    client, ids = board
    made = client.post("/contests/oppo/blend", data={"ids": ids, "method": "greedy"})
    assert made.status_code == 303
    assert made.headers["location"] == "/experiments/5"
    row = client.get("/api/v1/experiments/5").json()
    assert row["name"] == "greedy: row 1 + row 2 + row 3"
    assert row["config"]["fusion"] == {"members": [1, 2, 3], "method": "greedy", "bags": 0}
    assert [(run["kind"], run["status"]) for run in row["runs"]] == [("blend", "queued")]
    assert row["made_by"] == "local"
    again = client.post("/contests/oppo/blend", data={"ids": "3,2,1", "method": "greedy"})
    assert again.headers["location"] == "/experiments/5"
    page = client.get(f"/contests/oppo/blend?ids={ids}").text
    assert '<a href="/experiments/5">row 5</a>' in page
    assert page.count('name="method" value=') == len(METHODS) - 1
    client.post("/experiments/5/cancel")
    assert client.post("/contests/oppo/blend", data={"ids": ids, "method": "greedy"}).headers["location"].endswith("/6")
    wrong = client.post("/contests/oppo/blend", data={"ids": ids, "method": "magic"})
    assert wrong.status_code == 422
    assert "&#39;magic&#39; is none of mean, rank_mean" in wrong.text


def test_by_rest(board: tuple[TestClient, str]) -> None:
    client, ids = board
    read = client.get(f"/api/v1/contests/oppo/blend?ids={ids}").json()
    assert [method["method"] for method in read["methods"]] == list(METHODS)
    assert read["best"] in {member["id"] for member in read["members"]}
    assert read["methods"][0]["gain"].keys() == {"value", "low", "high", "p"}
    assert len(read["errors"]) == len(read["ranks"]) == 3
    body = {"ids": [int(number) for number in ids.split(",")], "method": "constrained"}
    made = client.post("/api/v1/contests/oppo/blend", json=body)
    assert (made.status_code, made.json()["config"]["fusion"]["method"]) == (201, "constrained")
    again = client.post("/api/v1/contests/oppo/blend", json=body)
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    refused = client.get(f"/api/v1/contests/oppo/blend?ids={ids},4")
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert [field["value"] for field in error["fields"]] == ["4"]
    assert error["detail"] == {"fitting": [1, 2, 3]}
    assert client.post("/api/v1/contests/oppo/blend", json={**body, "method": "magic"}).status_code == 422
    assert client.post("/api/v1/contests/oppo/blend", json={**body, "ids": [1]}).status_code == 422


def test_what_can_be_judged_but_not_made_says_why(board: tuple[TestClient, str], app: FastAPI) -> None:
    """Rows that leak, here one validated on made-up rows."""
    client, _ids = board
    with app.state.database.writing() as session:
        contest = contest_queries.contest(session, "oppo")
        leaking = finished(
            session,
            app.state.storage,
            contest,
            "leaks",
            predicted(1.0, 7),
            seed=7,
            data={**TINY["data"], "split_by": "row"},
            augment={"swap": "copies", "augment_before_split": True},
        )
        import_table(session, "oppo", "| experiment | valid |\n|-|-|\n| elsewhere | 0.5 |\n")
    page = client.get(f"/contests/oppo/blend?ids=1,{leaking.id}")
    assert page.status_code == 200
    assert "No row can be made of these:" in page.text
    assert "was validated on made-up rows" in page.text
    assert 'name="method" value=' not in page.text
    outside = client.get(f"/contests/oppo/blend?ids=1,2,{leaking.id + 1}")
    assert "(elsewhere) has no valid_predictions.tsv" in outside.text


def test_a_fusion_made_on_the_form_is_the_same_row(client: TestClient, app: FastAPI) -> None:
    """Whatever else the first member's config asked for, here a pretraining that reads one more file."""
    contest_over_http(client, rows=ROWS)
    files = {"file": ("u.tsv", b"1 2\t3 4\n5 6\t7 8\n")}
    assert client.post("/api/v1/contests/oppo/files", files=files, data={"kind": "unlabelled"}).status_code == 201
    pretrain = {**TINY["pretrain"], "unlabelled": True}
    for seed in (1, 2):
        experiment_over_http(client, name=f"row {seed}", config={**TINY, "pretrain": pretrain, "seed": seed})
    by_hand = experiment_over_http(
        client, config={"fusion": {"members": [1, 2], "method": "weights"}, "pretrain": None, "seed": 77}
    )
    clicked = client.post("/contests/oppo/blend", data={"ids": "1,2", "method": "weights"})
    assert clicked.headers["location"] == f"/experiments/{by_hand['id']}"
