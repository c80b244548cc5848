"""`pairboard backup`: the database and every file that its rows name, while the app runs and runs finish.

The database comes first: a file that a committed row names is in storage already, and while the folder's lock is held
nothing is removed from there. Files are copied by their hash, and what an earlier backup brought is not copied again.
"""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from app import migrating, schema
from app.db import Database
from app.errors import AppError
from app.keeping import manifest, postgres, sealed, sqlite
from app.keeping.manifest import Manifest
from app.keeping.queries import Contents
from app.settings import Settings
from app.storage import CHUNK, Storage


@dataclass
class Copied:
    """Files that were copied, those that were there, and those that could not be copied and why."""

    files: int = 0
    size: int = 0
    there: int = 0
    missing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """A backup that is whole."""

    folder: Path
    manifest: Manifest
    copied: Copied


class Damaged(Exception):
    """The bytes of a file are others than its name says."""


def make(settings: Settings, storage: Storage, folder: Path) -> Made:
    """Back up into `folder`. Raises AppError, and then leaves no half backup that could pass for a whole one."""
    _require_apart(folder, storage)
    _require_known(settings)
    with _alone(folder), storage.steady():
        now = datetime.now(UTC)
        making = folder / f"{manifest.MAKING}{now:%Y-%m-%dT%H-%M-%SZ}"
        making.mkdir(mode=0o700)
        try:
            kind, name, contents = _dump(settings, making)
            copied = _copy_files(storage, manifest.files_of(folder), contents.files)
            made = Manifest(
                made_at=now,
                pairboard=version("pairboard"),
                revision=contents.revision,
                database=kind,
                database_file=name,
                database_bytes=(making / name).stat().st_size,
                database_sha256=sha256_of(making / name),
                rows=contents.rows,
                files=contents.files,
                missing=copied.missing,
                sealed=sealed.copy_to(settings, making),
            )
            (making / manifest.NAME).write_text(made.model_dump_json(indent=1))
            return Made(_name(making, folder), made, copied)
        finally:
            shutil.rmtree(making, ignore_errors=True)


def _name(making: Path, folder: Path) -> Path:
    """Everything is on disk before the name says that it is whole."""
    for path in making.rglob("*"):
        migrating.sync(path)
    migrating.sync(making)
    target, number = folder / making.name.removeprefix(manifest.MAKING), 1
    while target.exists():
        number += 1
        target = folder / f"{making.name.removeprefix(manifest.MAKING)}-{number}"
    making.rename(target)
    migrating.sync(folder)
    return target


def _require_apart(folder: Path, storage: Storage) -> None:
    if folder.resolve().is_relative_to(storage.root.resolve()):
        raise AppError(f"{folder} lies inside of {storage.root}: give a folder elsewhere, best on another disk")
    if folder.exists() and not folder.is_dir():
        raise AppError(f"{folder} is a file: give a folder")


def _require_known(settings: Settings) -> None:
    database = Database(settings.database)
    try:
        found = schema.current(database.read_engine)
    finally:
        database.dispose()
    if found is None or not schema.knows(found):
        raise AppError(
            f"the database is at migration {found or 'none'}, which this pairboard does not know: nothing was backed up"
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One backup at a time in a folder; what a killed one left half done is removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"{manifest.MAKING}*"):
                shutil.rmtree(left)
            for torn in (folder / "files").glob("incoming-*"):
                torn.unlink()
            yield
    except BlockingIOError as error:
        raise AppError(f"another backup into {folder} is under way: wait for it, or give another folder") from error
    except OSError as error:
        raise AppError(f"{folder} can't be written to ({error.strerror}); no backup was made") from error


def _dump(settings: Settings, making: Path) -> tuple[str, str, Contents]:
    """The kind of database, the name of its file, and what it holds."""
    if settings.database.startswith("sqlite"):
        return "sqlite", "database.sqlite", sqlite.dump(settings.database, making / "database.sqlite")
    return "postgresql", "database.dump", postgres.dump(settings.database, making / "database.dump")


def _copy_files(storage: Storage, target: Storage, files: dict[str, int]) -> Copied:
    copied = Copied()
    for sha256, size in files.items():
        try:
            if copy_file(storage, target, sha256, size):
                copied.files, copied.size = copied.files + 1, copied.size + size
            else:
                copied.there += 1
        except FileNotFoundError:
            copied.missing[sha256] = "is gone from storage"
        except Damaged as error:
            copied.missing[sha256] = str(error)
    return copied


def copy_file(source: Storage, target: Storage, sha256: str, size: int) -> bool:
    """Copy a file, hashing it on the way; False when it was there. Raises FileNotFoundError, Damaged, NoRoom."""
    there = target.path(sha256)
    if there.is_file() and there.stat().st_size == size:
        return False
    with source.path(sha256).open("rb") as file, target.incoming() as incoming:
        while chunk := file.read(CHUNK):
            incoming.write(chunk)
        if incoming.sha256 != sha256:
            raise Damaged(f"holds other bytes in {source.root} than its name says")
        incoming.keep()
    return True


def sha256_of(path: Path) -> str:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forget_all_but(folder: Path, count: int) -> tuple[int, int]:
    """Remove all backups but the newest `count`, and the files that none of them names. How many backups, and bytes."""
    with _alone(folder):
        found = manifest.backups(folder)
        old, kept = found[:-count], found[-count:]
        named = {sha256 for path in kept for sha256 in manifest.read(path).files}
        for path in old:
            (path / manifest.NAME).unlink()  # first: what is left is no backup any more
            shutil.rmtree(path)
        freed = 0
        for stored in list(manifest.files_of(folder).files()):
            if stored.sha256 not in named:
                freed += stored.size
                stored.path.unlink()
        return len(old), freed
