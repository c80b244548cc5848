"""One run, from claim to delivery: what the Celery task does."""

import contextlib
import logging
import os
import shutil
import threading
import time
from pathlib import Path

from ml.contract.events import LAST_EVENTS, Cancelled, Crashed, Event, Failed, Measured, Returned
from ml.contract.hardware import WorkerMachine
from ml.contract.job import Job
from ml.contract.logs import about
from worker import hardware, weights
from worker.cache import Cache
from worker.child import Child
from worker.client import Away, Claim, Client, Rejected, Stale
from worker.courier import Courier
from worker.printed import Reader
from worker.settings import WorkerSettings
from worker.spool import Spool

log = logging.getLogger(__name__)
DISK_TRIES, DISK_PAUSE_S = 30, 2.0  # a full disk may be swept meanwhile
MEASURE_EVERY_S = 60.0  # an hour's run has 60 rows of it


class Carrier:
    """Carries one run at a time. `stopping` is set when the worker has to go."""

    def __init__(self, settings: WorkerSettings, client: Client) -> None:
        self._settings, self._client = settings, client
        self._attempts = settings.folder / "attempts"
        self._cache = Cache(settings.folder / "cache", settings.cache_gb)
        self.stopping = threading.Event()
        self._current: Current | None = None

    def carry(self) -> None:
        """Take what goes first and see it through, until nothing is left: whose bell rang does not matter."""
        while not self.stopping.is_set() and self._carry_one():
            pass

    def _carry_one(self) -> bool:
        """False: nothing to do for us, or the app is away; the sweeper rings again."""
        try:
            claim = self._client.claim(self._machine())
        except (Away, Stale, Rejected) as error:
            log.warning("no run could be claimed: %s", error)
            return False
        if claim is None:
            return False
        here: dict[str, object] = {"device": self._settings.device, "threads": self._settings.threads}
        here |= {"data_cache": str(self._cache.data), "checkpoint_seconds": self._settings.checkpoint_seconds}
        job = claim.job.model_copy(update=here)
        with about(run=job.run_id, attempt=job.attempt):
            return self._carry_claimed(job, claim)

    def _carry_claimed(self, job: Job, claim: Claim) -> bool:
        log.info("a %s begins", job.kind)
        try:
            spool = Spool.create(self._attempts, job, claim.token)
        except OSError as error:
            self._give_back(claim, error)
            return False
        current = self._current = Current(spool, self.stopping)
        try:
            self._see_through(current)
        finally:
            self._current = None
        return True

    def _machine(self) -> WorkerMachine:
        return hardware.machine(self._settings.folder, os.environ.get("CUDA_VISIBLE_DEVICES"))

    def _see_through(self, current: "Current") -> None:
        courier = Courier(self._client, current.spool, self.stopping, on_stop=current.cancel, on_stale=current.abandon)
        courier.start()
        try:
            self._fetch(current)
            if reason := weights.refusal(current.job, self._settings):
                current.spool.append(Failed(reason=reason))
            elif current.stopped_by is None:
                current.train()
        except Rejected as error:
            current.spool.append(Failed(reason=f"an input could not be fetched: {error}"))
        except Stale:
            current.abandon()
        except OSError as error:
            self._write_down(current, Crashed(reason=f"the worker's disk failed: {error}"))
        if (end := current.end()) is not None:
            self._write_down(current, end)
        delivered = courier.close()
        log.info("ended; %s", "all is delivered" if delivered else "the rest is delivered by the next start")
        if delivered:
            shutil.rmtree(current.spool.folder, ignore_errors=True)

    def _give_back(self, claim: Claim, error: OSError) -> None:
        """There is no room even to begin: the run is told so, past the spool."""
        log.error("run %s can't begin: the worker's disk failed: %s", claim.job.run_id, error)
        crash = Crashed(reason=f"the worker's disk failed: {error}")
        try:
            self._client.send(claim.job.run_id, claim.token, 1, (crash,))
        except (Away, Stale, Rejected) as away:  # we hold it without a word: our next claim gets it again
            log.error("run %s: and the app could not be told: %s", claim.job.run_id, away)

    def _write_down(self, current: "Current", event: Event) -> None:
        """Once the disk takes it; if it does not for a while the lease will end."""
        for _ in range(DISK_TRIES):
            try:
                current.spool.append_before_end(event)
            except OSError as error:
                log.error("run %s: its end can't be written down: %s", current.job.run_id, error)
                self.stopping.wait(DISK_PAUSE_S)
            else:
                return

    def _fetch(self, current: "Current") -> None:
        """Every input into the attempt's folder; a file that was fetched once is taken from the cache."""
        job, token = current.spool.job, current.spool.token
        self._cache.make_room()
        for item in job.inputs:
            kept = self._cache.place_of(item.sha256)
            pause = 0.5
            while not kept.is_file() and current.stopped_by is None:
                beside = kept.with_suffix(".new")
                try:
                    self._client.download(job.run_id, token, item.sha256, beside)
                    beside.replace(kept)
                except Rejected as error:
                    if item.role != "checkpoint":
                        raise
                    log.warning("run %s: checkpoint %s is not to be had: %s", job.run_id, item.name, error)
                    break
                except Away as error:
                    log.warning("run %s waits for an input: %s", job.run_id, error)
                    self.stopping.wait(pause)
                    pause = min(pause * 2, 10)
            target = current.spool.folder / item.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if kept.is_file() and not target.exists():
                _link(kept, target)

    def report(self) -> None:
        """Called every few seconds by the presence thread: this worker lives, and so does its attempt."""
        current = self._current
        machine = self._machine()
        self._client.report(current.job.run_id if current else None, machine)
        if current is None or current.spool.ended():
            return
        try:
            if self._client.heartbeat(current.job.run_id, current.spool.token).stop:
                current.cancel()
        except Stale:
            current.abandon()
        if time.monotonic() - current.measured_at >= MEASURE_EVERY_S:
            current.measured_at = time.monotonic()
            current.spool.append_before_end(Measured(hardware=machine.hardware))

    def stop(self) -> None:
        """The worker has to go: the run returns to the queue."""
        self.stopping.set()
        if current := self._current:
            current.stop("returned")

    def kill(self) -> None:
        """The worker has to go now: what is not delivered waits on disk for its next start."""
        if current := self._current:
            current.kill()

    def deliver_leftovers(self) -> None:
        """After a restart: attempts that had ended are delivered to the last event, the others are dropped."""
        for folder in sorted(self._attempts.glob("*-*")) if self._attempts.is_dir() else []:
            try:
                spool = Spool(folder)
                if spool.ended() and spool.delivered < spool.written:
                    log.info("delivering what %s left: %s events", folder.name, spool.written - spool.delivered)
                    Courier(self._client, spool, self.stopping, on_stop=_nothing, on_stale=_nothing).deliver()
            except (OSError, ValueError) as error:
                log.error("the attempt in %s can't be read (%s); its run starts again", folder, error)
            shutil.rmtree(folder, ignore_errors=True)


