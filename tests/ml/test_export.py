"""`python -m ml.export` and `python -m ml.answer`: the predictions of torch; int8 near them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ml.contract.experiment import ExperimentConfig
from ml.errors import RunError
from ml.export import export
from ml.onnx_scorer import OnnxScorer
from ml.pairs import Pairs
from ml.run import run

ROOT = Path(__file__).resolve().parents[2]
Config = Callable[..., ExperimentConfig]
Rows = Callable[..., list[tuple[str, str, int]]]
#: what could go wrong in a graph: relative positions, a slice by length, several weights, both orders
KINDS = {
    "nezha, mean, both orders": {
        "encoder": {"model_type": "nezha"},
        "finetune": {"num_train_epochs": 1, "head": "mean", "swap_at_test": True},
    },
    "bert, all, several weights": {
        "finetune": {"num_train_epochs": 2, "head": "all", "averaging": "last_predictions", "averaging_checkpoints": 2},
    },
    "albert, cls": {"encoder": {"model_type": "albert"}, "finetune": {"num_train_epochs": 1, "head": "cls"}},
}


@pytest.fixture
def trained(
    workplace: SimpleNamespace, toy_rows: Rows, tiny_config: Config, unverified: None
) -> Callable[[dict], Path]:
    """A finished finetune's folder; its job.json lies beside it."""

    def do(changes: dict) -> Path:
        rows = toy_rows(200)
        inputs = [
            workplace.put("train", "train.tsv", rows, workplace.train_layout),
            workplace.put("test", "test.tsv", [row[:2] for row in rows[:40]], workplace.test_layout),
        ]
        job = workplace.job("finetune", tiny_config(pretrain=None, **changes), inputs)
        run(job, workplace.folder / "run", lambda _event: None)
        return workplace.folder / "run"

    return do


@pytest.mark.parametrize("kind", KINDS)
def test_it_predicts_what_the_run_predicted(kind: str, trained: Callable[[dict], Path], tmp_path: Path) -> None:
    folder = trained(KINDS[kind])
    found = export(folder, tmp_path / "model", folder.parent / "finetune.json", int8=False)
    valid = [line.split("\t") for line in (folder / "valid_predictions.tsv").read_text().splitlines()]
    assert found["rows"] == len(valid)
    assert found["largest_difference"] < 1e-5
    assert found["auc"] == pytest.approx(json.loads((folder / "scores.json").read_text())["valid"]["roc_auc"], abs=1e-5)
    assert json.loads((tmp_path / "model" / "export.json").read_text()) == found
    test = [line.split("\t") for line in (folder.parent / "test.tsv").read_text().splitlines()]
    told = OnnxScorer(tmp_path / "model", 1).score(
        Pairs([a for a, _ in test], [b for _, b in test], np.empty(0, np.int8))
    )
    expected = [float(line) for line in (folder / "test_predictions.tsv").read_text().splitlines()]
    assert told.tolist() == pytest.approx(expected, abs=1e-5)


def test_programs(trained: Callable[[dict], Path], tmp_path: Path) -> None:
    folder = trained({"finetune": {"num_train_epochs": 4}})
    job = folder.parent / "finetune.json"
    out = tmp_path / "small"
    told = program("ml.export", str(folder), str(out), "--job", str(job), "--int8")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert found["int8_auc_cost"] == pytest.approx(found["torch_auc"] - found["int8_auc"])
    assert 1e-7 < found["int8_largest_difference"] < 0.1  # it is another model, and near
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["p99_ms"]

    answers = program("ml.answer", str(out), asked='[["1 20", "20 30"], ["21 22", "22"]]\n[["", "不"]]\n')
    lines = [json.loads(line) for line in answers.stdout.splitlines()]
    assert lines[0] == found
    assert [len(line) for line in lines[1:]] == [2, 1]
    assert all(0 < p < 1 for line in lines[1:] for p in line)

    again = program("ml.export", str(folder), str(out))
    assert again.returncode == 1
    assert "is not empty: give a new folder" in again.stderr
    assert "give a folder that `pairboard export` wrote" in program("ml.answer", str(tmp_path)).stderr


def program(*command: str, asked: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        input=asked,
        cwd=ROOT,
        timeout=120,
        check=False,
    )


def test_a_model_that_differs_is_not_kept(
    trained: Callable[[dict], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained({"finetune": {"num_train_epochs": 1}})
    score = OnnxScorer.score
    monkeypatch.setattr(OnnxScorer, "score", lambda self, pairs: score(self, pairs) + 2e-4)
    with pytest.raises(RunError, match=r"something else than torch: 0\.0002 at most"):
        export(folder, tmp_path / "model", None, int8=False)
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".export-*"))


def test_it_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is no finished finetune"):
        export(tmp_path, tmp_path / "model", None, int8=False)
