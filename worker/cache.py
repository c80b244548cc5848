"""What a worker keeps between runs, so that nothing is fetched or tokenised twice: input files by their hash, and the
trainer's tokenised data by its key. What was not used for longest goes first when it grows too large. Called by tasks.
"""

import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)
GIGABYTE = 10**9


class Cache:
    """A folder of files named by their sha256, and of folders in `data` that the trainer fills and touches."""

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder, self.data, self._limit = folder, folder / "data", gigabytes * GIGABYTE

    def place_of(self, sha256: str) -> Path:
        """Where an input of this hash is kept; if it is there, it counts as used now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / sha256
        if path.is_file():
            os.utime(path)
        return path

    def make_room(self) -> None:
        """Remove what was used least recently until the rest fits. A run under way keeps what it has opened; half of a
        download or of tokenised data, left by a process that died, goes like the rest."""
        entries = [path for place in (self.folder, self.data) if place.is_dir() for path in place.iterdir()]
        found = sorted((path.stat().st_mtime, path) for path in entries if path != self.data)
        sizes = {path: _size(path) for _, path in found}
        total = sum(sizes.values())
        removed = 0
        for _, path in found:
            if total - removed <= self._limit:
                break
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            removed += sizes[path]
        if removed:
            left, limit = (total - removed) / GIGABYTE, self._limit / GIGABYTE
            log.info("cache: %.2f GB not used for longest removed, %.2f of %g GB left", removed / GIGABYTE, left, limit)


def _size(path: Path) -> int:
    return sum(part.stat().st_size for part in path.rglob("*")) if path.is_dir() else path.stat().st_size
