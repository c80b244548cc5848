"""Files that arrive in pieces, for the worker's uploads: what came so far waits in storage/incoming-<run>-<sha256>.

A cut connection costs the piece under way. Several web processes share the folder, so each piece is written under a
lock of the file; keyed by run, so that nobody else's bytes get in between.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO

from app.errors import NoRoom, TooLarge
from app.storage import CHUNK, Storage, Stored


class Partial:
    """A file of `size` bytes and this hash on its way in, for one run."""

    def __init__(self, storage: Storage, run_id: int, sha256: str, size: int) -> None:
        if size > storage.max_bytes:
            raise TooLarge(
                f"the file is {size} bytes large, the limit {storage.max_bytes >> 20} MiB: "
                "raise PAIRBOARD_MAX_UPLOAD_MB to take it"
            )
        self._storage, self.sha256, self.size = storage, sha256, size
        self.path = storage.root / f"incoming-{run_id}-{sha256}"

    @property
    def offset(self) -> int:
        """How many bytes are here."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:  # not begun, or whole and in its place, since a moment ago
            return 0

    def write(self, offset: int, piece: bytes) -> int:
        """Append a piece that begins at `offset`; one that begins elsewhere came before, or too early, and is left.

        Returns how many bytes are here now. Raises NoRoom when the disk does not take it whole, TooLarge beyond size.
        """
        with self._locked() as file:
            here = file.seek(0, os.SEEK_END)
            if offset != here:
                return here
            if here + len(piece) > self.size:
                raise TooLarge(f"{here + len(piece)} bytes would be here of a file of {self.size}")
            try:
                if file.write(piece) != len(piece):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                file.truncate(here)
                raise NoRoom(f"the file could not be written to {self._storage.root}: {error.strerror}") from error
            return here + len(piece)

    def keep(self) -> Stored | None:
        """Once all is here: check, sync, rename into place. None when the bytes are others: they are dropped, and the
        sender begins again."""
        with self._locked() as file:
            if self._digest(file) != self.sha256:
                self.path.unlink(missing_ok=True)
                return None
            os.fsync(file.fileno())
            return self._storage.take(self.path, self.sha256, self.size)

    @contextmanager
    def _locked(self) -> Iterator[FileIO]:
        self._storage.root.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                # raw: what a full disk refuses must not linger in a buffer
                file = self.path.open("ab+", buffering=0)
            except OSError as error:
                raise NoRoom(f"nothing can be written to {self._storage.root}: {error.strerror}") from error
            with file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._is_at_path(file):
                    yield file
                    return
            # Else it was renamed into place, or dropped, while we waited: written to it must be no more.

    def _is_at_path(self, file: FileIO) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return self.path.stat().st_ino == os.fstat(file.fileno()).st_ino
        return False

    @staticmethod
    def _digest(file: FileIO) -> str:
        digest = hashlib.sha256()
        file.seek(0)
        while piece := file.read(CHUNK):
            digest.update(piece)
        return digest.hexdigest()
