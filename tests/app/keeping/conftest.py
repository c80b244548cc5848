"""A set-up with something to lose, made the way the product makes it, and a machine with nothing on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.keeping import backup
from app.settings import Settings
from app.storage import Storage
from ml.contract.events import Artifact, Finished, Scored
from ml.contract.scores import Scores
from tests.app.runs.test_checkpoints import Line
from tests.conftest import drop_postgres, new_postgres
from tests.factories import TINY, experiment_over_http

SCORES = Scores(roc_auc=0.8125, accuracy=0.6, f1=0.5, log_loss=0.6)


@dataclass
class House:
    """A finished experiment, one under way that saved itself, and where backups go."""

    line: Line
    settings: Settings
    storage: Storage
    backups: Path

    def back_up(self) -> backup.Made:
        return backup.make(self.settings, self.storage, self.backups)


@pytest.fixture
def house(
    client: TestClient, app: FastAPI, worker_headers: dict[str, str], settings: Settings, tmp_path: Path
) -> House:
    line = Line(client, app, worker_headers)
    line.claim()
    sha256 = line.upload("model.safetensors", b"weights")
    line.say(Artifact(name="model.safetensors", path="model.safetensors", sha256=sha256, size=7))
    line.say(Scored(split="valid", rows=9, scores=SCORES), Finished(seconds=1))
    line.run_id = experiment_over_http(client, config={**TINY, "pretrain": None, "seed": 5})["runs"][0]["id"]
    line.claim()
    line.save(10, 20)
    return House(line, settings, app.state.storage, tmp_path / "backups")


@pytest.fixture
def empty(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a machine with nothing on it, of the same kind of database."""
    postgres = settings.database.startswith("postgres")
    url = new_postgres() if postgres else f"sqlite:///{tmp_path / 'second' / 'pairboard.db'}"
    yield Settings(data_dir=tmp_path / "second", database_url=url, sweep_seconds=600)  # type: ignore[arg-type]
    if postgres:
        drop_postgres(url)


@pytest.fixture
def older_url(settings: Settings, tmp_path: Path) -> Iterator[str]:
    """A database without tables, of the same kind."""
    postgres = settings.database.startswith("postgres")
    url = new_postgres() if postgres else f"sqlite:///{tmp_path / 'older.db'}"
    yield url
    if postgres:
        drop_postgres(url)
