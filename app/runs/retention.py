"""What of runs has served its time: checkpoints of ended runs, most progress of old ones, workers long gone.

Called by the sweeper, and by keeping/gc.py for `pairboard gc`. Scores, log lines, configs and models always stay.
A row goes first, and once that is committed its file: no row ever names a file that is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from app.db import Database, clock
from app.runs import queries, retention_queries
from app.runs.models import Artifact
from app.runs.retention_queries import Crowd
from app.settings import Settings
from app.storage import Storage


@dataclass(frozen=True)
class Thinning:
    """Events of one crowd that go, and the bytes of their JSON."""

    crowd: Crowd
    numbers: list[int]
    size: int


@dataclass
class Freed:
    """How many rows or files, and their bytes."""

    count: int = 0
    size: int = 0
    waiting: set[str] = field(default_factory=set)  # hashes of files that could not be removed yet


def is_named(database: Database, sha256: str) -> bool:
    """Whether a row names the file; read anew, since an open session may see an older state."""
    with database.reading() as session:
        return queries.is_named(session, sha256)


def old_checkpoints(session: Session, storage: Storage) -> list[Artifact]:
    """Checkpoints that nobody will go on from. One that came just now waits for the next time."""
    return [row for row in queries.needless_checkpoints(session) if not storage.is_new(row.sha256)]


def remove_checkpoints(database: Database, storage: Storage) -> Freed:
    """Free the disk of them."""
    with database.reading() as session:
        if not old_checkpoints(session, storage):
            return Freed()
    with database.writing() as session:
        rows = old_checkpoints(session, storage)
        for row in rows:
            session.delete(row)
    found = remove_files(database, storage, {row.sha256 for row in rows})
    return Freed(len(rows), found.size, found.waiting)


def remove_files(database: Database, storage: Storage, hashes: set[str], unseen_s: float | None = None) -> Freed:
    """Remove the files that no row names (any more)."""
    freed = Freed()
    for sha256 in sorted(hashes):
        size = storage.remove(sha256, unless=partial(is_named, database, sha256), unseen_s=unseen_s)
        if size is None:
            freed.waiting.add(sha256)
        elif size or not storage.path(sha256).exists():
            freed.count, freed.size = freed.count + 1, freed.size + size
    return freed


def thinnings(session: Session, settings: Settings) -> list[Thinning]:
    """Progress and load of runs that ended long ago, but for `retain_points` of each attempt, evenly chosen with the
    first and the last among them: what a curve shows."""
    if not settings.retain_event_days:
        return []
    found, points = [], settings.retain_points
    before = clock(session) - timedelta(days=settings.retain_event_days)
    for crowd in retention_queries.crowds(session, before, points):
        events = retention_queries.numbers_and_sizes(session, crowd)
        kept = set(evenly(len(events), points))
        gone = [event for place, event in enumerate(events) if place not in kept]
        found.append(Thinning(crowd, [number for number, _ in gone], sum(size for _, size in gone)))
    return found


def evenly(count: int, points: int) -> Sequence[int]:
    """`points` of the places 0 to count - 1, the first and the last among them."""
    if count <= points:
        return range(count)
    return [round(step * (count - 1) / (points - 1)) for step in range(points)]


def thin(database: Database, settings: Settings) -> Freed:
    """Delete them, an attempt a transaction: whoever writes meanwhile waits for a moment only."""
    freed = Freed()
    with database.reading() as session:
        found = thinnings(session, settings)
    for item in found:
        with database.writing() as session:
            freed.count += retention_queries.delete_events(session, item.crowd.attempt_id, item.numbers)
        freed.size += item.size
    return freed


def long_gone(session: Session, settings: Settings) -> list[str]:
    """Names of workers that were not heard of for long."""
    if not settings.retain_worker_days:
        return []
    since = clock(session) - timedelta(days=settings.retain_worker_days)
    return [worker.name for worker in retention_queries.silent_workers(session, since)]


def forget_workers(database: Database, settings: Settings) -> Freed:
    """Take them off the list. One that comes back reports itself anew."""
    with database.reading() as session:
        if not long_gone(session, settings):
            return Freed()
    with database.writing() as session:
        names = long_gone(session, settings)
        for name in names:
            session.delete(queries.worker(session, name))
    return Freed(len(names))
