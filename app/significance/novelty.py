"""Whether a file of test predictions is new beside those that were sent. Called by sending.py."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy  # scipy.stats takes a second to import: when it is first used
from numpy.typing import NDArray

from app.storage import Storage

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Twin:
    """The sent row whose file is nearest. `same`: to the byte; `likeness`: Spearman's correlation over test pairs."""

    id: int
    same: bool
    likeness: float


def nearest(storage: Storage, sha256: str, sent: dict[int, str]) -> Twin | None:
    """Of the sent rows, by number, the nearest to this file; None where none has a file of as many rows."""
    mine = _ranks(storage.path(sha256))
    best: Twin | None = None
    for number, other in sent.items():
        theirs = _ranks(storage.path(other))
        if len(theirs) != len(mine) or not len(mine):
            continue
        likeness = float(mine @ theirs)
        if best is None or likeness > best.likeness:
            best = Twin(number, other == sha256, likeness)
    return best


@lru_cache(maxsize=200)  # a file never changes: its path is its hash
def _ranks(path: Path) -> Floats:
    """Ranks of the predictions, centred and of length 1, so that a product of two is Spearman's correlation."""
    found: Floats = scipy.stats.rankdata(np.loadtxt(path, ndmin=1)) if path.stat().st_size else np.empty(0)
    found = found - found.mean() if len(found) else found
    length = float(np.linalg.norm(found))
    found = found / length if length else found
    found.flags.writeable = False
    return found
