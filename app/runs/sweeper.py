"""A thread of the web process: rings again for queued runs, takes back runs whose lease has ended, removes
what has served its time (retention.py), and has SQLite look at its indexes now and then.

The broker may lose any message; the rows can't. Several web processes may sweep at once: each change is fenced.
"""

import logging
import threading
import time
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app import queue
from app.db import Database, clock
from app.queue import Bell, Doorbell
from app.runs import queries, queue_queries, retention, worker_service
from app.runs.waiting import memory_gb
from app.settings import Settings
from app.storage import Storage

log = logging.getLogger(__name__)
TIDY_EVERY_S = 30.0
RETIRE_EVERY_S = 3600.0
RING_AGAIN_AFTER = timedelta(seconds=5)


class Sweeper:
    """Started and stopped by main's lifespan."""

    def __init__(self, settings: Settings, database: Database, doorbell: Doorbell, storage: Storage) -> None:
        self._settings, self._database, self._doorbell, self._storage = settings, database, doorbell, storage
        self._tidied_at = self._retired_at = time.monotonic()
        self._analyzed_at: float | None = None
        self._loose: set[str] = set()  # files whose rows are gone, and which could not be removed yet
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        # While no web process ran no heartbeat could arrive: workers get time to report before a lease counts as ended.
        self._leases_count_from = time.monotonic() + min(settings.lease_seconds, 30)

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the sweep under way."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(self._settings.sweep_seconds):
            try:
                self.sweep(leases=time.monotonic() >= self._leases_count_from)
                if time.monotonic() - self._tidied_at > TIDY_EVERY_S:
                    self._tidied_at = time.monotonic()
                    self.tidy()
                if time.monotonic() - self._retired_at > RETIRE_EVERY_S:
                    self._retired_at = time.monotonic()
                    self.retire()
                if self._analyzed_at is None or time.monotonic() - self._analyzed_at > RETIRE_EVERY_S:
                    self._analyzed_at = time.monotonic()
                    self._database.analyze()
            except SQLAlchemyError:
                log.exception("the sweep failed; the next one tries again")
            except OSError:
                log.exception("a file could not be removed; the next sweep tries again")

    def tidy(self) -> None:
        """Remove checkpoints that nobody will go on from, and what was left half sent."""
        self._storage.forget_torn()
        self._loose |= retention.remove_checkpoints(self._database, self._storage).waiting
        self._loose = retention.remove_files(self._database, self._storage, self._loose).waiting

    def retire(self) -> None:
        """Remove rows that the settings keep for a time only."""
        retention.thin(self._database, self._settings)
        retention.forget_workers(self._database, self._settings)

    def sweep(self, *, leases: bool = True) -> None:
        """One look: end leases, stop what breaks its limit, then ring as many queued runs as there are idle workers
        to hear it."""
        if leases:
            with self._database.reading() as session:
                expired = bool(queries.open_attempts(session, expired_at=clock(session)))
                too_long = bool(worker_service.over_their_limit(session))
            if expired or too_long:
                with self._database.writing() as session:
                    worker_service.expire_leases(session)
                    worker_service.stop_what_breaks_its_limit(session)
                    bells = queue.noted(session)
                self._doorbell.ring(bells)
        with self._database.reading() as session:
            now = clock(session)
            bells = _bells(session, now)
        # Without an idle worker nobody would hear it, and the messages would only pile up in the broker.
        if bells and self._doorbell.ring(bells):
            with self._database.writing() as session:
                for run_id, _ in bells:
                    queries.run(session, run_id).rung_at = clock(session)


def _bells(session: Session, now: datetime) -> list[Bell]:
    """For each idle worker the first run of its queues that was not rung for lately."""
    bells: dict[int, str] = {}
    for worker in queries.workers_seen(session, worker_service.WORKER_AWAY):
        if worker.busy_run_id is None and not worker.draining:
            ready = queue_queries.ready_runs(
                session,
                now,
                len(bells) + 1,
                queues=worker.queues,
                gpu_memory_gb=memory_gb(worker),
                rung_before=now - RING_AGAIN_AFTER,
            )
            run = next((run for run in ready if run.id not in bells), None)
            if run is not None:
                bells[run.id] = run.queue
    return list(bells.items())