class Current:
    """The attempt under way, and why it was stopped if it was."""

    def __init__(self, spool: Spool, worker_stopping: threading.Event) -> None:
        self.spool = spool
        self.job: Job = spool.job
        self.stopped_by: str | None = "returned" if worker_stopping.is_set() else None
        self.measured_at = -MEASURE_EVERY_S  # time.monotonic()
        self._child: Child | None = None
        self._lock = threading.Lock()

    def train(self) -> None:
        """Start the trainer and write down what it says, until it ends."""
        with self._lock:
            if self.stopped_by is not None:
                return
            self._child = Child(self.spool.folder)
        reader = Reader(self._child.log, self.spool.append_before_end)
        reader.start()
        try:
            for event in self._child.events():
                if isinstance(event, LAST_EVENTS):
                    reader.close()  # nothing may come after the last event
                if not (
                    self.stopped_by and isinstance(event, Failed | Crashed | Returned)
                ):  # that it was stopped is no news
                    self.spool.append(event)
        finally:
            self._child.stop()
            reader.close()
            self._child.close()

    def end(self) -> Event | None:
        """The last word when the trainer was stopped before it had one."""
        if self.spool.ended() or self.stopped_by in {None, "stale"}:
            return None
        return Cancelled() if self.stopped_by == "cancelled" else Returned(reason="its worker was stopped")

    def cancel(self) -> None:
        """A person wants it stopped."""
        self.stop("cancelled")

    def abandon(self) -> None:
        """Another attempt holds the run: nothing of this one counts any more."""
        self.stop("stale")

    def stop(self, why: str) -> None:
        """End the trainer; the first reason counts. Only a run that goes on elsewhere has something to save."""
        with self._lock:
            if self.stopped_by is not None:
                return
            self.stopped_by = why
            child = self._child
        if child is not None:
            at_once = {"at_once": why != "returned"}
            threading.Thread(target=child.stop, kwargs=at_once, name="stop-child", daemon=True).start()

    def kill(self) -> None:
        """End the trainer by force, whatever it is doing; without the lock, for a signal may have come inside it."""
        if self._child is not None:
            self._child.stop(at_once=True)


def _link(source: Path, target: Path) -> None:
    """One copy on disk where the disk can."""
    with contextlib.suppress(OSError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _nothing() -> None:
    """A delivered attempt has no trainer left to stop."""
