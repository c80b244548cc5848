"""Events wait on disk until the app has them: the app away, a torn line, a refusal, a stale attempt."""

import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ml.contract.events import Artifact, Cancelled, Checkpointed, Event, EventAnswer, Failed, Finished, Log
from ml.contract.experiment import ExperimentConfig
from ml.contract.job import Job
from worker import main as worker_main
from worker.client import Away, Client, Rejected, Stale
from worker.courier import Courier
from worker.hardware import machine
from worker.settings import WorkerSettings
from worker.spool import Spool

JOB = Job(run_id=7, attempt=1, kind="finetune", config=ExperimentConfig(), inputs=())


class FakeApp:
    """Stands where the client's app would: keeps what it is sent, and fails as it is told to."""

    def __init__(self, *failures: Exception | None, stop: bool = False) -> None:
        self.failures, self.stop = list(failures), stop
        self.events: list[Event] = []
        self.files: list[str] = []
        self.refused: set[str] = set()

    def send(self, run_id: int, token: str, first: int, events: tuple[Event, ...], waited: float = 0.0) -> EventAnswer:
        """Store consecutive events, replays ignored."""
        assert (run_id, token) == (7, "secret")
        if self.failures and (failure := self.failures.pop(0)):
            raise failure
        assert first <= len(self.events) + 1, "a gap"
        self.events[first - 1 :] = events
        return EventAnswer(stored=len(self.events), stop=self.stop)

    def upload(self, run_id: int, token: str, name: str, path: Path, sha256: str) -> None:
        """Take a file, or refuse it."""
        path.read_bytes()
        if name in self.refused:
            raise Rejected("413 too large")
        self.files.append(name)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool.create(tmp_path, JOB, "secret")


def deliver(spool: Spool, app: Any, **heard: Any) -> Courier:
    stop, stale = heard.get("stop", lambda: None), heard.get("stale", lambda: None)
    courier = Courier(app, spool, heard.get("leaving", threading.Event()), on_stop=stop, on_stale=stale)
    courier._patience = 0.01
    courier.start()
    assert courier.close() or "stale" in heard or "stop" in heard
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


def test_what_was_delivered_is_not_read_again(spool: Spool) -> None:
    for number in range(300):
        spool.append(Log(level="info", message=f"event {number}"))
    spool.mark(299)
    path = spool.folder / "events.jsonl"
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(b"x" * last + whole[last:])
    spool.append(Finished(seconds=1))
    assert spool.after(299, 9) == [Log(level="info", message="event 299"), Finished(seconds=1)]
    assert spool.after(299, 1) == [Log(level="info", message="event 299")]


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


def saved(spool: Spool, *steps: int) -> list[Event]:
    """Checkpoints of these steps, their files in the spool."""
    (spool.folder / "out").mkdir(exist_ok=True)
    events: list[Event] = []
    for step in steps:
        name = f"checkpoint-{step}.safetensors"
        (spool.folder / "out" / name).write_bytes(b"state")
        events.append(Checkpointed(step=step, total_steps=9, name=name, path=name, sha256="ab" * 32, size=5))
    return events


def test_of_several_checkpoints_the_newest_is_sent(spool: Spool) -> None:
    said = [*saved(spool, 1, 2, 3), Finished(seconds=1)]
    (spool.folder / "out" / "checkpoint-1.safetensors").unlink()  # the trainer keeps two
    for event in said:
        spool.append(event)
    app = FakeApp()
    deliver(spool, app)
    assert app.files == ["checkpoint-3.safetensors"]
    assert app.events == said


def test_a_slow_link_sees_few_checkpoints_but_the_last_of_a_worker_that_leaves(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.courier.CHECKPOINT_COST", 1e12)
    app, leaving = FakeApp(), threading.Event()
    courier = Courier(app, spool, leaving, on_stop=lambda: None, on_stale=lambda: None)  # type: ignore[arg-type]
    courier.start()
    for step in (1, 2, 3):
        leaving.set() if step == 3 else None
        spool.append(*saved(spool, step))
        while spool.delivered < step:
            time.sleep(0.01)
    assert app.files == ["checkpoint-1.safetensors", "checkpoint-3.safetensors"]
    assert courier.close()


def test_a_refused_checkpoint_costs_the_run_nothing(spool: Spool) -> None:
    (file,) = saved(spool, 1)
    for event in (file, Finished(seconds=1)):
        spool.append(event)
    app = FakeApp()
    app.refused = {"checkpoint-1.safetensors"}
    deliver(spool, app)
    assert app.events == [file, Finished(seconds=1)]


def test_a_checkpoint_that_is_gone_was_followed_by_a_newer_one(spool: Spool) -> None:
    (file,) = saved(spool, 1)
    (spool.folder / "out" / "checkpoint-1.safetensors").unlink()
    spool.append(file)
    app = FakeApp()
    deliver(spool, app)
    assert (app.events, app.files) == ([file], [])


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
    client = Client("http://127.0.0.1:1", "pb-worker_x", "w", "boot", ["pairboard"])
    with pytest.raises(Away, match="Connect"):
        client.claim(machine(Path("."), None))


def test_a_full_disk_leaves_no_half_event(tmp_path: Path) -> None:
    """What can't be written whole is not there; the next event stands on a line of its own."""
    spool = Spool.create(tmp_path, JOB, "token")
    spool.append(Log(message="first"))
    events = spool.folder / "events.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (events.stat().st_size + 20, limits[1]))
        with pytest.raises(OSError, match=r"File too large|No space"):
            spool.append(Log(message="x" * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    spool.append(Log(message="second"))
    assert [event.message for event in Spool(spool.folder).after(0, 9) if isinstance(event, Log)] == ["first", "second"]
    assert spool.written == 2


def test_a_disk_that_fails_for_a_while_delays_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The courier waits for it as it waits for the app."""
    spool, app = Spool.create(tmp_path, JOB, "secret"), FakeApp()
    spool.append(Finished(seconds=1))
    after, failures = spool.after, [OSError(5, "Input/output error")]

    def fails_once(number: int, limit: int) -> list[Event]:
        if failures:
            raise failures.pop()
        return after(number, limit)

    monkeypatch.setattr(spool, "after", fails_once)
    never = threading.Event()
    Courier(app, spool, never, on_stop=lambda: None, on_stale=lambda: None).deliver()  # type: ignore[arg-type]
    assert app.events == [Finished(seconds=1)]


def test_an_attempt_s_token_outlasts_its_folder(tmp_path: Path) -> None:
    """The presence thread may ask for it while the carried run's folder goes."""
    spool = Spool.create(tmp_path, JOB, "secret")
    Courier(FakeApp(), spool, threading.Event(), on_stop=lambda: None, on_stale=lambda: None)  # type: ignore[arg-type]
    shutil.rmtree(spool.folder)
    assert (spool.token, spool.job) == ("secret", JOB)


class FullDisk:
    """A carrier whose disk is full at first."""

    def __init__(self) -> None:
        self.stopping, self.reports = threading.Event(), 0

    def report(self) -> None:
        """Fails once."""
        self.reports += 1
        if self.reports == 1:
            raise OSError(28, "No space left on device")
        self.stopping.set()


def test_a_full_disk_does_not_silence_the_worker() -> None:
    carrier = FullDisk()
    worker_main._report(WorkerSettings(heartbeat_seconds=0.01), carrier)  # type: ignore[arg-type]
    assert carrier.reports == 2
