"""A row that was trained elsewhere: its predictions are brought, and it is judged, blended and sent as any other."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from sklearn import metrics
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.leaderboard.importing import import_table
from app.runs import queries as run_queries
from app.runs.jobs import job_of
from ml.prediction_files import RunScores, read_valid
from tests.app.leaderboard.test_compare import finished
from tests.factories import contest_over_http, experiment_over_http

API = "/api/v1"
HELD = range(0, 60, 2)


@pytest.fixture
def labels(client: TestClient) -> list[int]:
    """Of the contest's train file."""
    contest_over_http(client)
    rows = client.get(f"{API}/contests/oppo/files/1/pairs?limit=1000").json()["rows"]
    return [row["label"] for row in rows]


def imported(app: FastAPI, *names: str) -> list[int]:
    lines = "".join(f"| {name} | 0.8? |\n" for name in names)
    with app.state.database.writing() as session:
        import_table(session, "oppo", f"| experiment | valid |\n|-|-|\n{lines}")
        return [row.id for row in contest_rows(session)][-len(names) :]


def contest_rows(session: Session) -> list[Any]:
    from app.leaderboard.queries import ranked

    return ranked(session, contest_queries.contest(session, "oppo"), sort="id").rows


def text_of(labels: list[int], seed: int, rows: Any = HELD) -> str:
    draw = np.random.default_rng(seed)
    return "".join(f"{row}\t{labels[row]}\t{float(0.3 * labels[row] + 0.7 * draw.random())!r}\n" for row in rows)


def answers_text(client: TestClient) -> str:
    """A number for each row of the newest test file."""
    with client.app.state.database.reading() as session:  # type: ignore[attr-defined]
        rows = contest_queries.files(session, contest_queries.contest(session, "oppo").id, "test")[0].rows
    return "".join(f"{(row * 7 % rows) / rows:.6f}\n" for row in range(rows))


def bring(client: TestClient, number: int, code: int = 201, **files: str) -> Any:
    sent = {name: (f"{name}.tsv", text.encode()) for name, text in files.items()}
    answer = client.post(f"{API}/experiments/{number}/predictions", files=sent or {"none": ("x", b"")})
    assert answer.status_code == code, answer.text
    return answer.json()


def test_it_is_judged_and_blended_with_the_others(client: TestClient, app: FastAPI, labels: list[int]) -> None:
    one, two = imported(app, "theirs", "theirs too")
    with app.state.database.writing() as session:
        contest = contest_queries.contest(session, "oppo")
        ours = finished(session, app.state.storage, contest, "ours", text_of(labels, 3)).id
    text = text_of(labels, 1)
    got = bring(client, one, valid="".join(reversed(text.splitlines(keepends=True))))
    bring(client, two, valid=text_of(labels, 2))
    values = [float(line.split("\t")[2]) for line in text.splitlines()]
    held = [labels[row] for row in HELD]
    (auc,) = (score for score in got["scores"] if score["metric"] == "roc_auc")
    assert auc["value"] == pytest.approx(metrics.roc_auc_score(held, values), abs=1e-12)
    assert auc["low"] < auc["value"] < auc["high"]
    (loss,) = (score for score in got["scores"] if score["metric"] == "log_loss")
    assert loss["value"] == pytest.approx(metrics.log_loss(held, values))
    shown = next(row for row in client.get(f"{API}/contests/oppo/leaderboard").json()["rows"] if row["id"] == one)
    assert (shown["valid"]["value"], shown["status"]) == (auc["value"], "finished")
    assert "best 0.8" not in client.get("/contests/oppo").text, "what was typed is replaced, and was no better try"

    noise = client.get(f"{API}/contests/oppo/significance", params={"ids": f"{one},{two},{ours}"})
    assert noise.status_code == 200, noise.text
    (split,) = noise.json()["splits"]
    assert {row["id"] for row in split["rows"]} == {one, two, ours}
    blend = client.get(f"{API}/contests/oppo/blend", params={"ids": f"{one},{ours}"})
    assert blend.status_code == 200, blend.text
    assert {member["id"] for member in blend.json()["members"]} == {one, ours}
    assert client.get(f"/contests/oppo/blend?ids={one},{two}").status_code == 200
    for path in (f"/experiments/{one}", "/contests/oppo?show=checks", "/queue"):
        assert client.get(path).status_code == 200, path
    told = client.get(f"{API}/runs/{got['run_id']}/job")
    assert (told.status_code, "training elsewhere" in told.text) == (409, True)


