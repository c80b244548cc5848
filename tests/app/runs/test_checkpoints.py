"""What an attempt saved goes to the next one, and leaves the disk when nobody will go on from it."""

import hashlib
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import storage as storage_module
from app.runs.sweeper import Sweeper
from app.storage import Storage
from ml.contract.events import Artifact, Checkpointed, Event, Finished, Returned
from tests.factories import TINY, contest_over_http, experiment_over_http, upload_over_http

WHO = {"worker": "w1", "boot_id": "boot-one"}
STATES = {step: f"state of step {step}".encode() for step in (10, 20, 30)}


class Line:
    """A run of an app, and the worker that holds it."""

    def __init__(self, client: TestClient, app: FastAPI, headers: dict[str, str]) -> None:
        contest_over_http(client)
        self.client, self.headers = client, headers
        self.storage: Storage = app.state.storage
        self.sweeper = Sweeper(app.state.settings, app.state.database, app.state.doorbell, app.state.storage)
        self.run_id: int = experiment_over_http(client, config={**TINY, "pretrain": None})["runs"][0]["id"]
        self.number = 0

    def claim(self) -> list[dict[str, Any]]:
        """The next attempt; its inputs of role checkpoint."""
        answer = self.client.post(f"/api/v1/runs/{self.run_id}/claim", json=WHO, headers=self.headers)
        assert answer.status_code == 200, answer.text
        self.mine = {"Authorization": f"Bearer {answer.json()['token']}"}
        self.number = 0
        return [item for item in answer.json()["job"]["inputs"] if item["role"] == "checkpoint"]

    def say(self, *events: Event) -> None:
        """Events of the attempt."""
        body = {"first": self.number + 1, "events": [event.model_dump(mode="json") for event in events]}
        answer = self.client.post(f"/api/v1/runs/{self.run_id}/events", json=body, headers=self.mine)
        assert answer.status_code == 200, answer.text
        self.number += len(events)

    def upload(self, name: str, content: bytes) -> str:
        """A file of the attempt; its sha256."""
        return upload_over_http(self.client, self.run_id, name, content, self.mine)

    def save(self, *steps: int) -> None:
        """Checkpoints of these steps."""
        for step in steps:
            name = f"checkpoint-{step}.safetensors"
            sha256 = self.upload(name, STATES[step])
            self.say(
                Checkpointed(step=step, total_steps=99, name=name, path=name, sha256=sha256, size=len(STATES[step]))
            )

    def on_disk(self) -> set[int]:
        """Steps whose states storage holds."""
        return {
            step for step, state in STATES.items() if self.storage.path(hashlib.sha256(state).hexdigest()).is_file()
        }


@pytest.fixture
def line(client: TestClient, app: FastAPI, worker_headers: dict[str, str]) -> Line:
    return Line(client, app, worker_headers)


def test_the_next_attempt_gets_the_two_newest(line: Line) -> None:
    assert line.claim() == []
    line.save(10, 20, 30)
    line.say(Returned(reason="its worker was stopped"))
    given = line.claim()
    assert [item["name"] for item in given] == ["checkpoint-30.safetensors", "checkpoint-20.safetensors"]
    assert [item["path"] for item in given] == [f"inputs/checkpoint/{item['name']}" for item in given]
    fetched = line.client.get(f"/api/v1/runs/{line.run_id}/inputs/{given[0]['sha256']}", headers=line.mine)
    assert fetched.content == STATES[30]


def test_they_are_no_files_of_the_run(line: Line) -> None:
    line.claim()
    line.save(10)
    sha256 = line.upload("model.safetensors", b"weights")
    line.say(Artifact(name="model.safetensors", path="model.safetensors", sha256=sha256, size=7))
    shown = line.client.get(f"/api/v1/runs/{line.run_id}").json()
    assert [item["name"] for item in shown["artifacts"]] == ["model.safetensors"]
    assert line.client.get(f"/api/v1/runs/{line.run_id}/artifacts/checkpoint-10.safetensors").status_code == 404


def test_the_disk_is_freed(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line.claim()
    line.save(10, 20, 30)
    line.sweeper.tidy()
    assert line.on_disk() == {10, 20, 30}, "what came just now may be named by a row that is being written"
    monkeypatch.setattr(storage_module, "NEW_FOR_S", 0)
    line.sweeper.tidy()
    assert line.on_disk() == {20, 30}
    line.say(Finished(seconds=1))
    line.sweeper.tidy()
    assert line.on_disk() == set()
    line.sweeper.tidy()


def test_bytes_that_another_row_names_stay(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "NEW_FOR_S", 0)
    line.claim()
    line.save(10)
    sha256 = line.upload("twin.bin", STATES[10])
    line.say(Artifact(name="twin.bin", path="twin.bin", sha256=sha256, size=len(STATES[10])), Finished(seconds=1))
    line.sweeper.tidy()
    assert line.on_disk() == {10}
    assert line.client.get(f"/api/v1/runs/{line.run_id}/artifacts/twin.bin").content == STATES[10]
