"""A thread of the web process: rings again for queued runs, takes back runs whose lease has ended, and removes
checkpoints of runs that ended.

The broker may lose any message; the rows can't. Several web processes may sweep at once: each change is fenced.
"""

import logging
import threading
import time
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from app import queue
from app.db import Database, clock
from app.queue import Doorbell
from app.runs import queries, service
from app.settings import Settings
from app.storage import Storage

log = logging.getLogger(__name__)
TIDY_EVERY_S = 30.0
RING_AGAIN_AFTER = timedelta(seconds=5)


class Sweeper:
    """Started and stopped by main's lifespan."""

    def __init__(self, settings: Settings, database: Database, doorbell: Doorbell, storage: Storage) -> None:
        self._settings, self._database, self._doorbell, self._storage = settings, database, doorbell, storage
        self._tidied_at = time.monotonic()
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
            except SQLAlchemyError:
                log.exception("the sweep failed; the next one tries again")
            except OSError:
                log.exception("a checkpoint could not be removed; the next sweep tries again")

    def tidy(self) -> None:
        """Remove checkpoints that nobody will go on from."""
        with self._database.reading() as session:
            needless = bool(queries.needless_checkpoints(session))
        if needless:
            with self._database.writing() as session:
                service.discard_checkpoints(session, self._storage)

    def sweep(self, *, leases: bool = True) -> None:
        """One look: end leases, then ring as many queued runs as there are idle workers to hear it."""
        if leases:
            with self._database.reading() as session:
                expired = bool(queries.open_attempts(session, expired_at=clock(session)))
            if expired:
                with self._database.writing() as session:
                    service.expire_leases(session)
                    ids = queue.noted(session)
                self._doorbell.ring(ids)
        with self._database.reading() as session:
            now = clock(session)
            idle = [w for w in queries.workers_seen(session, now - service.WORKER_AWAY) if w.busy_run_id is None]
            waiting = queries.ready_runs(session, now - RING_AGAIN_AFTER, limit=len(idle)) if idle else []
            ids = [run.id for run in waiting]
        # Without an idle worker nobody would hear it, and the messages would only pile up in the broker.
        if ids and self._doorbell.ring(ids):
            with self._database.writing() as session:
                for run_id in ids:
                    queries.run(session, run_id).rung_at = clock(session)
