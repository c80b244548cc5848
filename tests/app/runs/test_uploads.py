"""A worker's files: in pieces, gone on with after a cut, once for equal bytes, whole or not at all."""

import hashlib
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.errors import NoRoom
from app.partial import Partial
from app.storage import Storage
from tests.factories import TINY, contest_over_http, experiment_over_http

WHO = {"worker": "w1", "boot_id": "boot-one"}
CONTENT = bytes(range(256)) * 40


class Upload:
    """What a worker does with one file."""

    def __init__(self, client: TestClient, run_id: int, headers: dict[str, str], content: bytes = CONTENT) -> None:
        self.client, self.content = client, content
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.address = f"/api/v1/runs/{run_id}/uploads"
        answer = client.post(f"/api/v1/runs/{run_id}/claim", json=WHO, headers=headers)
        self.mine = {"Authorization": f"Bearer {answer.json()['token']}"}

    def ask(self, name: str = "model.safetensors", **changes: Any) -> Any:
        """Where to go on from."""
        told = {"name": name, "sha256": self.sha256, "size": len(self.content), **changes}
        return self.client.post(self.address, json=told, headers=self.mine)

    def send(self, start: int, end: int) -> Any:
        """A piece."""
        address = f"{self.address}/{self.sha256}?offset={start}&size={len(self.content)}"
        return self.client.patch(address, content=self.content[start:end], headers=self.mine)


@pytest.fixture
def run_id(client: TestClient) -> int:
    contest_over_http(client)
    found: int = experiment_over_http(client, config={**TINY, "pretrain": None})["runs"][0]["id"]
    return found


@pytest.fixture
def upload(client: TestClient, run_id: int, worker_headers: dict[str, str]) -> Upload:
    return Upload(client, run_id, worker_headers)


@pytest.fixture
def storage(app: FastAPI) -> Storage:
    found: Storage = app.state.storage
    return found


def left(storage: Storage) -> list[Path]:
    return list(storage.root.glob("incoming-*"))


def test_pieces_make_a_file_and_a_repeated_or_early_one_changes_nothing(upload: Upload, storage: Storage) -> None:
    assert upload.ask().json()["offset"] == 0
    assert upload.send(0, 4000).json()["offset"] == 4000
    assert upload.send(0, 4000).json()["offset"] == 4000, "its answer was lost and it was sent again"
    assert upload.send(8000, 10_240).json()["offset"] == 4000, "a gap"
    asked = upload.ask().json()
    assert (asked["offset"], asked["artifact"]) == (4000, None)
    assert upload.send(4000, 10_240).json()["offset"] == 10_240
    done = upload.ask().json()["artifact"]
    assert (done["sha256"], done["size"]) == (upload.sha256, 10_240)
    assert storage.path(upload.sha256).read_bytes() == CONTENT
    assert not left(storage)
    assert upload.ask().json()["artifact"] == done


def test_bytes_that_a_run_sent_before_are_not_sent_again(
    upload: Upload, client: TestClient, worker_headers: dict[str, str]
) -> None:
    upload.send(0, 10_240)
    assert upload.ask().json()["artifact"]
    other = experiment_over_http(client, config={**TINY, "pretrain": None, "seed": 9})["runs"][0]["id"]
    again = Upload(client, other, worker_headers)
    assert again.ask("twin.bin").json()["artifact"]["name"] == "twin.bin"


def test_a_hash_opens_no_file_of_a_contest(
    client: TestClient, run_id: int, worker_headers: dict[str, str], storage: Storage
) -> None:
    train = next(path for path in storage.root.glob("*/*") if path.is_file())
    thief = Upload(client, run_id, worker_headers, train.read_bytes())
    asked = thief.ask().json()
    assert (asked["offset"], asked["artifact"]) == (0, None)


def test_a_row_whose_bytes_are_gone_does_not_count_as_known(upload: Upload, storage: Storage) -> None:
    upload.send(0, 10_240)
    upload.ask()
    storage.path(upload.sha256).unlink()
    assert upload.ask().json()["offset"] == 0


def test_other_bytes_than_said_are_dropped_and_told(upload: Upload, storage: Storage) -> None:
    upload.content = b"x" * 10_240
    upload.send(0, 10_240)
    asked = upload.ask().json()
    assert (asked["offset"], asked["artifact"]) == (0, None)
    assert f"do not have the sha256 {upload.sha256}" in asked["problem"]
    assert not left(storage)
    assert not storage.path(upload.sha256).exists()


