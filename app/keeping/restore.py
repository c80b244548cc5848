"""`pairboard restore`: brings a backup into the configured database and data folder.

Everything is checked before anything is changed. Files come first, the database last: no row ever names a file that is
not there. What was there is set aside, never overwritten.
"""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import create_engine

from app import schema
from app.db import Database
from app.errors import AppError, NoRoom
from app.keeping import manifest, postgres, sealed, sqlite
from app.keeping.backup import Copied, Damaged, copy_file, sha256_of
from app.keeping.manifest import Manifest
from app.runs import worker_service
from app.settings import Settings
from app.storage import Storage

FORCE = "--force brings the backup in beside: the database that is there is kept under another name, files only added"


@dataclass(frozen=True)
class Restored:
    """What was brought in; `set_aside` is the name under which the earlier database is kept, if there was one."""

    copied: Copied
    set_aside: str
    runs_returned: int


def check(backup: Path) -> Manifest:
    """Read every byte of a backup. Raises AppError that names what is missing or damaged, and the way out."""
    told = manifest.read(backup)
    if not schema.knows(told.revision):
        raise AppError(
            f"{backup} was made by pairboard {told.pairboard} at migration {told.revision}, which this pairboard "
            f"({version('pairboard')}) does not know: install that version or a newer one"
        )
    wrong = []
    dumped = backup / told.database_file
    if not dumped.is_file() or sha256_of(dumped) != told.database_sha256:
        wrong.append(f"{dumped} is missing or damaged")
    files = manifest.files_of(backup.parent)
    for sha256, size in told.copied.items():
        path = files.path(sha256)
        if not path.is_file() or path.stat().st_size != size:
            wrong.append(f"{path} is missing or not whole")
        elif sha256_of(path) != sha256:
            wrong.append(f"{path} is damaged: delete it, and the next backup copies it anew")
    wrong += sealed.wrong_in(backup, told)
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise AppError(f"{len(wrong)} parts of the backup are not right: {'; '.join(wrong[:5])}{more}")
    return told


def restore(settings: Settings, storage: Storage, backup: Path, *, force: bool) -> Restored:
    """Bring the backup in. Raises AppError before anything is changed when it is not right, or the target not empty."""
    told = manifest.read(backup)
    _require_kind(settings, told)
    _require_target(settings, storage, force=force)
    check(backup)
    files = manifest.files_of(backup.parent)
    _require_room(settings, storage, told)
    copied = Copied()
    for sha256, size in told.copied.items():
        _require_whole(storage, sha256)
        try:
            new = copy_file(files, storage, sha256, size)
        except (FileNotFoundError, Damaged) as error:
            raise AppError(
                f"{files.path(sha256)} changed while it was read: nothing of the database was touched"
            ) from error
        copied.files, copied.size, copied.there = copied.files + new, copied.size + new * size, copied.there + (not new)
    sealed.bring(settings, backup, told)
    name = f"before_restore_{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    bring = _bring_sqlite if told.database == "sqlite" else _bring_postgres
    set_aside, returned = bring(settings, backup, told, name)
    return Restored(copied, set_aside, returned)


def _require_kind(settings: Settings, told: Manifest) -> None:
    kind = "sqlite" if settings.database.startswith("sqlite") else "postgresql"
    if told.database != kind:
        raise AppError(
            f"the backup holds a database of {told.database}, PAIRBOARD_DATABASE_URL is one of {kind}: restore it into "
            f"{told.database}"
        )


def _require_target(settings: Settings, storage: Storage, *, force: bool) -> None:
    """Empty, or nobody uses it and the person said that it may be set aside."""
    if settings.database.startswith("sqlite"):
        path = sqlite.path_of(settings.database)
        full, name = sqlite.has_tables(path), str(path)
        if force:
            sqlite.require_unused(path)
    else:
        postgres.require_programs()
        full, name = _postgres_target(settings, force=force), "the Postgres database"
    if full and not force:
        raise AppError(f"{name} is not empty; nothing was changed: choose another, or {FORCE}")
    if not force and next(storage.files(), None) is not None:
        raise AppError(
            f"{storage.root} is not empty; nothing was changed: choose another PAIRBOARD_DATA_DIR, or {FORCE}"
        )


def _postgres_target(settings: Settings, *, force: bool) -> bool:
    engine = create_engine(settings.database)
    try:
        full = postgres.has_tables(engine)
        if full and force and (others := postgres.others(engine)):
            raise AppError(f"{others} other clients are connected to the database: stop pairboard first")
        return full
    finally:
        engine.dispose()


def _require_room(settings: Settings, storage: Storage, told: Manifest) -> None:
    """Before, since half of a restore helps nobody."""
    needed = sum(size for sha256, size in told.copied.items() if not storage.path(sha256).is_file())
    needed += told.database_bytes if told.database == "sqlite" else 0
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data_dir).free
    if needed > free:
        raise NoRoom(
            f"{needed / 1e9:.1f} GB are to be brought to {settings.data_dir.resolve()}, where {free / 1e9:.1f} are free"
        )


def _require_whole(storage: Storage, sha256: str) -> None:
    """A file that is there from before is taken only if it is the very one; another's remains are copied over."""
    path = storage.path(sha256)
    if path.is_file() and sha256_of(path) != sha256:
        path.unlink()


def _bring_sqlite(settings: Settings, backup: Path, told: Manifest, name: str) -> tuple[str, int]:
    """Made ready beside its place, then renamed: whoever starts meanwhile sees all of it or nothing."""
    path = sqlite.path_of(settings.database)
    beside = path.with_name(f"{path.name}.restoring")
    for suffix in sqlite.BESIDE:
        beside.with_name(beside.name + suffix).unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(backup / told.database_file, beside)
    if sha256_of(beside) != told.database_sha256:
        raise AppError(f"{beside} is not what was written to it: look after the disk")
    returned = _take_up(f"sqlite:///{beside}", told)
    return sqlite.put(beside, path, name), returned


def _bring_postgres(settings: Settings, backup: Path, told: Manifest, name: str) -> tuple[str, int]:
    kept = postgres.load(settings.database, backup / told.database_file, name)
    return (f"schema {kept}" if kept else ""), _take_up(settings.database, told)


def _take_up(url: str, told: Manifest) -> int:
    """This version's tables, and no run under way: its worker has gone further than the backup knows."""
    database = Database(url)
    try:
        schema.upgrade(database.write_engine, copy=False)
        with database.writing() as session:
            return worker_service.take_all_back(session, f"restored from the backup of {told.made_at:%F %T} UTC")
    finally:
        database.dispose()
