"""The folder of one attempt: everything needed to go on delivering after a restart.

job.json  token  inputs/  out/  events.jsonl (line n is event n)  delivered (how many lines the app has)
"""

import errno
import io
import itertools
import logging
import os
import threading
import time
from functools import cached_property
from pathlib import Path

from ml.contract.events import EVENT, LAST_EVENTS, Event
from ml.contract.job import Job

log = logging.getLogger(__name__)


class Spool:
    """Events wait here, on disk, until the app has stored them. Safe for one writing and one reading thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._events = folder / "events.jsonl"
        self._delivered = folder / "delivered"
        self.changed = threading.Condition()
        # of events that are not delivered: the byte at which each begins, and the time.monotonic() of its writing
        self._begins: dict[int, int] = {}
        self._written_at: dict[int, float] = {}
        self.delivered = int(self._delivered.read_text()) if self._delivered.is_file() else 0
        self.written = self._count()
        last = self.after(self.written - 1, 1) if self.written else []
        self._ended = bool(last) and isinstance(last[0], LAST_EVENTS)

    @classmethod
    def create(cls, root: Path, job: Job, token: str) -> "Spool":
        """A new attempt's folder."""
        folder = root / f"{job.run_id}-{job.attempt}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "job.json").write_text(job.model_dump_json(indent=1))
        handle = os.open(folder / "token", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(token)
        return cls(folder)

    @cached_property
    def job(self) -> Job:
        """What the attempt works on."""
        return Job.model_validate_json((self.folder / "job.json").read_bytes())

    @cached_property
    def token(self) -> str:
        """The attempt's own token."""
        return (self.folder / "token").read_text()

    def append(self, event: Event) -> None:
        """Write an event down and wake the courier."""
        with self.changed:
            with self._events.open("ab", buffering=0) as file:
                whole = file.tell()
                line = event.model_dump_json().encode() + b"\n"
                try:
                    if file.write(line) != len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._events))
                except OSError:
                    file.truncate(whole)  # or the next event would stand behind half of this one
                    raise
                if isinstance(event, LAST_EVENTS):
                    os.fsync(file.fileno())
                    self._ended = True
            self.written += 1
            self._begins[self.written] = whole
            self._written_at[self.written] = time.monotonic()
            self.changed.notify_all()

    def append_before_end(self, event: Event) -> None:
        """The same for an event of the worker itself, unless the last one is written: nothing may come after it."""
        with self.changed:
            if not self.ended():
                self.append(event)

    def after(self, number: int, limit: int) -> list[Event]:
        """Up to `limit` events behind the first `number`."""
        if not self._events.is_file():
            return []
        begin = self._begins.get(number + 1)
        with self._events.open("rb") as file:
            if begin is not None:  # a long training writes much, and what is new stands at the end
                file.seek(begin)
            lines = itertools.islice(file, 0 if begin is not None else number, None)
            return [EVENT.validate_json(line) for line in itertools.islice(lines, limit) if line.endswith(b"\n")]

    def mark(self, delivered: int) -> None:
        """Remember how many events the app has."""
        with self.changed:
            for number in range(self.delivered + 1, delivered + 1):
                self._begins.pop(number, None)
                self._written_at.pop(number, None)
            self.delivered = delivered
            beside = self._delivered.with_suffix(".new")
            try:
                beside.write_text(str(delivered))
                beside.replace(self._delivered)
            except OSError as error:  # after a restart more is sent again than need be, and ignored
                log.warning("%s can't be written (%s)", self._delivered, error)
            self.changed.notify_all()

    def waited(self, number: int) -> float:
        """Seconds since this event was written; of what an earlier process wrote, at least since it ended."""
        written_at = self._written_at.get(number)
        if written_at is not None:
            return time.monotonic() - written_at
        return max(0.0, time.time() - self._events.stat().st_mtime) if number <= self.written else 0.0

    def ended(self) -> bool:
        """Whether the last event is written."""
        return self._ended

    def _count(self) -> int:
        """Whole lines; a torn one at the end, from a crash in the middle of a write, is cut off."""
        if not self._events.is_file():
            return 0
        with self._events.open("rb+") as file:
            data = file.read()
            whole = data.rfind(b"\n") + 1
            if whole != len(data):
                file.truncate(whole)
        begin = 0
        for number, line in enumerate(io.BytesIO(data[:whole]), start=1):
            if number > self.delivered:
                self._begins[number] = begin
            begin += len(line)
        return data.count(b"\n")
