"""Experiments beside each other, and the pairs that two of them judge differently."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import NotFound, Refused
from app.experiments.models import Experiment
from app.leaderboard.comparing import chart_data, compare
from app.leaderboard.flips import flips
from app.leaderboard.importing import import_table
from app.leaderboard.mistakes import Ask, mistakes
from app.runs import intake, queries, service
from app.runs.artifact_queries import experiments_with
from app.runs.models import Artifact, Attempt
from app.storage import Storage
from ml.contract.events import EventBatch, Finished, Scored
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

LEASE = timedelta(seconds=60)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_in(tmp_path)


@pytest.fixture
def contest(session: Session, storage: Storage) -> Contest:
    made = make_contest(session, "Oppo")
    make_file(session, storage, made)
    return made


def finished(
    session: Session,
    storage: Storage,
    contest: Contest,
    name: str,
    predictions: str,
    auc: float = 0.8,
    **changes: object,
) -> Experiment:
    """An experiment that has predicted; `predictions` is its valid file."""
    config = ExperimentConfig.model_validate({**TINY, "pretrain": None, **changes})
    experiment, (run,) = make_experiment(session, contest, name, config)
    service.claim(session, run.id, worker="w1", boot_id="boot-one", lease=LEASE)
    attempt: Attempt = queries.current_attempt(session, run)
    stored = storage.store(io.BytesIO(predictions.encode()))
    row = Artifact(run_id=run.id, attempt_id=attempt.id, name="valid_predictions.tsv", sha256=stored.sha256)
    row.size, row.created_at = stored.size, clock(session)
    session.add(row)
    scores = Scores(roc_auc=auc, accuracy=0.7, f1=0.6, log_loss=0.5)
    events = (*(Scored(split=split, rows=9, scores=scores) for split in ("train", "valid")), Finished(seconds=1))
    intake.store(session, run, attempt, EventBatch(first=1, events=events), LEASE, clock(session))
    return experiment


def test_what_differs(session: Session, storage: Storage, contest: Contest) -> None:
    one = finished(session, storage, contest, "one", "", 0.8)
    two = finished(session, storage, contest, "two", "", 0.9, seed=8)
    three, _ = make_experiment(session, contest, "three", ExperimentConfig.model_validate({**TINY, "seed": 8}))
    found = compare(session, contest, [two.id, one.id], higher_is_better=True)
    assert [item.name for item in found.experiments] == ["two", "one"]
    assert {field.name: field.values for field in found.fields if field.differs} == {"seed": [8, 3]}
    assert found.best == {"train": [0], "valid": [0], "online": []}
    assert compare(session, contest, [two.id, one.id], higher_is_better=False).best["valid"] == [1]

    found = compare(session, contest, [two.id, three.id], higher_is_better=True)
    differing = {field.name: field.values for field in found.fields if field.differs}
    assert differing == {"pretrain": [None, "on"]}, "a part left out is one difference, not one for each of its fields"
    import_table(session, "oppo", "| experiment | train | valid | online |\n|-|-|-|-|\n| old | 0.9 | 0.8 | 0.7 |\n")
    old = three.id + 1
    found = compare(session, contest, [one.id, old], higher_is_better=True)
    assert not any(field.differs for field in found.fields), "a row without a config differs in nothing that is known"
    assert found.fields[0].values[1] is None
    with pytest.raises(NotFound, match="no experiment 999"):
        compare(session, contest, [one.id, 999], higher_is_better=True)
    with pytest.raises(Refused, match="ids=3,7"):
        compare(session, contest, [], higher_is_better=True)


def test_numbers_for_charts(session: Session, storage: Storage, contest: Contest) -> None:
    one = finished(session, storage, contest, "one", "", 0.8)
    two = finished(session, storage, contest, "two", "", 0.9, finetune={**TINY["finetune"], "averaging": "ema"})
    data = chart_data(compare(session, contest, [one.id, two.id], higher_is_better=True))
    assert data["dimensions"] == ["valid", "online", "train", "gap", "hours", "finetune.averaging"]
    assert [point["values"]["finetune.averaging"] for point in data["points"]] == ["none", "ema"]
    assert [point["values"]["valid"] for point in data["points"]] == [0.8, 0.9]
    assert data["points"][0]["values"]["online"] is None


def test_pairs_that_flip(session: Session, storage: Storage, contest: Contest) -> None:
    # rows 3, 5, 8, 9 are in both valid parts; label, then each one's probability
    one = finished(session, storage, contest, "one", "1\t0\t0.1\n3\t1\t0.9\n5\t0\t0.2\n8\t1\t0.4\n9\t0\t0.1\n")
    two = finished(session, storage, contest, "two", "3\t1\t0.1\n5\t0\t0.3\n8\t1\t0.5\n9\t0\t0.7\n11\t1\t1.0\n", seed=8)
    found = flips(session, storage, one, two)
    assert (found.common, found.both_right, found.both_wrong, found.only_first, found.only_second) == (4, 1, 0, 2, 1)
    assert [(flip.line, flip.first, flip.second, flip.first_right) for flip in found.flips] == [
        (4, 0.9, 0.1, True),
        (10, 0.1, 0.7, True),
        (9, 0.4, 0.5, False),
    ]
    lines = storage.path(_train_sha(session, contest)).read_text().splitlines()
    assert lines[3] == f"{found.flips[0].a}\t{found.flips[0].b}\t{lines[3][-1]}"
    assert sum(part.pairs for part in found.slices if part.by == "length") == 4
    assert sum(part.pairs for part in found.slices if part.by == "overlap") == 4
    few = flips(session, storage, one, two, limit=1, offset=1)
    assert (few.total, [flip.line for flip in few.flips]) == (3, [10])

    apart = finished(session, storage, contest, "apart", "20\t0\t0.1\n", seed=9)
    with pytest.raises(Refused, match="held out different rows"):
        flips(session, storage, one, apart)
    queued, _ = make_experiment(session, contest, "queued")
    with pytest.raises(NotFound, match=r"has no valid_predictions\.tsv"):
        flips(session, storage, one, queued)
    make_file(session, storage, contest, rows=40)
    other = finished(session, storage, contest, "other", "3\t1\t0.9\n", seed=10)
    with pytest.raises(Refused, match="different files"):
        flips(session, storage, one, other)


def _train_sha(session: Session, contest: Contest) -> str:
    return contest_queries.files(session, contest.id, "train")[0].sha256


def test_the_pages_and_rest(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    one = experiment_over_http(client, name="<one>")["id"]
    two = experiment_over_http(client, name="two", config={**TINY, "seed": 77})["id"]
    page = client.get(f"/contests/oppo/compare?ids={one},{two}").text
    assert "&lt;one&gt;" in page
    assert "<code>seed</code>" in page
    assert "<code>data.max_length</code>" not in page
    assert "unsafe-inline" in client.get(f"/contests/oppo/compare?ids={one}").headers["content-security-policy"]
    assert "<code>data.max_length</code>" in client.get(f"/contests/oppo/compare?ids={one},{two}&everything=true").text
    ticked = client.post("/contests/oppo/selection", data={"action": "compare", "ids": [one, two]})
    assert ticked.headers["location"] == f"/contests/oppo/compare?ids={one},{two}"
    read = client.get(f"/api/v1/contests/oppo/compare?ids={two},{one}").json()
    assert read["fields"] == {"seed": [77, 3]}
    assert [item["name"] for item in read["experiments"]] == ["two", "<one>"]
    assert client.get("/api/v1/contests/oppo/compare?ids=1,x").status_code == 422
    assert client.get("/contests/oppo/compare?ids=999").status_code == 404
    pairs = client.get(f"/api/v1/contests/oppo/compare/pairs?first={one}&second={two}")
    assert pairs.status_code == 404
    assert "has not finished" in pairs.json()["error"]["message"]


def test_mistakes_worst_first(session: Session, storage: Storage, contest: Contest) -> None:
    one = finished(session, storage, contest, "one", "1\t0\t0.6\n3\t1\t0.9\n5\t0\t0.9\n8\t1\t0.4\n9\t0\t0.1\n")
    found = mistakes(session, storage, one, Ask())
    assert (found.pairs, found.false_positives, found.false_negatives, found.total) == (5, 2, 1, 3)
    # rows are numbered from 0, lines from 1
    assert [(item.line, item.label, item.probability) for item in found.mistakes] == [
        (6, 0, 0.9),
        *((2, 0, 0.6), (9, 1, 0.4)),
    ]
    assert [item.line for item in mistakes(session, storage, one, Ask("false_negative")).mistakes] == [9]
    assert [item.line for item in mistakes(session, storage, one, Ask(offset=1, limit=1)).mistakes] == [2]
    assert mistakes(session, storage, one, Ask(search=found.mistakes[1].a)).total == 1
    assert sum(part.wrong for part in found.parts if part.by == "length") == 3
    part = next(part for part in found.parts if part.wrong)
    assert mistakes(session, storage, one, Ask(part=part.key)).total == part.wrong  # type: ignore[arg-type]
    assert [item.id for item in experiments_with(session, contest.id, "valid_predictions.tsv", 5)] == [one.id]
