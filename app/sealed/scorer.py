"""A thread of the web process that scores finished runs of sealed contests, as often as the sweeper looks.

Several web processes may do it at once: a run is scored by who locks the contest's rules first.
"""

import logging
import threading
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.db import Database
from app.errors import AppError
from app.sealed import automatic
from app.storage import Storage

log = logging.getLogger(__name__)


class Scorer:
    """Started and stopped by main's lifespan."""

    def __init__(self, database: Database, storage: Storage, folder: Path, every_s: float) -> None:
        self._database, self._storage, self._folder, self._every_s = database, storage, folder, every_s
        self._stood: tuple[object, ...] | None = ()  # nothing is sealed: nothing is due
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scorer", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the look under way."""
        self._stop.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self.look()
            except (SQLAlchemyError, AppError, OSError):
                log.exception("finished runs could not be scored; the next look tries again")

    def look(self) -> None:
        """Score what is due, unless nothing has changed since a look that found nothing."""
        with self._database.reading() as session:
            now = automatic.stand(session)
        if now != self._stood:
            found = automatic.score_finished(self._database, self._storage, self._folder)
            self._stood = now if not found else None