def test_the_fusion_is_made_of_its_files(
    client: TestClient, app: FastAPI, labels: list[int], tmp_path: Any, worker_headers: dict[str, str]
) -> None:
    """The blend's worker gets of it what it gets of a run here."""
    numbers = imported(app, "theirs", "theirs too")
    for seed, number in enumerate(numbers):
        bring(client, number, valid=text_of(labels, seed), test=answers_text(client))
    answer = client.post(f"{API}/contests/oppo/blend", json={"ids": numbers, "method": "rank_mean"})
    assert answer.status_code in {200, 201}, answer.text
    with app.state.database.reading() as session:
        run = run_queries.final_run(session, answer.json()["id"])
        assert run is not None
        inputs = [item for item in job_of(session, run, attempt=1).inputs if item.role == "member"]
    assert sorted(item.name for item in inputs) == [
        *(["scores.json"] * 2),
        *(["test_predictions.tsv"] * 2),
        *(["valid_predictions.tsv"] * 2),
    ]
    for item in inputs:
        path = app.state.storage.path(item.sha256)
        if item.name == "scores.json":
            assert RunScores.model_validate(json.loads(path.read_bytes())).valid is not None
        elif item.name == "valid_predictions.tsv":
            assert read_valid(path).rows.tolist() == list(HELD)


def test_its_test_file_is_checked_and_sent(client: TestClient, app: FastAPI, labels: list[int]) -> None:
    (number,) = imported(app, "theirs")
    check = f"{API}/experiments/{number}/submission-check"
    assert client.get(check).status_code == 404
    lacking = "It was trained elsewhere: its predictions are not here."
    assert lacking in client.get("/contests/oppo/valid-online").text
    got = bring(client, number, test=answers_text(client))
    assert lacking not in client.get("/contests/oppo/valid-online").text
    assert (got["scores"], list(got["files"])) == ([], ["test_predictions.tsv"])
    assert client.get(check).json()["state"] == "ok"
    both = bring(client, number, valid=text_of(labels, 1))
    assert both["files"]["test_predictions.tsv"] == got["files"]["test_predictions.tsv"], "what is not brought stays"
    plan = client.post(f"{API}/experiments/{number}/submissions", json={"status": "sent", "board": "A"})
    assert plan.status_code == 201, plan.text
    assert plan.json()["predictions_sha256"] == got["files"]["test_predictions.tsv"]
    again = client.get(check).json()
    assert next(item["state"] for item in again["checks"] if item["name"] == "same_file") == "refuse"


def test_what_is_refused(client: TestClient, app: FastAPI, labels: list[int]) -> None:
    (number,) = imported(app, "theirs")
    wrong = 1 - labels[4]
    for text, message in (
        ("0\t1\n", "line 1: '0\\t1' is no row number, label and probability"),
        (f"0\t{labels[0]}\t0.5\n60\t1\t0.5\n", "line 2: the train file's rows go from 0 to 59, not 60"),
        (f"4\t{wrong}\t0.5\n", f"row 4 has the label {labels[4]} in the train file: these are other rows"),
        (f"0\t{labels[0]}\t0.5\n0\t{labels[0]}\t0.5\n", "line 2: row 0 stands there twice"),
        (f"0\t{labels[0]}\t1.5\n", "is not from 0 to 1"),
        (f"0\t{labels[0]}\tnan\n", "line 1"),
        (f"0\t{labels[0]}\t0.5\n", "not both labels"),
        ("", "not both labels"),
    ):
        assert message in bring(client, number, 422, valid=text)["error"]["message"], text
    assert "answers 1 rows of" in bring(client, number, 422, test="0.5\n")["error"]["message"]
    assert "bring a file" in bring(client, number, 422)["error"]["message"]
    own = experiment_over_http(client)["id"]
    assert "was trained here" in bring(client, own, 409, valid=text_of(labels, 1))["error"]["message"]
    page = client.post(f"/experiments/{number}/predictions", files={"valid": ("a.tsv", b"x\n")})
    assert (page.status_code, "is no row number" in page.text) == (422, True)
    page = client.post(
        f"/experiments/{number}/predictions",
        files={"valid": ("a.tsv", text_of(labels, 1).encode()), "test": ("", b"")},
        follow_redirects=False,
    )
    assert page.status_code == 303, page.text
