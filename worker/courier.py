"""Brings an attempt's events and files to the app: in order, at least once, for as long as the app may be away.

Runs in a thread of its own beside the trainer, so that the app's absence never slows training.
"""

import logging
import threading
import time
from collections.abc import Callable

from ml.contract.events import Artifact, Checkpointed, Event, Failed
from ml.contract.logs import about
from worker.client import Away, Client, Rejected, Stale
from worker.spool import Spool

log = logging.getLogger(__name__)
BATCH = 200
LONGEST_PAUSE_S = 10.0
STOP_S = 10.0  # that a worker which has to go still delivers
CHECKPOINT_COST = 10.0  # times the seconds that sending a checkpoint took pass before the next is sent


class Courier:
    """Delivers one spool. `on_stop`: the app wants the run stopped; `on_stale`: it is no longer ours; `leaving` is set
    when the worker has to go."""

    def __init__(
        self,
        client: Client,
        spool: Spool,
        leaving: threading.Event,
        *,
        on_stop: Callable[[], None],
        on_stale: Callable[[], None],
    ) -> None:
        self._client, self._spool = client, spool
        self._leaving = leaving
        self._run_id, self._token = spool.job.run_id, spool.token
        self._on_stop, self._on_stale = on_stop, on_stale
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self.deliver, name=f"courier-{self._run_id}", daemon=True)
        self._patience = 0.5
        self._checkpoints_from = 0.0  # time.monotonic()

    def start(self) -> None:
        """Deliver in the background."""
        self._thread.start()

    def close(self) -> bool:
        """Wait until everything is delivered, or nothing more can be, or the worker has to go. True: all delivered."""
        self._closing.set()
        with self._spool.changed:
            self._spool.changed.notify_all()
        while self._thread.is_alive() and not self._leaving.is_set():
            self._thread.join(0.2)
        if self._thread.is_alive():  # a checkpoint is on its way; or the app is away, and the next start goes on
            self._thread.join(STOP_S)
        return self._spool.delivered >= self._spool.written

    def deliver(self) -> None:
        """Until the spool is empty and no more will come."""
        with about(run=self._run_id, attempt=self._spool.job.attempt):
            self._deliver()

    def _deliver(self) -> None:
        while True:
            with self._spool.changed:
                while self._spool.delivered >= self._spool.written:
                    if self._closing.is_set() or self._spool.ended():
                        return
                    self._spool.changed.wait(1)
            try:
                self._deliver_some()
                self._patience = 0.5
            except Away as error:
                self._wait(error)
            except Stale as error:
                log.warning("run %s is no longer ours (%s): its work is dropped", self._run_id, error)
                self._spool.mark(self._spool.written)
                self._on_stale()
                return
            except (Rejected, FileNotFoundError) as error:
                if not self._confess(error):
                    return
            except OSError as error:  # a full disk: nothing is marked as delivered that is not
                self._wait(error)

    def _deliver_some(self) -> None:
        first = self._spool.delivered + 1
        events = tuple(self._spool.after(self._spool.delivered, BATCH))
        for event in events:
            if isinstance(event, Artifact):
                path = self._spool.folder / "out" / event.path
                self._client.upload(self._run_id, self._token, event.name, path, event.sha256)
        if checkpoints := [event for event in events if isinstance(event, Checkpointed)]:
            self._send_checkpoint(checkpoints[-1])
        self._send(first, events)

    def _send_checkpoint(self, event: Checkpointed) -> None:
        """So that the run can go on elsewhere. A slow link sees few of them, or the events behind would be late, but
        always the last one of a worker that leaves; what the app refuses costs a line in the log and not the run."""
        if time.monotonic() < self._checkpoints_from and not self._leaving.is_set():
            return
        begin = time.monotonic()
        try:
            path = self._spool.folder / "out" / event.path
            self._client.upload(self._run_id, self._token, event.name, path, event.sha256)
        except FileNotFoundError:  # a newer one followed while this one waited
            return
        except Rejected as error:
            log.warning("run %s: the app refused the checkpoint of step %s: %s", self._run_id, event.step, error)
        now = time.monotonic()
        self._checkpoints_from = now + CHECKPOINT_COST * (now - begin)

    def _send(self, first: int, events: tuple[Event, ...]) -> None:
        answer = self._client.send(self._run_id, self._token, first, events, self._spool.waited(first))
        self._spool.mark(answer.stored)
        if answer.stop:
            self._on_stop()

    def _wait(self, error: Away | OSError) -> None:
        log.warning(
            "the app or the disk is away (%s); %s events wait on disk",
            error,
            self._spool.written - self._spool.delivered,
        )
        threading.Event().wait(self._patience)
        self._patience = min(self._patience * 2, LONGEST_PAUSE_S)

    def _confess(self, error: Rejected | FileNotFoundError) -> bool:
        """The app will never take what comes next: end the run with that reason. False: nothing more to do."""
        log.error("run %s: the app refused an event or file: %s", self._run_id, error)
        reason = f"the app refused what the run reported: {error}"
        try:
            self._send(self._spool.delivered + 1, (Failed(reason=reason),))
        except Away as away:
            self._wait(away)
            return True
        except (Stale, Rejected) as again:
            log.error("run %s: and refused to hear of it: %s", self._run_id, again)
        self._spool.mark(self._spool.written)
        self._on_stale()
        return False
