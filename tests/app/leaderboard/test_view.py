"""What a reader asks of the table: search, order by several columns, a baseline, more columns, and downloads of it."""

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests.models import Contest
from app.db import clock
from app.errors import Refused
from app.experiments import service as experiments
from app.experiments.models import Experiment, Score
from app.leaderboard.api import LeaderboardOut
from app.leaderboard.importing import import_table
from app.leaderboard.queries import ranked
from app.leaderboard.search import STATES, Term, terms
from app.leaderboard.table_text import read_tables, write_latex
from app.leaderboard.view import View
from app.runs.models import Attempt
from app.submissions.service import OnlineScore, post_online_score
from ml.contract.events import Scored
from ml.contract.experiment import ExperimentConfig
from ml.contract.scores import Scores
from tests.factories import (
    TINY,
    contest_over_http,
    experiment_over_http,
    make_contest,
    make_experiment,
    make_file,
    storage_in,
)

TABLE = """
| experiment | train | valid | online |
|-|-|-|-|
| n-gram mask v1 | 0.9 | 0.80 | 0.7 |
| n-gram mask v2 | 0.95 | 0.80 | 0.72 |
| whole word 100% | 0.85 | 0.84 | |
| only named_x | | | |
"""


@pytest.fixture
def contest(session: Session) -> Contest:
    made = make_contest(session, "Oppo")
    import_table(session, "oppo", TABLE)
    return made


def names(session: Session, contest: Contest, search: str = "", sort: str = "id") -> list[str]:
    return [row.name for row in ranked(session, contest, search=search, sort=sort).rows]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("n-gram", [0, 1]),
        ("N-GRAM v2", [1]),
        ('"mask v1"', [0]),
        ("n-gram -v2", [0]),
        ("100%", [2]),
        ("named_x", [3]),
        ("named%x", []),
        ("valid>=0.84", [2]),
        ("valid>0.84", []),
        ("train<0.9 valid!=0.8", [2]),
        ("gap>0.12", [1]),
        ("online>0", [0, 1]),
        ("-online>0", [2, 3]),
        ("status:external", [0, 1, 2, 3]),
        ("status!=external", []),
        ("status:failed", []),
        ("mark:leaking", []),
        ("encoder.model_type:bert", []),
        ('""', [0, 1, 2, 3]),
    ],
)
def test_a_search_finds(session: Session, contest: Contest, search: str, found: list[int]) -> None:
    every = names(session, contest)
    assert names(session, contest, search) == [every[place] for place in found]
    ranking = ranked(session, contest, search=search, limit=1)
    assert (ranking.total, ranking.everything) == (len(found), 4)


def test_fields_of_the_config_and_marks(session: Session, contest: Contest) -> None:
    configs: list[dict[str, Any]] = [
        {"encoder": {"model_type": "bert"}, "finetune": {"learning_rate": 5e-05, "swap": True}, "pretrain": None},
        {"encoder": {"model_type": "nezha"}, "finetune": {"learning_rate": 3e-05, "swap": False}, "seed": 2},
    ]
    for number, config in enumerate(configs):
        marks = {"leaking": "split by row"} if number else {}
        row = Experiment(
            contest_id=contest.id, name=f"own {number}", config=config, marks=marks, created_at=clock(session)
        )
        session.add(row)
        session.flush()
        experiments.add_fields(session, row)
    for search, found in {
        "encoder.model_type:nezha": ["own 1"],
        "encoder.model_type!=nezha": ["own 0"],
        "finetune.learning_rate>=4e-5": ["own 0"],
        "finetune.learning_rate=0.00003": ["own 1"],
        "pretrain.num_train_epochs>1": [],
        "mark:leaking": ["own 1"],
        "own mark!=leaking": ["own 0"],
        "own -mark:leaking": ["own 0"],
        "own status:finished": [],  # without a run nothing has finished
        "own status:queued": ["own 0", "own 1"],
    }.items():
        assert names(session, contest, search) == found, search


