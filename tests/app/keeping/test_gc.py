"""`pairboard gc`: says what may go, removes exactly that, and only when asked; what a person could miss stays."""

import io
import itertools
import os
import re
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app import schema
from app.cli import cli
from app.db import Database
from app.errors import AppError
from app.keeping import gc
from app.runs import queries, retention
from app.runs.sweeper import Sweeper
from app.settings import Settings
from ml.contract.events import Artifact, Finished, Log, Progress, Scored
from ml.contract.scores import Scores
from tests.app.runs.test_checkpoints import STATES, Line

SCORES = Scores(roc_auc=0.7, accuracy=0.6, f1=0.5, log_loss=0.6)


def progress(step: int) -> Progress:
    return Progress(
        stage="finetune",
        step=step,
        total_steps=130,
        epoch=step / 130,
        loss=1 / step,
        learning_rate=1e-3,
        samples_per_second=9.5,
        seconds_left=1.0,
    )


class House:
    """A run that ended long ago, and one of each kind of what may go; two days old, all of it."""

    def __init__(self, line: Line, settings: Settings, database: Database) -> None:
        self.line, self.settings, self.database, self.storage = line, settings, database, line.storage
        line.claim()
        line.save(10, 20, 30)
        line.say(Log(message="a line"), *(progress(step) for step in range(1, 131)))
        sha256 = line.upload("model.safetensors", b"weights")
        line.say(Artifact(name="model.safetensors", path="model.safetensors", sha256=sha256, size=7))
        line.say(Scored(split="valid", rows=9, scores=SCORES), Finished(seconds=1))
        self.unnamed = line.storage.store(io.BytesIO(b"of a file that was refused"))
        self.torn = line.storage.root / "incoming-9-half"
        self.torn.write_bytes(b"half")
        for ring in (settings.data_dir / "broker" / "messages").iterdir():
            ring.unlink()  # those for the run of this test
        self.message = settings.data_dir / "broker" / "messages" / "1_x.other.msg"
        self.message.write_bytes(b"ring")
        for path in settings.data_dir.rglob("*"):
            if path.is_file() and path.suffix not in {".db", ".db-wal", ".db-shm"}:
                os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 2 * 86400))
        with database.writing() as session:
            run = queries.run(session, line.run_id)
            assert run.ended_at is not None
            run.ended_at -= timedelta(days=40)
        line.client.post(
            "/api/v1/workers/heartbeat", json={"worker": "gone", "boot_id": "boot-one"}, headers=line.headers
        )
        with database.writing() as session:
            for worker in queries.workers(session):
                worker.last_seen_at -= timedelta(days=100)

    def bytes_on_disk(self) -> int:
        folders = (self.storage.root, self.settings.data_dir / "broker" / "messages")
        return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())

    def events(self) -> list[tuple[str, int]]:
        with self.database.reading() as session:
            attempts = [attempt.id for attempt in queries.attempts_of(session, self.line.run_id)]
            return [(event.type, event.number) for event in queries.events_of(session, attempts, limit=999)]

    def gc(self, *args: str) -> list[str]:
        """The command's lines."""
        told = CliRunner().invoke(cli, ["gc", *args])
        assert told.exit_code == 0, (told.output, told.exception)
        return [re.sub(r"\s+", " ", text) for text in told.output.splitlines()]


