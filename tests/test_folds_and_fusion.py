"""Folds, a fusion and a student through the real web server, worker and trainer: rows that fill themselves in."""

from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score

from ml.contract.experiment import merge
from tests.factories import TINY, pair_text
from tests.processes import SetUp, set_up

SMALL = merge(TINY, {"pretrain": None, "finetune": {"num_train_epochs": 1}})


def queued(line: SetUp, name: str, **changes: Any) -> dict[str, Any]:
    body = {"name": name, "config": merge(SMALL, changes)}
    answer = line.http.post("/api/v1/contests/oppo/experiments", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def valid_of(experiment: dict[str, Any]) -> dict[str, Any]:
    found = [s for s in experiment["scores"] if (s["split"], s["metric"]) == ("valid", "roc_auc")]
    assert len(found) == 1  # the folds' own scores are no rows of the table
    return found[0]


def predictions(line: SetUp, experiment: dict[str, Any]) -> list[tuple[int, int, float]]:
    text = line.http.get(f"/api/v1/runs/{experiment['runs'][-1]['id']}/artifacts/valid_predictions.tsv").text
    rows = [row.split("\t") for row in text.splitlines()]
    return [(int(row), int(label), float(p)) for row, label, p in rows]


def test_folds_then_a_fusion_then_a_student(tmp_path: Path) -> None:
    with set_up(tmp_path) as line:
        line.start_web()
        line.start_worker()
        line.http.post("/contests", data={"name": "Oppo", "slug": "oppo", "metric": "roc_auc"})
        for kind in ("train", "test", "unlabelled"):
            text = pair_text(300 if kind == "train" else 40, seed=len(kind), label=kind == "train")
            sent = line.http.post("/contests/oppo/files", files={"file": (f"{kind}.tsv", text)}, data={"kind": kind})
            assert sent.status_code == 303, sent.text

        pretrain = {**TINY["pretrain"], "unlabelled": True, "test_texts": True}
        first = queued(line, "bert, 2 folds", data={"folds": 2}, pretrain=pretrain)
        second = queued(line, "nezha, 2 folds", data={"folds": 2}, encoder={"model_type": "nezha"})
        fused = queued(line, "both", fusion={"members": [first["id"], second["id"]], "method": "weights"})
        student = queued(line, "student", finetune={"soft_labels_from": first["id"]})

        nezha, done = (line.finished(made["id"]) for made in (second, first))
        assert [(run["kind"], run["fold"]) for run in done["runs"]] == [
            *(("pretrain", None), ("finetune", 0), ("finetune", 1), ("blend", None))
        ]
        assert set(done["marks"]) == {"transductive"}
        score = valid_of(done)
        out_of_fold = predictions(line, done)
        assert sorted(row for row, _, _ in out_of_fold) == list(range(300))
        auc = roc_auc_score([label for _, label, _ in out_of_fold], [p for *_, p in out_of_fold])
        assert score["value"] == pytest.approx(auc)
        assert score["low"] < score["value"] < score["high"]
        each = [run["summary"]["scored"]["valid"]["scores"]["roc_auc"] for run in done["runs"][1:3]]
        assert score["members"] == each
        told = line.refused("export", str(first["id"]), "x")
        assert f"made of 2 models, and a file holds one: give --run, one of {done['runs'][1]['id']}," in told

        blended = line.finished(fused["id"])
        assert [run["kind"] for run in blended["runs"]] == ["blend"]
        assert valid_of(blended)["members"] == [score["value"], valid_of(nezha)["value"]]
        posted = line.http.post(f"/api/v1/experiments/{fused['id']}/online-scores", json={"value": 0.8})
        assert posted.status_code == 201
        taught = line.finished(student["id"])
        assert [run["kind"] for run in taught["runs"]] == ["finetune"]

        blends_of_the_page(line, [first["id"], second["id"]])

        page = line.http.get("/contests/oppo").text
        assert "2: 0." in page  # folds behind the score: how many, mean and deviation
        assert 'class="chip mark"' in page
        shown = line.http.get(f"/experiments/{first['id']}").text
        assert "fold 2" in shown
        table = line.http.get("/contests/oppo/leaderboard.md").text
        assert all(title in table for title in ("valid 95%", "folds", "marks"))
        again = line.http.get("/contests/oppo/leaderboard.csv").text
        assert "folds deviation" in again


def blends_of_the_page(line: SetUp, members: list[int]) -> None:
    """What the page promises before a click is what the row's run scores, and it writes a file to send."""
    asked = ",".join(map(str, members))
    read = line.http.get(f"/api/v1/contests/oppo/blend?ids={asked}")
    assert read.status_code == 200, read.text
    promised = {method["method"]: method["auc"][0] for method in read.json()["methods"]}
    for method in ("greedy", "constrained"):
        clicked = line.http.post("/contests/oppo/blend", data={"ids": asked, "method": method})
        assert clicked.status_code == 303, clicked.text
        row = line.finished(int(clicked.headers["location"].split("/")[-1]))
        assert valid_of(row)["value"] == pytest.approx(promised[method], abs=1e-12)
        file = line.http.get(f"/api/v1/runs/{row['runs'][-1]['id']}/artifacts/test_predictions.tsv").text
        assert len(file.splitlines()) == 40
    page = line.http.get(f"/contests/oppo/blend?ids={asked}").text
    assert page.count('name="method" value=') == 3  # "weights" was queued by hand above, as the same fusion


def test_a_clone_says_what_differs(tmp_path: Path) -> None:
    with set_up(tmp_path) as line:
        line.start_web()
        line.http.post("/contests", data={"name": "Oppo", "slug": "oppo", "metric": "roc_auc"})
        line.http.post("/contests/oppo/files", files={"file": ("train.tsv", pair_text(60))}, data={"kind": "train"})
        parent = queued(line, "parent")
        config = merge(SMALL, {"finetune": {"head": "mean", "averaging": "ema"}})
        body = {"name": "variant", "config": config, "parent_id": parent["id"]}
        child = line.http.post("/api/v1/contests/oppo/experiments", json=body).json()
        assert child["changes"] == {"finetune.head": ["cls", "mean"], "finetune.averaging": ["none", "ema"]}
        page = line.http.get(f"/experiments/{child['id']}").text
        assert "Differs from parent" in page
        assert "<code>finetune.averaging</code>" in page