def test_search_by_state_finds_the_rows_that_show_it(session: Session, contest: Contest, tmp_path: Path) -> None:
    make_file(session, storage_in(tmp_path), contest)
    for number, states in enumerate(
        ["queued", "running queued", "finished", "finished failed", "failed cancelled", "cancelled finished running"]
    ):
        config = ExperimentConfig.model_validate({**TINY, "seed": number})
        _, runs = make_experiment(session, contest, states, config)
        for run, state in zip(runs, states.split() * 2, strict=False):
            run.status = state
    session.flush()
    shown = {row.name: "external" if row.origin == "external" else row.status for row in ranked(session, contest).rows}
    assert set(shown.values()) == set(STATES)
    for state in STATES:
        having = {name for name, its in shown.items() if its == state}
        assert set(names(session, contest, f"status:{state}")) == having
        assert set(names(session, contest, f"status!={state}")) == shown.keys() - having
        assert set(names(session, contest, f"-status:{state}")) == shown.keys() - having


def test_json_is_what_the_reference_says(client: TestClient) -> None:
    slug = contest_over_http(client)
    posted = experiment_over_http(client, slug, name="半个 \u00e9 \u2028")
    client.post(f"/api/v1/experiments/{posted['id']}/online-scores", json={"value": 0.8123, "note": "first"})
    client.post(f"/api/v1/experiments/{posted['id']}/online-scores", json={"value": 0.7123, "note": "second"})
    answer = client.get(f"/api/v1/contests/{slug}/leaderboard")
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == LeaderboardOut.model_validate_json(answer.text).model_dump_json()
    (row,) = answer.json()["rows"]
    assert (row["online"]["value"], row["online"]["best"], row["online"]["count"]) == (0.7123, 0.8123, 2)


@pytest.mark.parametrize(
    ("search", "why"),
    [
        ("valid>high", "'high' is not a number"),
        ("valid>nan", "is not a number"),
        ("status:done", "the states are queued, running"),
        ("status>failed", "status is a word"),
        ("vaild>0.9", "'vaild' is no column: train, valid"),
        ("encoder.model_typ:bert", "did you mean model_type"),
        ("encoder.model_type.x:1", "no fields inside it"),
        ("encoder.model_type>bert", "is no number"),
        ("finetune.learning_rate:fast", "'fast' is not a number"),
    ],
)
def test_a_term_that_means_nothing_is_named(search: str, why: str) -> None:
    with pytest.raises(Refused) as caught:
        terms(search)
    assert why in caught.value.message
    assert search in caught.value.message


def test_terms() -> None:
    assert terms('-a "b c" valid:0.5 d"e f"') == [
        Term("", ":", "a", True),
        Term("", ":", "b c"),
        Term("valid", ":", 0.5),
        Term("", ":", "de f"),
    ]


def test_a_second_column_settles_ties(session: Session, contest: Contest) -> None:
    every = names(session, contest)
    assert names(session, contest, "online>0", "valid,-online") == [every[1], every[0]]
    assert names(session, contest, "online>0", "valid,online") == [every[0], every[1]]
    assert names(session, contest, "", "-gap")[:3] == [every[1], every[0], every[2]]
    with pytest.raises(Refused, match="'vali' is not a column"):
        ranked(session, contest, sort="name,vali")


def test_the_address_holds_the_view() -> None:
    view = View("-valid,name", "a b&c", ("gap", "made"), 3, offset=200)
    assert view.query() == "sort=-valid%2Cname&search=a+b%26c&show=gap%2Cmade&against=3&offset=200"
    assert view.query(search="", show=(), against=None, offset=0) == "sort=-valid%2Cname"
    assert (view.order("valid"), view.order("name")) == ("descending", "none")
    assert view.sorted_by("valid").startswith("?sort=valid&")
    assert view.sorted_by("name").startswith("?sort=-name&")
    assert View().query() == ""


def scored(client: TestClient) -> None:
    """Two rows with scores of ours, by the rows themselves."""
    contest_over_http(client)
    for number in range(2):
        experiment_over_http(client, config={**TINY, "pretrain": None, "seed": number})
    with client.app.state.database.writing() as session:  # type: ignore[attr-defined]
        for number, value in ((1, 0.8), (2, 0.83)):
            for split, shift in (("train", 0.1), ("valid", 0.0), ("online", -0.05)):
                row = {"experiment_id": number, "split": split, "metric": "roc_auc", "source": "run"}
                experiments.add_score(session, Score(**row, value=value + shift, created_at=clock(session)))