@pytest.fixture
def house(
    client: TestClient,
    app: FastAPI,
    worker_headers: dict[str, str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> House:
    monkeypatch.setenv("PAIRBOARD_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("PAIRBOARD_DATABASE_URL", settings.database)
    return House(Line(client, app, worker_headers), settings, app.state.database)


def test_it_says_what_may_go_and_removes_that_when_asked(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRBOARD_RETAIN_EVENT_DAYS", "30")
    monkeypatch.setenv("PAIRBOARD_RETAIN_POINTS", "50")
    monkeypatch.setenv("PAIRBOARD_RETAIN_WORKER_DAYS", "90")
    before, events = house.bytes_on_disk(), house.events()
    told = house.gc()
    assert told[-1] == "This was a dry run, NOTHING WAS REMOVED: `pairboard gc --yes` removes it."
    assert (house.bytes_on_disk(), house.events()) == (before, events)
    states = sum(map(len, STATES.values()))
    assert told[:4] == [
        f"checkpoints that no run will go on from 3 {states} B",
        "files that no row has named for 24 h 1 26 B",
        "uploads left half sent 24 h ago 1 4 B",
        "messages of the broker older than 24 h 1 4 B",
    ]
    assert told[4].startswith("progress and load of runs that ended 30 days ago, beyond 50 of each 80 ")
    assert told[5] == "workers not heard of for 90 days 1 0 B"

    assert house.gc("--yes") == [*told[:-1], "Removed."], "the same numbers"
    assert before - house.bytes_on_disk() == states + 26 + 4 + 4
    assert not house.torn.exists()
    assert not house.message.exists()
    assert all(line.split(" ")[-3:] == ["0", "0", "B"] for line in house.gc()[:7])
    with house.database.reading() as session:
        assert queries.workers(session) == []


def test_what_a_person_could_miss_stays(house: House) -> None:
    """By default: every event, every worker, and every file that a row names."""
    events = house.events()
    told = house.gc("--yes")
    assert "The progress of every run is kept for good (PAIRBOARD_RETAIN_EVENT_DAYS)." in told
    assert house.events() == events
    shown = house.line.client.get(f"/api/v1/runs/{house.line.run_id}/artifacts/model.safetensors")
    assert shown.content == b"weights"
    with house.database.reading() as session:
        assert len(queries.workers(session)) == 1
        assert all(house.storage.path(sha256).is_file() for sha256 in queries.stored_hashes(session))


def test_a_thinned_curve_keeps_its_ends_and_says_so(house: House, app: FastAPI) -> None:
    settings = house.settings.model_copy(update={"retain_event_days": 41.0, "retain_points": 50})
    sweeper = Sweeper(settings, house.database, app.state.doorbell, house.storage)
    before = house.events()
    sweeper.retire()
    assert house.events() == before, "it ended 40 days ago"
    settings = settings.model_copy(update={"retain_event_days": 39.0})
    Sweeper(settings, house.database, app.state.doorbell, house.storage).retire()
    after = house.events()
    steps = [number for kind, number in before if kind == "progress"]
    kept = [number for kind, number in after if kind == "progress"]
    assert len(kept) == 50
    assert (kept[0], kept[-1]) == (steps[0], steps[-1])
    assert max(b - a for a, b in itertools.pairwise(kept)) <= 3, "evenly"
    assert [item for item in after if item[0] != "progress"] == [item for item in before if item[0] != "progress"]
    page = house.line.client.get(f"/experiments/{experiment_of(house)}").text
    assert "80 more of progress and load were thinned out" in page


def experiment_of(house: House) -> int:
    with house.database.reading() as session:
        return queries.experiment_ids_of(session, house.line.run_id)[0]


@pytest.mark.parametrize(("count", "points"), [(0, 50), (1, 50), (50, 50), (51, 50), (52, 50), (99, 50), (10_007, 500)])
def test_evenly(count: int, points: int) -> None:
    places = list(retention.evenly(count, points))
    assert len(set(places)) == min(count, points)
    assert places == sorted(places)
    assert not count or (places[0], places[-1]) == (0, count - 1)


def test_what_is_new_or_in_use_again_stays(house: House) -> None:
    """A file whose row is still to come; one that an upload finds between the look and the removal; all of a backup."""
    fresh = house.storage.store(io.BytesIO(b"its row is on its way"))
    files = next(
        kind
        for kind in gc.kinds(house.settings, house.database, house.storage)
        if kind.name.startswith("files that no row")
    )
    assert files.found.count == 1
    assert house.storage.find(house.unnamed.sha256, house.unnamed.size)
    freed = files.remove()
    assert (freed.count, freed.waiting) == (0, {house.unnamed.sha256})
    os.utime(house.unnamed.path, (0, 0))
    with house.storage.steady():
        assert " 1 of its files stay for now: an upload or a backup needs them" in house.gc("--yes")
    assert (house.unnamed.path.exists(), fresh.path.exists()) == (True, True)
    house.gc("--yes")
    assert (house.unnamed.path.exists(), fresh.path.exists()) == (False, True)


def test_a_checkpoint_whose_file_had_to_wait_goes_with_the_next_sweep(house: House, app: FastAPI) -> None:
    sweeper = Sweeper(house.settings, house.database, app.state.doorbell, house.storage)
    with house.storage.steady():
        sweeper.tidy()
        assert house.line.on_disk() == {10, 20, 30}
    sweeper.tidy()
    assert house.line.on_disk() == set()


def test_another_database_than_the_files_belong_to(house: House, tmp_path: Path) -> None:
    """With a fresh database every file looks unnamed: nothing is removed."""
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    schema.upgrade(other.write_engine)
    with pytest.raises(AppError, match="names none of them: is PAIRBOARD_DATABASE_URL the database"):
        gc.kinds(house.settings, other, house.storage)
    other.dispose()