def test_an_empty_file(client: TestClient, run_id: int, worker_headers: dict[str, str]) -> None:
    assert Upload(client, run_id, worker_headers, b"").ask().json()["artifact"]["size"] == 0


@pytest.mark.parametrize("name", ["../etc", "..", ".hidden", "a/b", "x" * 101, "a b", ""])
def test_a_name_never_leaves_its_place(upload: Upload, name: str) -> None:
    assert upload.ask(name).status_code == 422


def test_limits_are_told_before_a_byte_is_taken(upload: Upload, storage: Storage) -> None:
    storage.max_bytes = 1 << 20
    answer = upload.ask(size=(1 << 20) + 1)
    assert answer.status_code == 413
    assert "raise PAIRBOARD_MAX_UPLOAD_MB" in answer.json()["error"]["message"]
    storage.max_bytes = 1 << 30
    upload.content = bytes((4 << 20) + 1)
    assert "send smaller ones" in upload.send(0, len(upload.content)).json()["error"]["message"]
    upload.content = CONTENT
    upload.send(0, 10_000)
    beyond = upload.client.patch(
        f"{upload.address}/{upload.sha256}?offset=10000&size=10240", content=b"x" * 300, headers=upload.mine
    )
    assert beyond.status_code == 413
    assert upload.ask().json()["offset"] == 10_000
    for wrong in ({"size": -1}, {"sha256": "../../etc"}, {"more": 1}):
        assert upload.ask(**wrong).status_code == 422


def test_only_the_attempt_that_holds_the_run_sends(
    upload: Upload, client: TestClient, run_id: int, worker_headers: dict[str, str]
) -> None:
    upload.send(0, 4000)
    assert client.patch(f"{upload.address}/{upload.sha256}?offset=0&size=9", content=b"x").status_code == 401
    stale = dict(upload.mine)
    lost = {"first": 1, "events": [{"type": "crashed", "reason": "killed"}]}
    assert client.post(f"/api/v1/runs/{run_id}/events", json=lost, headers=stale).status_code == 200
    for answer in (upload.ask(), upload.send(4000, 5000)):
        assert answer.status_code == 409
        assert "no longer holds" in answer.json()["error"]["message"]
    again = Upload(client, run_id, worker_headers)
    assert again.ask().json()["offset"] == 4000, "the next attempt goes on with the file"


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Files of this process end at `size` bytes, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_a_full_disk_takes_a_piece_whole_or_not_at_all(tmp_path: Path) -> None:
    partial = Partial(Storage(tmp_path, 1 << 20), 1, hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    partial.write(0, CONTENT[:4000])
    with disk_of(5000), pytest.raises(NoRoom, match="could not be written to"):
        partial.write(4000, CONTENT[4000:])
    assert partial.offset == 4000
    assert partial.write(4000, CONTENT[4000:]) == len(CONTENT)
    kept = partial.keep()
    assert kept is not None
    assert kept.path.read_bytes() == CONTENT


def test_a_full_disk_is_told_on_the_run_until_there_is_room(
    upload: Upload, client: TestClient, run_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise NoRoom("the file could not be written to /data/storage: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Partial, "write", full)
        assert upload.send(0, 4000).status_code == 507
    assert "No space left on device. It tries again." in client.get(f"/api/v1/runs/{run_id}").json()["reason"]
    upload.send(0, 10_240)
    upload.ask()
    assert client.get(f"/api/v1/runs/{run_id}").json()["reason"] == ""


def test_two_senders_of_one_file_at_once(tmp_path: Path) -> None:
    """An attempt's request that still hangs, and the next one: the file is right, and one keeps it."""
    storage, content = Storage(tmp_path, 1 << 30), os.urandom(1 << 20)
    sha256 = hashlib.sha256(content).hexdigest()
    kept = []

    def send() -> None:
        partial = Partial(storage, 1, sha256, len(content))
        while (start := partial.offset) < len(content) and not storage.path(sha256).exists():
            partial.write(start, content[start : start + 10_000])
        kept.append(storage.find(sha256, len(content)) or partial.keep())

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert storage.path(sha256).read_bytes() == content
    assert any(kept)


def test_what_waits_is_forgotten_after_a_day(upload: Upload, storage: Storage) -> None:
    upload.send(0, 4000)
    (waiting,) = left(storage)
    storage.forget_torn()
    assert waiting.exists()
    os.utime(waiting, (0, 0))
    storage.forget_torn()
    assert upload.ask().json()["offset"] == 0
