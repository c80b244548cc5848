"""From a finished experiment to a server of its model: `pairboard export`, then `pairboard serve-model`."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from ml.contract.experiment import merge
from tests.factories import TINY, pair_text
from tests.processes import ROOT, SetUp, set_up


@contextmanager
def serving(line: SetUp, folder: Path) -> Iterator[httpx2.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "app", "serve-model", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, env=line.env, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            deadline = time.monotonic() + 60
            while True:
                try:
                    assert http.get("/health").json()["status"] == "ok"
                    break
                except httpx2.TransportError:
                    assert process.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
            yield http
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_a_model_leaves_the_house(tmp_path: Path) -> None:
    with set_up(tmp_path) as line:
        line.start_web()
        line.start_worker()
        line.http.post("/contests", data={"name": "Oppo", "slug": "oppo", "metric": "roc_auc"})
        texts = {
            kind: pair_text(300 if kind == "train" else 40, seed=1, label=kind == "train") for kind in ("train", "test")
        }
        for kind, text in texts.items():
            line.http.post("/contests/oppo/files", files={"file": (f"{kind}.tsv", text)}, data={"kind": kind})
        changes = {"pretrain": None, "finetune": {"head": "mean", "swap_at_test": True}}
        body = {"name": "one", "config": merge(TINY, changes)}
        assert line.http.post("/api/v1/contests/oppo/experiments", json=body).status_code == 201
        one = line.finished(1)

        model = tmp_path / "model"
        said = line.cli("export", "1", str(model), "--int8")
        assert "on 60 rows" in said
        assert "int8: valid AUC" in said
        model = tmp_path / "exact"
        line.cli("export", "1", str(model))
        assert "run 1 finished" in line.refused("export", "1", "x", "--run", "77")
        assert "there is no experiment 9" in line.refused("export", "9", "x")
        assert "is not empty: give a new folder" in line.refused("export", "1", str(model))
        assert "PAIRBOARD_MODEL_TOKEN" in line.refused("serve-model", str(model), "--host", "0.0.0.0")
        assert "has no export.json" in line.refused("serve-model", str(tmp_path))

        text = line.http.get(f"/api/v1/runs/{one['runs'][-1]['id']}/artifacts/test_predictions.tsv").text
        expected = [float(row) for row in text.splitlines()]
        rows = [row.split("\t") for row in texts["test"].splitlines()]
        line.env["PAIRBOARD_MODEL_TOKEN"] = "a-token-for-callers"
        with serving(line, model) as http:
            asked = {"pairs": [{"a": row[0], "b": row[1]} for row in rows]}
            assert http.post("/predict", json=asked).status_code == 401
            http.headers["Authorization"] = "Bearer a-token-for-callers"
            told = http.post("/predict", json=asked).raise_for_status().json()
            assert told["probabilities"] == pytest.approx(expected, abs=1e-5)
            assert told["milliseconds"] > 0
            assert http.post("/predict", json={"pairs": []}).status_code == 422
            assert http.post("/predict", json={"pairs": [{"a": "x"}]}).status_code == 422
            assert http.post("/predict", json=asked, headers={"Host": "evil.example"}).status_code == 400
