"""The file broker between the app's doorbell and a worker that looks into its folder meanwhile."""

import logging
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from kombu import Connection
from pydantic import SecretStr

from app.queue import Doorbell
from app.settings import Settings
from worker.broker import BrokenAreSkipped, FileTransport, transport_options

FILES = "filesystem://"


@contextmanager
def worker_end(folder: Path) -> Iterator[BrokenAreSkipped]:
    """As a worker's consumer opens it."""
    options = transport_options(FILES, folder)
    with Connection(FILES, transport=FileTransport, transport_options=options) as connection:
        yield connection.channel()


@pytest.fixture
def doorbell(tmp_path: Path) -> Doorbell:
    return Doorbell(Settings(data_dir=tmp_path, broker_url=SecretStr(FILES)))


def taken(channel: BrokenAreSkipped) -> dict[str, Any] | None:
    try:
        return channel._get("pairboard")
    except Empty:
        return None


def test_whoever_looks_while_it_is_rung_finds_whole_messages(doorbell: Doorbell, tmp_path: Path) -> None:
    ringing = threading.Thread(target=lambda: doorbell.ring((number, "pairboard") for number in range(300)))
    found = []
    with worker_end(tmp_path) as channel:
        ringing.start()
        while ringing.is_alive() or channel._size("pairboard"):
            if message := taken(channel):
                found.append(message["headers"]["argsrepr"])
    ringing.join()
    assert sorted(found) == sorted(f"[{number}]" for number in range(300))
    assert list((tmp_path / "broker" / "messages").iterdir()) == []


def test_a_disk_that_fills_meanwhile_leaves_no_half_message(doorbell: Doorbell, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert not doorbell.ring([(7, "pairboard")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.suffix for path in (tmp_path / "broker" / "messages").iterdir()] == [".part"]
    with worker_end(tmp_path) as channel:
        assert taken(channel) is None


def test_a_message_that_is_not_whole_costs_itself_alone(
    doorbell: Doorbell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    messages = tmp_path / "broker" / "messages"
    for number, content in enumerate((b"", b'{"body": "W1', b"\xff\xfe\x00")):
        (messages / f"0_{number}.pairboard.msg").write_bytes(content)
    doorbell.ring([(7, "pairboard")])
    with caplog.at_level(logging.WARNING), worker_end(tmp_path) as channel:
        message = taken(channel)
        assert message is not None
        assert message["headers"]["argsrepr"] == "[7]"
        assert taken(channel) is None
    assert caplog.text.count("can't be read and is left out") == 3
