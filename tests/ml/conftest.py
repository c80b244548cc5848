"""A toy contest that a tiny model learns in seconds, and the jobs to run on it."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ml import run as run_module
from ml.contract.events import EVENT, Verified
from ml.contract.experiment import ExperimentConfig, merge
from ml.contract.pair_file import PairFileLayout
from ml.machine import Machine
from ml.pairs import Pairs

ROOT = Path(__file__).resolve().parents[2]
TRAIN_LAYOUT = PairFileLayout(columns=3, label_column=2)
TEST_LAYOUT = PairFileLayout(columns=2)
TINY = {
    "data": {"max_length": 24, "valid_fraction": 0.2},
    "encoder": {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64},
    "pretrain": {"num_train_epochs": 1, "batch_size": 32},
    "finetune": {"num_train_epochs": 6, "batch_size": 16, "learning_rate": 3e-3},
}


@pytest.fixture
def unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the fresh process of each run: test_run has it, and many runs would take minutes with it."""

    def at_once(_job: object, _folder: object, predicted: Callable[[], Any], _tell: object) -> tuple[Any, Verified]:
        return predicted(), Verified(rows=1, predictions_sha256="0" * 64)

    monkeypatch.setattr(run_module, "verify", at_once)


@pytest.fixture
def toy_rows() -> Callable[[int], list[tuple[str, str, int]]]:
    """Rows of anonymised ids; the label says whether the first sentence holds one of three ids."""

    def make(count: int = 400) -> list[tuple[str, str, int]]:
        random = np.random.default_rng(7)
        rows = []
        for _ in range(count):
            a, b = (random.integers(10, 50, random.integers(4, 8)).tolist() for _ in range(2))
            label = int(random.random() < 0.5)
            if label:
                a[random.integers(len(a))] = int(random.integers(1, 4))
            rows.append((" ".join(map(str, a)), " ".join(map(str, b)), label))
        return rows

    return make


@pytest.fixture
def tiny_config() -> Callable[..., ExperimentConfig]:
    """A config small enough for a test, with changes."""

    def make(**changes: object) -> ExperimentConfig:
        return ExperimentConfig.model_validate(merge(merge(ExperimentConfig().model_dump(mode="json"), TINY), changes))

    return make


@pytest.fixture
def cpu() -> Machine:
    """Two threads, float32."""
    import torch

    return Machine(torch.device("cpu"), 2, False)


@pytest.fixture
def workplace(tmp_path: Path) -> SimpleNamespace:
    """A folder for a job: `put` a file as an input, `job` writes job.json, `run` starts python -m ml on it."""

    def put(role: str, name: str, rows: list[tuple[object, ...]] | None = None, layout: PairFileLayout | None = None):
        path = tmp_path / name
        if rows is not None:
            path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
        content = path.read_bytes()
        return {
            "role": role,
            "path": name,
            "name": path.name,
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
            "layout": layout.model_dump() if layout else None,
            "rows": len(rows) if rows is not None else None,
        }

    def job(kind: str, config: ExperimentConfig, inputs: list[dict], **more: object) -> Path:
        path = tmp_path / f"{kind}.json"
        content = {"run_id": 1, "attempt": 1, "kind": kind, "config": config.model_dump(mode="json"), "inputs": inputs}
        path.write_text(json.dumps({**content, "device": "cpu", "threads": 1, **more}))
        return path

    def run(path: Path, out: str) -> tuple[int, list]:
        command = [sys.executable, "-m", "ml", str(path), str(tmp_path / out)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)
        return done.returncode, [EVENT.validate_json(line) for line in done.stdout.splitlines()]

    return SimpleNamespace(
        folder=tmp_path, put=put, job=job, run=run, train_layout=TRAIN_LAYOUT, test_layout=TEST_LAYOUT
    )


@pytest.fixture
def as_pairs() -> Callable[[list[tuple[str, str, int]]], Pairs]:
    """Rows as ml holds them."""

    def make(rows: list[tuple[str, str, int]]) -> Pairs:
        return Pairs([r[0] for r in rows], [r[1] for r in rows], np.array([r[2] for r in rows], dtype=np.int8))

    return make
