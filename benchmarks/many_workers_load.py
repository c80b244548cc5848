"""The workers of benchmarks/many_workers.py: threads that say what a real one says, through the worker's own client.

A share of them lives in a process of its own, so that Python's lock does not make them wait for each other.
"""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml.contract.events import Event, Finished, Progress, Scored
from ml.contract.scores import Scores
from worker import hardware
from worker.client import Away, Client
from worker.courier import BATCH

HEARTBEAT_S = 10.0  # PAIRBOARD_WORKER_HEARTBEAT_SECONDS
PROGRESS_S = 1.0  # a trainer tells one a second at first, later one in five (ml/meter.py)


@dataclass(frozen=True)
class Share:
    """Which workers, and when they do what: `begins` are three moments of time.time(), each phase lasts `seconds`."""

    server: str
    token: str
    first: int
    count: int
    begins: tuple[float, float, float]
    seconds: float
    folder: Path


@dataclass
class Told:
    """What a share of the workers saw. `sent`: events by (run, attempt); calls by phase, in seconds."""

    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    calls: dict[str, list[float]] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    sent_again: int = 0


def work(share: Share) -> Told:
    """All workers of the share, from claim to last event."""
    told = Told()
    threads = [Simulated(share, number, told) for number in range(share.first, share.first + share.count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in threads:
        if thread.problem is not None:
            raise thread.problem
    return told


class Simulated(threading.Thread):
    """One worker with one run."""

    def __init__(self, share: Share, number: int, told: Told) -> None:
        super().__init__(daemon=True)
        self.share, self.told = share, told
        queues = ["pairboard"]
        self.client = Client(share.server, share.token, f"sim{number}", uuid.uuid4().hex, queues)
        self.problem: BaseException | None = None
        self.run_id = self.attempt = self.number = 0
        self.attempt_token = ""

    def run(self) -> None:
        try:
            self._claim()
            self._paced()
            self._flat_out("one at a time", self.share.begins[1], 1)
            self._flat_out("after an outage", self.share.begins[2], BATCH)
            self._end()
        except BaseException as problem:
            self.problem = problem
        finally:
            self.client.close()

    def _claim(self) -> None:
        claim = self._call("claim", lambda: self.client.claim(hardware.machine(self.share.folder, None)))
        assert claim is not None, "there is no run for this worker"
        self.run_id, self.attempt, self.attempt_token = claim.job.run_id, claim.job.attempt, claim.token

    def _paced(self) -> None:
        """As beside a training: an event each second, a report and a heartbeat each ten, not all in one moment."""
        begin = self.share.begins[0] + (hash(self.name) % 1000) / 1000
        beat = begin + (hash(self.name) % 997) / 997 * HEARTBEAT_S
        _sleep_until(begin)
        while (now := time.time()) < self.share.begins[0] + self.share.seconds:
            self._send("paced", [self._progress()])
            if now >= beat:
                beat += HEARTBEAT_S
                machine = hardware.machine(self.share.folder, None)
                self._call("paced", lambda machine=machine: self.client.report(self.run_id, machine))
                self._call("paced", lambda: self.client.heartbeat(self.run_id, self.attempt_token))
            begin += PROGRESS_S
            _sleep_until(begin)

    def _flat_out(self, phase: str, begin: float, size: int) -> None:
        """The next as soon as the last is answered: what the web process can take."""
        _sleep_until(begin)
        while time.time() < begin + self.share.seconds:
            self._send(phase, [self._progress() for _ in range(size)])

    def _end(self) -> None:
        scores = Scores(roc_auc=0.75, accuracy=0.7, f1=0.6, log_loss=0.5)
        both = [Scored(split=split, rows=9, scores=scores) for split in ("train", "valid")]
        self._send("end", [*both, Finished(seconds=1)])

    def _progress(self) -> Progress:
        figures = {"epoch": 0.1, "loss": 0.6931, "learning_rate": 3e-4, "samples_per_second": 431.7}
        more = {"seconds_left": 1800.5, "tokens_per_second": 9127.3, "model_flops_utilization": 0.41}
        self.number += 1
        total, memory = 10**9, 1_234_567_890
        return Progress(
            stage="finetune", step=self.number, total_steps=total, peak_memory_bytes=memory, **figures, **more
        )

    def _send(self, phase: str, events: list[Event]) -> None:
        key = (self.run_id, self.attempt)
        first = self.told.sent.get(key, 0) + 1
        answer = self._call(
            phase, lambda: self.client.send(self.run_id, self.attempt_token, first, tuple(events), 0.01)
        )
        assert answer.stored == first + len(events) - 1, f"{answer} after {len(events)} events from {first} on"
        self.told.sent[key] = answer.stored
        self.told.events[phase] = self.told.events.get(phase, 0) + len(events)

    def _call(self, phase: str, call: Callable[[], Any]) -> Any:
        """Timed; what the app could not take is sent again, as the courier does, and counted."""
        while True:
            begin = time.perf_counter()
            try:
                return call()
            except Away:
                self.told.sent_again += 1
                time.sleep(0.5)
            finally:
                self.told.calls.setdefault(phase, []).append(time.perf_counter() - begin)


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))