def test_page_rows_downloads_and_rest_show_one_view(client: TestClient) -> None:
    scored(client)
    asked = "search=valid%3E0.81&against=1&show=gap&show=hours&show=made"
    for path in ("/contests/oppo", "/contests/oppo/rows"):
        html = client.get(f"{path}?{asked}").text
        assert html.count('<th scope="row">') == 1
        assert "+0.03000" in html
        assert "+0.10000" in html  # the gap
    assert "showing 1 of 1 found among 2" in client.get(f"/contests/oppo?{asked}").text
    both = client.get("/contests/oppo?against=1").text
    assert both.count(">baseline</span>") == 1
    assert "Compare with none" in both
    assert "+0.00000" not in both  # nothing is compared with itself

    text = client.get(f"/contests/oppo/leaderboard.md?{asked}").text
    (row,) = read_tables(text).rows
    assert (row.extra["valid change"], row.extra["gap"]) == ("+0.03000", "+0.10000")
    (line,) = csv.DictReader(io.StringIO(client.get(f"/contests/oppo/leaderboard.csv?{asked}").text.lstrip("\ufeff")))
    assert float(line["valid change"]) == pytest.approx(0.03)
    assert float(line["gap"]) == pytest.approx(0.1)
    latex = client.get(f"/contests/oppo/leaderboard.tex?{asked}").text
    assert "\\toprule" in latex
    assert "+0.03000" in latex
    found = client.get(f"/api/v1/contests/oppo/leaderboard?{asked}").json()
    assert (found["total"], found["everything"], [row["id"] for row in found["rows"]]) == (1, 2, [2])
    assert found["rows"][0]["gap"] == pytest.approx(0.1)

    empty = client.get("/contests/oppo?search=nothing-like-it").text
    assert "None of 2 rows is like that" in empty
    for path in ("/contests/oppo", "/api/v1/contests/oppo/leaderboard"):
        refused = client.get(f"{path}?search=vaild%3E0.9")
        assert refused.status_code == 422
        assert "is no column" in refused.text
    assert client.get("/contests/oppo?against=99").status_code == 404


def test_latex_escapes_what_means_something_there() -> None:
    text = write_latex([("50% of a_b & c", "", "0.5", "", "x")], ("valid 95%",))
    assert r"50\% of a\_b \& c" in text
    assert r"valid 95\%" in text


def test_rows_by_a_field_of_their_config(client: TestClient) -> None:
    contest_over_http(client)
    for number, (rate, folds) in enumerate(((3e-5, True), (3e-5, True), (1e-4, False), (1e-4, False))):
        config = {**TINY, "pretrain": None, "seed": number, "finetune": {"learning_rate": rate, "swap_at_test": folds}}
        experiment_over_http(client, config=config)
    with client.app.state.database.writing() as session:  # type: ignore[attr-defined]
        import_table(session, "oppo", "| experiment | valid |\n|-|-|\n| elsewhere | 0.5 |\n")
        for number, value in ((1, 0.8), (2, 0.83), (3, 0.7)):
            row = {"experiment_id": number, "split": "valid", "metric": "roc_auc", "source": "run"}
            experiments.add_score(session, Score(**row, value=value, created_at=clock(session)))

    def groups(field: str, search: str = "") -> list[tuple[Any, ...]]:
        answer = client.get("/api/v1/contests/oppo/leaderboard/groups", params={"group": field, "search": search})
        assert answer.status_code == 200, answer.text
        found = [(group["value"], group["rows"], group["valid"]) for group in answer.json()]
        return [(value, rows, valid and (round(valid["value"], 6), valid["count"])) for value, rows, valid in found]

    by_rate = groups("finetune.learning_rate")
    assert by_rate == [(0.0001, 2, (0.7, 1)), (3e-05, 2, (0.815, 2)), (None, 1, (0.5, 1))]
    assert groups("finetune.swap_at_test") == [(False, 2, (0.7, 1)), (True, 2, (0.815, 2)), (None, 1, (0.5, 1))]
    assert [value for value, *_ in groups("seed")] == [0, 1, 2, 3, None]
    assert groups("encoder.model_type", "valid>0.75") == [("bert", 2, (0.815, 2))]
    full = client.get("/api/v1/contests/oppo/leaderboard/groups?group=finetune.learning_rate").json()
    assert full[1]["valid"]["deviation"] == pytest.approx(0.03 / 2**0.5)
    assert full[0]["valid"]["deviation"] is None
    html = client.get("/contests/oppo?group=finetune.learning_rate").text
    assert "0.81500 ± 0.02121" in html
    assert 'value="encoder.model_type"' in html
    for path in ("/contests/oppo", "/api/v1/contests/oppo/leaderboard/groups"):
        refused = client.get(f"{path}?group=finetune.learning_rat")
        assert refused.status_code == 422
        assert "did you mean learning_rate" in refused.text


