"""Files by their hash: uploads and artifacts lie in data_dir/storage/ab/abcdef…; equal bytes are stored once.

A file is written beside its place, hashed, synced and renamed: a half-written one is never taken for whole. Who needs
files to stay (an upload, a backup) holds the folder's lock together with others; who removes one has it alone.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from app.errors import NoRoom, NotFound, TooLarge
from app.language import gettext as _

CHUNK = 1 << 20
TORN_AFTER_S = 24 * 3600
NEW_FOR_S = 60
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Stored:
    """A file that is in storage."""

    sha256: str
    size: int
    path: Path


class Storage:
    """The folder of files by hash."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self.root = root
        self.max_bytes = max_bytes

    def path(self, sha256: str) -> Path:
        """Where the file of this hash lies, or would."""
        return self.root / sha256[:2] / sha256

    def existing(self, sha256: str, name: str) -> Path:
        """Where the file of this hash lies. Raises NotFound, with the name that people know it by, when it is gone."""
        path = self.path(sha256)
        if not path.is_file():
            told = {"file": name, "sha256": sha256[:12]}
            raise NotFound(
                _("%(file)s (%(sha256)s…) is recorded but no longer in the data folder: upload it again", **told)
            )
        return path

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Nothing is removed while the block lasts."""
        with self._lock(fcntl.LOCK_SH):
            yield

    @contextmanager
    def _lock(self, how: int) -> Iterator[None]:
        """Released with the file, so by a killed process too."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("ab") as file:
            fcntl.flock(file, how)
            yield

    def find(self, sha256: str, size: int) -> Stored | None:
        """The file of this hash if it is here; it counts as new from now on, for a row that is about to name it."""
        path = self.path(sha256)
        with contextlib.suppress(FileNotFoundError), self.steady():
            if path.stat().st_size == size:
                os.utime(path)
                return Stored(sha256, size, path)
        return None

    def take(self, path: Path, sha256: str, size: int) -> Stored:
        """Rename a synced file beside us into its place, over equal bytes that may be there."""
        target = self.path(sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.steady():
            os.replace(path, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return Stored(sha256, size, target)

    def incoming(self) -> "Incoming":
        """A place to write a new file to; see Incoming."""
        self.root.mkdir(parents=True, exist_ok=True)
        return Incoming(self)

    def torn(self) -> Iterator[tuple[Path, int]]:
        """What was left half written a day ago, and its size: a worker whose app was away goes on where it stopped."""
        for path in self.root.glob("incoming-*"):
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                found = path.stat()
                if time.time() - found.st_mtime > TORN_AFTER_S:
                    yield path, found.st_size

    def forget_torn(self) -> None:
        """Remove it."""
        for path, _size in self.torn():
            path.unlink(missing_ok=True)

    def files(self) -> Iterator[Stored]:
        """Every file that is here whole."""
        for path in self.root.glob("[0-9a-f][0-9a-f]/*"):
            with contextlib.suppress(FileNotFoundError):
                if _SHA256.fullmatch(path.name):
                    yield Stored(path.name, path.stat().st_size, path)

    def is_new(self, sha256: str, unseen_s: float | None = None) -> bool:
        """Whether it came, or was asked for, so lately that a row may be about to name it."""
        with contextlib.suppress(FileNotFoundError):
            return time.time() - self.path(sha256).stat().st_mtime < (NEW_FOR_S if unseen_s is None else unseen_s)
        return False

    def remove(self, sha256: str, *, unless: Callable[[], bool], unseen_s: float | None = None) -> int | None:
        """Remove a file unless `unless()`, asked while no upload can find it, says that a row names it. Returns the
        bytes that this freed; None when it has to wait: the file is new, or uploads or a backup hold the folder."""
        path = self.path(sha256)
        try:
            with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                if self.is_new(sha256, unseen_s):
                    return None
                if not path.is_file() or unless():
                    return 0
                size = path.stat().st_size
                path.unlink()
                return size
        except BlockingIOError:
            return None

    def store(self, source: BinaryIO) -> Stored:
        """Copy a readable file into storage."""
        with self.incoming() as incoming:
            while chunk := source.read(CHUNK):
                incoming.write(chunk)
            return incoming.keep()


class Incoming:
    """A file on its way in. `write`, then `keep`; leaving the block without `keep` removes it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        handle, name = tempfile.mkstemp(prefix="incoming-", dir=storage.root)
        self._file = os.fdopen(handle, "wb")
        self.path = Path(name)
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Append. Raises TooLarge beyond the limit of PAIRBOARD_MAX_UPLOAD_MB."""
        self.size += len(chunk)
        if self.size > self._storage.max_bytes:
            raise TooLarge(
                _(
                    "the file is larger than %(limit)s MiB: raise PAIRBOARD_MAX_UPLOAD_MB to take it",
                    limit=self._storage.max_bytes >> 20,
                )
            )
        self._hash.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            told = {"folder": self._storage.root, "why": error.strerror}
            raise NoRoom(_("the file could not be written to %(folder)s: %(why)s", **told)) from error

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()

    def flush(self) -> None:
        """Make what was written readable under `path`."""
        self._file.flush()

    def keep(self) -> Stored:
        """Sync and rename into place; a file of the same bytes that is there already stays."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._storage.take(self.path, self.sha256, self.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)
