"""`pairboard gc`: finds everything that may go, says how much it is, and removes it if asked to.

Safe while the app runs and workers send files: each removal is checked again at the moment it happens.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from app import queue
from app.db import Database
from app.errors import AppError
from app.runs import queries, retention
from app.runs.retention import Freed
from app.settings import Settings
from app.storage import TORN_AFTER_S, Storage

MESSAGE_LOST_AFTER_S = 24 * 3600.0


@dataclass(frozen=True)
class Kind:
    """One kind of what may go: in words, how much there is, and what removes it."""

    name: str
    found: Freed
    remove: Callable[[], Freed]


def kinds(settings: Settings, database: Database, storage: Storage) -> list[Kind]:
    """Everything that may go. Changes nothing; call `remove` of each, in this order, to have it gone.

    Raises AppError when no row names any file of storage: then it is more likely the wrong database.
    """
    with database.reading() as session:
        named = queries.stored_hashes(session)
        files = {stored.sha256: stored.size for stored in storage.files()}
        if files and not named & set(files):
            raise AppError(
                f"{storage.root} holds {len(files)} files and the database names none of them: is "
                "PAIRBOARD_DATABASE_URL the database that belongs to PAIRBOARD_DATA_DIR? Nothing was removed"
            )
        return [
            _checkpoints(session, database, storage),
            _unnamed(settings, database, storage, {sha: size for sha, size in files.items() if sha not in named}),
            _paths(f"uploads left half sent {_hours(TORN_AFTER_S / 3600)} ago", lambda: storage.torn()),
            _paths(f"messages of the broker older than {_hours(MESSAGE_LOST_AFTER_S / 3600)}", _messages(settings)),
            *_old_rows(session, settings, database),
        ]


def _checkpoints(session: Session, database: Database, storage: Storage) -> Kind:
    rows = retention.old_checkpoints(session, storage)
    ids = {row.id for row in rows}
    alone = {row.sha256: row.size for row in rows if not queries.named_beside(session, row.sha256, ids)}
    here = {sha256: size for sha256, size in alone.items() if storage.path(sha256).is_file()}
    found = Freed(len(rows), sum(here.values()))
    return Kind(
        "checkpoints that no run will go on from", found, lambda: retention.remove_checkpoints(database, storage)
    )


def _unnamed(settings: Settings, database: Database, storage: Storage, unnamed: dict[str, int]) -> Kind:
    unseen_s = settings.retain_unnamed_hours * 3600
    old = {sha256: size for sha256, size in unnamed.items() if not storage.is_new(sha256, unseen_s)}
    return Kind(
        f"files that no row has named for {_hours(settings.retain_unnamed_hours)}",
        Freed(len(old), sum(old.values())),
        lambda: retention.remove_files(database, storage, set(old), unseen_s),
    )


def _old_rows(session: Session, settings: Settings, database: Database) -> Iterator[Kind]:
    """Those that the settings keep for a time only."""
    if settings.retain_event_days:
        thinnings = retention.thinnings(session, settings)
        found = Freed(sum(len(item.numbers) for item in thinnings), sum(item.size for item in thinnings))
        name = f"progress and load of runs that ended {settings.retain_event_days:g} days ago"
        yield Kind(
            f"{name}, beyond {settings.retain_points} of each", found, lambda: retention.thin(database, settings)
        )
    if settings.retain_worker_days:
        gone = Freed(len(retention.long_gone(session, settings)))
        name = f"workers not heard of for {settings.retain_worker_days:g} days"
        yield Kind(name, gone, lambda: retention.forget_workers(database, settings))


def _messages(settings: Settings) -> Callable[[], Iterator[tuple[Path, int]]]:
    return lambda: ((path, path.stat().st_size) for path in queue.lost_messages(settings, MESSAGE_LOST_AFTER_S))


def _paths(name: str, find: Callable[[], Iterator[tuple[Path, int]]]) -> Kind:
    def remove() -> Freed:
        freed = Freed()
        for path, size in find():
            path.unlink(missing_ok=True)
            freed = Freed(freed.count + 1, freed.size + size)
        return freed

    sizes = [size for _, size in find()]
    return Kind(name, Freed(len(sizes), sum(sizes)), remove)


def _hours(hours: float) -> str:
    return f"{hours:g} h"
