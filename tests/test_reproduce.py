"""The commands that an experiment's page shows, followed word by word elsewhere, give the same numbers to the bit.

A real web server and worker made the run; curl fetches its job, and `python -m ml` does it again in an empty folder.
"""

import hashlib
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

from tests.factories import TINY, pair_text
from tests.processes import ROOT, SetUp, set_up


def commands(line: SetUp, experiment: int, run: int) -> str:
    """As a reader copies them from the page."""
    page = line.http.get(f"/experiments/{experiment}").text
    found = re.search(rf'<pre id="commands-{run}"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert found, page
    return unescape(found[1])


def follow(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a shell, in an empty folder, where `python` is one that has pairboard."""
    folder.mkdir()
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    return subprocess.run(["bash", "-e", "-c", text], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_each_run_is_done_again_to_the_bit(tmp_path: Path) -> None:
    with set_up(tmp_path) as line:
        line.start_web()
        line.start_worker()
        line.http.post("/contests", data={"name": "Oppo", "slug": "oppo", "metric": "roc_auc"})
        for kind in ("train", "test"):
            text = pair_text(300 if kind == "train" else 40, label=kind == "train")
            sent = line.http.post("/contests/oppo/files", files={"file": (f"{kind}.tsv", text)}, data={"kind": kind})
            assert sent.status_code == 303, sent.text
        config = {**TINY, "data": {**TINY["data"], "folds": 2}}
        made = line.http.post("/api/v1/contests/oppo/experiments", json={"name": "first", "config": config})
        done = line.finished(made.raise_for_status().json()["id"])
        assert [run["kind"] for run in done["runs"]] == ["pretrain", "finetune", "finetune", "blend"]

        for run in done["runs"]:
            text = commands(line, done["id"], run["id"])
            assert text == line.http.get(f"/api/v1/runs/{run['id']}/job.sh").text
            again = follow(text, tmp_path / f"again-{run['id']}")
            assert again.returncode == 0, again.stderr
            assert "another version" not in again.stderr
            out = tmp_path / f"again-{run['id']}" / f"run-{run['id']}" / "out"
            compared = {
                "scores.json",
                "valid_predictions.tsv",
                "test_predictions.tsv",
                "model.safetensors",
                "vocab.txt",
            }
            hashes = {item["name"]: item["sha256"] for item in run["artifacts"] if item["name"] in compared}
            assert hashes
            assert {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in hashes} == hashes
            job = line.http.get(f"/api/v1/runs/{run['id']}/job").json()
            assert (job["threads"], job["device"]) == (1, "cpu")
            assert "pb-" not in str(job), "no token is inside"

        other = text.replace(re.findall(r"= ([0-9a-f]{16}) ", text)[0], "0" * 16)
        warned = follow(other, tmp_path / "other")
        assert "another version of the code" in warned.stderr
