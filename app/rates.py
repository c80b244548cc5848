"""How many requests a token may make: a bucket for each in every process. Called by app.identity.

In any minute a token gets at most the limit, a sixth of it at once. Of several web processes each gives its share, so
that all of them together never give more; a program that keeps one connection open may get no more than that share.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import TooMany
from app.language import gettext as _

#: the part of a minute's requests that may come at once; the rest is poured in over the minute
BURST = 1 / 6
#: a worker asks, answers and waits all day
WORKER_TIMES = 10


@dataclass
class _Bucket:
    held: float
    at: float


class Rates:
    """`per_minute` of one token, 0: any number; `processes` share it. Thread-safe."""

    def __init__(self, per_minute: int, processes: int, now: Callable[[], float] = time.monotonic) -> None:
        self._share = per_minute / processes
        self._told = per_minute
        self._now = now
        self._buckets: dict[int, _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, token_id: int, *, worker: bool) -> None:
        """One request of this token. Raises TooMany, which says how long to wait."""
        if not self._share:
            return
        limit = self._share * (WORKER_TIMES if worker else 1)
        most, pour = max(1.0, limit * BURST), limit * (1 - BURST) / 60
        with self._lock:
            now = self._now()
            bucket = self._buckets.setdefault(token_id, _Bucket(most, now))
            bucket.held = min(most, bucket.held + (now - bucket.at) * pour)
            bucket.at = now
            if bucket.held >= 1:
                bucket.held -= 1
                return
            wait = (1 - bucket.held) / pour
        told = self._told * (WORKER_TIMES if worker else 1)
        raise TooMany(_("this token makes more than %(limit)s requests a minute: wait", limit=told), wait)
