"""Events wait on disk until the app has them: the app away, a torn line, a refusal, a stale attempt."""

import threading
from pathlib import Path
from typing import Any

import pytest

from ml.contract.events import Artifact, Cancelled, Event, EventAnswer, Failed, Finished, Log
from ml.contract.experiment import ExperimentConfig
from ml.contract.job import Job
from worker.client import Away, Client, Rejected, Stale
from worker.courier import Courier
from worker.spool import Spool

JOB = Job(run_id=7, attempt=1, kind="finetune", config=ExperimentConfig(), inputs=())


class FakeApp:
    """Stands where the client's app would: keeps what it is sent, and fails as it is told to."""

    def __init__(self, *failures: Exception | None, stop: bool = False) -> None:
        self.failures, self.stop = list(failures), stop
        self.events: list[Event] = []
        self.files: list[str] = []

    def send(self, run_id: int, token: str, first: int, events: tuple[Event, ...]) -> EventAnswer:
        """Store consecutive events, replays ignored."""
        assert (run_id, token) == (7, "secret")
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        assert first <= len(self.events) + 1, "a gap"
        self.events[first - 1 :] = events
        return EventAnswer(stored=len(self.events), stop=self.stop)

    def upload(self, run_id: int, token: str, name: str, path: Path, sha256: str) -> None:
        """Take a file."""
        assert path.is_file()
        self.files.append(name)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(tmp_path, JOB, "secret")


def deliver(spool: Spool, app: Any, **heard: Any) -> Courier:
    courier = Courier(app, spool, on_stop=heard.get("stop", lambda: None), on_stale=heard.get("stale", lambda: None))
    courier._patience = 0.01
    courier.start()
    assert courier.close(threading.Event()) or "stale" in heard or "stop" in heard
    return courier


def test_a_spool_survives_its_process(spool: Spool) -> None:
    spool.append(Log(message="一"))
    spool.append(Finished(seconds=1))
    spool.mark(1)
    with (spool.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"type":"log","mess')  # killed in the middle of a write
    again = Spool(spool.folder)
    assert (again.written, again.delivered, again.ended()) == (2, 1, True)
    assert again.after(1, 10) == [Finished(seconds=1)]
    assert (again.job, again.token) == (JOB, "secret")
    assert (spool.folder / "token").stat().st_mode & 0o077 == 0
    again.append(Log(message="after the tear"))
    assert Spool(spool.folder).after(2, 10) == [Log(message="after the tear")]


def test_everything_arrives_once_in_order_though_the_app_was_away(spool: Spool) -> None:
    (spool.folder / "out").mkdir()
    (spool.folder / "out" / "model.safetensors").write_bytes(b"w")
    file = Artifact(name="model.safetensors", path="model.safetensors", sha256="ab" * 32, size=1)
    said = [*(Log(message=str(n)) for n in range(450)), file, Finished(seconds=1)]
    for event in said:
        spool.append(event)
    app = FakeApp(Away("down"), None, Away("down again"))
    deliver(spool, app)
    assert app.events == said
    assert app.files[-1:] == ["model.safetensors"]
    assert spool.delivered == len(said)


def test_a_stale_attempt_stops_its_trainer_and_is_dropped(spool: Spool) -> None:
    spool.append(Log(message="hi"))
    heard = threading.Event()
    deliver(spool, FakeApp(Stale("409")), stale=heard.set)
    assert heard.is_set()
    assert spool.delivered == spool.written


def test_the_answer_says_stop(spool: Spool) -> None:
    spool.append(Log(message="hi"))
    heard = threading.Event()
    deliver(spool, FakeApp(stop=True), stop=heard.set)
    assert heard.is_set()


def test_what_the_app_never_takes_ends_the_run_with_the_reason(spool: Spool) -> None:
    spool.append(Log(message="fine"))
    app = FakeApp(Rejected("422 no such thing"))
    heard = threading.Event()
    deliver(spool, app, stale=heard.set)
    (last,) = app.events
    assert isinstance(last, Failed)
    assert "422 no such thing" in last.reason
    assert heard.is_set()


def test_nothing_follows_the_last_event(spool: Spool) -> None:
    assert not spool.ended()
    spool.append(Cancelled())
    assert spool.ended()


def test_a_server_that_is_not_there_is_away() -> None:
    client = Client("http://127.0.0.1:1", "pb-worker_x", "w", "boot")
    with pytest.raises(Away, match="Connect"):
        client.claim(1)