def test_the_deviation_of_folds_and_the_hours_order_the_table(client: TestClient) -> None:
    contest_over_http(client)
    for number in range(4):
        experiment_over_http(client, config={**TINY, "pretrain": None, "seed": number})
    with client.app.state.database.writing() as session:  # type: ignore[attr-defined]
        for number, members in ((1, [0.7, 0.8, 0.9]), (2, [0.79, 0.8, 0.81]), (3, [0.8])):
            row = {"experiment_id": number, "split": "valid", "metric": "roc_auc", "source": "run", "value": 0.8}
            experiments.add_score(session, Score(**row, members=members, created_at=clock(session)))
        begin = clock(session)
        for number, hours in ((1, 2), (2, 1), (4, 3)):
            attempt = Attempt(run_id=number, number=1, worker="w", boot_id="b", token_digest=str(number) * 64)
            attempt.claimed_at = attempt.heartbeat_at = attempt.lease_until = begin
            attempt.ended_at, attempt.outcome = begin + timedelta(hours=hours), "lost"
            session.add(attempt)

    def order(sort: str) -> list[int]:
        answer = client.get("/api/v1/contests/oppo/leaderboard", params={"sort": sort})
        assert answer.status_code == 200, answer.text
        return [row["id"] for row in answer.json()["rows"]]

    assert order("deviation,id") == [2, 1, 3, 4]
    assert order("-deviation,id") == [1, 2, 3, 4]
    assert order("-hours,id") == [4, 1, 2, 3]
    assert order("hours,id") == [2, 1, 4, 3]
    html = client.get("/contests/oppo?show=deviation&sort=-deviation").text
    assert "0.80000 ± 0.10000" in html
    assert 'data-sort="deviation"' in html
    assert 'data-sort="hours"' in client.get("/contests/oppo?show=hours").text
    (first, *_) = read_tables(client.get("/contests/oppo/leaderboard.md?show=deviation&sort=-deviation").text).rows
    assert first.extra["deviation"] == "0.80000 ± 0.10000"
    assert "0.10000" in client.get("/contests/oppo/leaderboard.tex?show=deviation").text
    rows = csv.DictReader(io.StringIO(client.get("/contests/oppo/leaderboard.csv?sort=id").text.lstrip("\ufeff")))
    found = [float(row["folds deviation"] or -1) for row in rows]
    assert found == pytest.approx([0.1, 0.01, -1, -1])


def test_what_the_table_is_ordered_by_is_what_it_shows(session: Session, tmp_path: Path) -> None:
    """Columns of the experiment's row follow its latest scores, in the contest's metric, whoever wrote them."""
    storage, contest = storage_in(tmp_path), make_contest(session)
    make_file(session, storage, contest)
    row, (run,) = make_experiment(session, contest, "one", ExperimentConfig.model_validate({**TINY, "pretrain": None}))
    scores = Scores(roc_auc=0.8, accuracy=0.7, f1=0.6, log_loss=0.5)
    members = tuple(scores.model_copy(update={"roc_auc": value}) for value in (0.79, 0.82))
    experiments.record_run_scores(session, row.id, run.id, Scored(split="train", rows=9, scores=scores))
    experiments.record_run_scores(
        session, row.id, run.id, Scored(split="valid", rows=9, scores=scores, members=members)
    )
    for value in (0.71, 0.705):
        post_online_score(session, row, OnlineScore(value))
    again = scores.model_copy(update={"roc_auc": 0.75})
    experiments.record_run_scores(session, row.id, run.id, Scored(split="train", rows=9, scores=again))
    session.expire_all()
    (shown,) = ranked(session, contest).rows
    assert (row.shown_train, row.shown_valid, row.shown_online) == (0.75, 0.8, 0.705)
    assert shown.train
    assert shown.valid
    assert shown.online
    assert (shown.train.value, shown.valid.value, shown.online.value) == (0.75, 0.8, 0.705)
    assert row.shown_deviation == pytest.approx(np.std([0.79, 0.82], ddof=1))
