"""Rows of the table beside each other: which differ by more than noise, from the predictions that runs stored."""

import io
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from scipy.special import expit
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.contests import service
from app.contests.components import components_of
from app.contests.models import Contest
from app.errors import NotFound, Refused
from app.experiments.models import Experiment
from app.significance.noise import noise, paired
from app.storage import Storage
from ml.contract.pair_file import PairRow, read_rows
from ml.pairs import Pairs
from ml.split import components_of as split_components
from tests.app.leaderboard.test_compare import finished
from tests.factories import contest_over_http, make_contest, make_experiment, make_file, storage_in

ROWS = 400


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_in(tmp_path)


@pytest.fixture
def contest(session: Session, storage: Storage) -> Contest:
    made = make_contest(session, "Oppo")
    make_file(session, storage, made, rows=ROWS)
    return made


def predicted(skill: float, seed: int, rows: range = range(0, ROWS, 2)) -> str:
    """Predictions of a row with this skill; the labels are the same for all."""
    labels = np.random.default_rng(0).random(ROWS) < 0.4
    common, own = np.random.default_rng(1).standard_normal(ROWS), np.random.default_rng(seed).standard_normal(ROWS)
    scores: list[float] = expit(skill * (labels * 2 - 1) + common + own / 3).tolist()
    return "".join(f"{row}\t{int(labels[row])}\t{scores[row]!r}\n" for row in rows)


def experiment(session: Session, storage: Storage, contest: Contest, name: str, text: str, seed: int) -> Experiment:
    return finished(session, storage, contest, name, text, seed=seed)


def test_rows_of_one_split_stand_in_tiers(session: Session, storage: Storage, contest: Contest) -> None:
    skills = {"good": 1.5, "as good": 1.5, "bad": 0.2}
    rows = [
        experiment(session, storage, contest, name, predicted(skill, seed=place + 2), place)
        for place, (name, skill) in enumerate(skills.items())
    ]
    other = experiment(session, storage, contest, "other", predicted(1.5, 9, range(1, ROWS, 2)), 8)
    late = experiment(session, storage, contest, "nothing held out", "", 9)
    found = noise(session, storage, [*rows, other, late])
    (split, alone) = found.splits
    assert {row.name: row.tier for row in split.rows} == {"good": 1, "as good": 1, "bad": 2}
    assert split.together == 2
    assert [row.auc for row in split.rows] == sorted((row.auc for row in split.rows), reverse=True)
    assert split.rows[0].p is None
    assert split.rows[1].p is not None
    assert split.rows[1].p > 0.05
    assert split.rows[2].p is not None
    assert split.rows[2].p < 0.001
    assert all(row.low < row.auc < row.high for row in split.rows)
    assert split.pairs == ROWS // 2
    assert 0 < split.optimism < 0.01
    assert [row.name for row in alone.rows] == ["other"]
    assert alone.optimism == 0
    assert found.left == {late.id: "it held out no rows"}


def test_two_rows_in_detail(session: Session, storage: Storage, contest: Contest) -> None:
    good = experiment(session, storage, contest, "good", predicted(1.5, 2), 1)
    same = experiment(session, storage, contest, "as good", predicted(1.5, 3), 2)
    bad = experiment(session, storage, contest, "bad", predicted(0.2, 4), 3)
    noisy, clear = paired(session, storage, good, same), paired(session, storage, good, bad)
    assert noisy.is_noise
    assert noisy.low < 0 < noisy.high
    assert noisy.bootstrap_low < 0 < noisy.bootstrap_high
    assert noisy.bootstrap_p > 0.05
    assert noisy.mcnemar_p > 0.05
    assert not clear.is_noise
    assert clear.difference == pytest.approx(clear.auc[0] - clear.auc[1])
    assert 0 < clear.low < clear.difference < clear.high
    assert clear.bootstrap_low == pytest.approx(clear.low, abs=0.02)
    assert clear.bootstrap_high == pytest.approx(clear.high, abs=0.02)
    assert max(clear.p, clear.bootstrap_p, clear.mcnemar_p) <= 0.01
    back = paired(session, storage, bad, good)
    assert (back.difference, back.p) == pytest.approx((-clear.difference, clear.p))


def test_only_what_both_held_out_counts(session: Session, storage: Storage, contest: Contest) -> None:
    one = experiment(session, storage, contest, "one", predicted(1.0, 2, range(200)), 1)
    two = experiment(session, storage, contest, "two", predicted(1.0, 3, range(100, 300)), 2)
    far = experiment(session, storage, contest, "far", predicted(1.0, 3, range(300, 400)), 3)
    assert paired(session, storage, one, two).pairs == 100
    with pytest.raises(Refused, match="can't be compared on the 0 pairs"):
        paired(session, storage, one, far)


