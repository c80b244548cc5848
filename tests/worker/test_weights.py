"""A worker of an app that others reach opens no folder but those of its own setting."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from ml.contract.experiment import ExperimentConfig
from ml.contract.job import Job, RunKind
from tests.factories import TINY
from worker.settings import WorkerSettings
from worker.weights import refusal


def job(weights: str, kind: RunKind = "finetune") -> Job:
    config = ExperimentConfig.model_validate({**TINY, "encoder": {**TINY["encoder"], "weights": weights}})
    return Job(run_id=1, attempt=1, kind=kind, config=config, inputs=())


def settings(server: str, folder: Path | None) -> WorkerSettings:
    return WorkerSettings(server=server, token=SecretStr("pb-worker_x"), weights_dir=folder)


def test_what_a_worker_opens(tmp_path: Path) -> None:
    inside, outside = tmp_path / "weights" / "bert", tmp_path / "elsewhere"
    inside.mkdir(parents=True)
    outside.mkdir()
    (tmp_path / "weights" / "link").symlink_to(outside)
    far, near = "http://app.example:8000", "http://127.0.0.1:8000"
    for server in (far, near):
        own = settings(server, tmp_path / "weights")
        assert refusal(job(str(inside)), own) == ""
        for place in (str(outside), f"{inside}/../../elsewhere", str(tmp_path / "weights" / "link"), "/etc", "~"):
            assert "is not in" in refusal(job(place), own), place
    assert "PAIRBOARD_WORKER_WEIGHTS_DIR" in refusal(job(str(inside)), settings(far, None))
    assert refusal(job("/etc", "blend"), settings(far, None)) == "", "a blend opens none"
    assert refusal(job(""), settings(far, None)) == ""


@pytest.mark.parametrize("server", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"])
def test_on_ones_own_machine_any_folder(server: str, tmp_path: Path) -> None:
    assert refusal(job(str(tmp_path)), settings(server, None)) == ""