def test_what_was_not_predicted_is_said(session: Session, storage: Storage, contest: Contest) -> None:
    one = experiment(session, storage, contest, "one", predicted(1.0, 2), 1)
    waiting, _ = make_experiment(session, contest, "waiting")
    with pytest.raises(NotFound, match=r"has no valid_predictions\.tsv"):
        paired(session, storage, one, waiting)
    assert "has not finished" in noise(session, storage, [waiting]).left[waiting.id]


def test_components_are_those_of_shared_sentences(session: Session, storage: Storage) -> None:
    contest = make_contest(session, "Chains")
    text = b"1 2\t3 4\t1\n5 6\t7 8\t0\n3 4\t9\t1\n9\t5\t0\n7  8\t5 6\t0\n"
    examined = service.receive_file(storage, io.BytesIO(text), "t.tsv", "train", service.Columns(), skip_bad_rows=False)
    found = components_of(storage, service.add_file(session, contest, examined)[0]).tolist()
    assert found[0] == found[2] == found[3]
    assert found[1] == found[4] != found[0]


def test_components_are_those_that_ml_splits_by(session: Session, storage: Storage, shared_data: Path) -> None:
    """The app counts as one draw exactly what ml keeps on one side of a split."""
    contest, path = make_contest(session, "Xiaobu"), shared_data / "xiaobu" / "labelled.tsv"
    with path.open("rb") as source:
        examined = service.receive_file(storage, source, "x.tsv", "train", service.Columns(), skip_bad_rows=True)
    found = components_of(storage, service.add_file(session, contest, examined)[0])
    rows = [row for row in read_rows(path, examined.layout, "train") if isinstance(row, PairRow)]
    a, b, labels = [row.a for row in rows], [row.b for row in rows], np.array([row.label for row in rows], np.int8)
    expected = split_components(Pairs(a, b, labels))
    _, ours = np.unique(found, return_inverse=True)
    _, theirs = np.unique(expected, return_inverse=True)
    assert len(ours) == 10_000
    assert len(np.unique(ours)) == len(np.unique(np.stack([ours, theirs]), axis=1).T) == len(np.unique(theirs))


def test_pages_and_rest_say_it(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client, rows=ROWS)
    with app.state.database.writing() as session:
        contest = contest_queries.contest(session, "oppo")
        skills = (("good", 1.5), ("alike", 1.5), ("bad", 0.2))
        ids = [
            experiment(session, app.state.storage, contest, name, predicted(skill, seed), seed).id
            for seed, (name, skill) in enumerate(skills, start=2)
        ]
    asked = ",".join(map(str, ids))
    page = client.get(f"/contests/oppo/compare?ids={asked}").text
    assert "2 of these 3 rows can't be told from the best" in page
    assert "this split has scored 3 rows of the contest" in page
    chinese = client.get(f"/contests/oppo/compare?ids={asked}", headers={"Accept-Language": "zh"}).text
    assert "这 3 行中有 2 行" in chinese
    read = client.get(f"/api/v1/contests/oppo/significance?ids={asked}").json()
    assert [row["tier"] for row in read["splits"][0]["rows"]] == [1, 1, 2]
    assert read["left"] == []

    pairs = client.get(f"/contests/oppo/compare/pairs?first={ids[0]}&second={ids[1]}").text
    assert "can't be told apart by valid AUC" in pairs
    assert "A is better than B" in client.get(f"/contests/oppo/compare/pairs?first={ids[0]}&second={ids[2]}").text
    assert "B is better than A" in client.get(f"/contests/oppo/compare/pairs?first={ids[2]}&second={ids[0]}").text
    two = client.get(f"/api/v1/contests/oppo/significance/paired?first={ids[0]}&second={ids[2]}").json()
    assert two["is_noise"] is False
    assert client.get(f"/api/v1/contests/oppo/significance/paired?first={ids[0]}&second=99").status_code == 404
    assert client.get("/api/v1/contests/oppo/significance?ids=x").status_code == 422


def test_pairs_of_one_label_say_why_they_tell_nothing(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    with app.state.database.writing() as session:
        contest = contest_queries.contest(session, "oppo")
        ids = [
            finished(session, app.state.storage, contest, str(seed), "3\t1\t0.9\n5\t1\t0.2\n", seed=seed).id
            for seed in (1, 2)
        ]
    page = client.get(f"/contests/oppo/compare/pairs?first={ids[0]}&second={ids[1]}")
    assert page.status_code == 200
    assert "2 positives and 0 negatives: an AUC needs both" in page.text
    left = client.get(f"/api/v1/contests/oppo/significance?ids={ids[0]}").json()["left"]
    assert left == [{"id": ids[0], "why": "2 positives and 0 negatives: an AUC needs both"}]
