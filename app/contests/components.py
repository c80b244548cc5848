"""Which rows of a pair file hang together: by sentences that they share, however far. Called by what counts draws."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from app.contests.models import ContestFile
from app.storage import Storage
from ml.contract.pair_file import PairFileLayout, PairRow, read_rows


def components_of(storage: Storage, file: ContestFile) -> NDArray[np.int64]:
    """The component of each good row of the file, shape (rows,): the same as ml.split's, from the same sentences."""
    return _of(storage.path(file.sha256), PairFileLayout.model_validate(file.layout).model_dump_json())


@lru_cache(maxsize=8)  # a file never changes: its path is its hash
def _of(path: Path, layout: str) -> NDArray[np.int64]:
    numbers: dict[str, int] = {}
    ends: tuple[list[int], list[int]] = ([], [])
    for row in read_rows(path, PairFileLayout.model_validate_json(layout), "train"):
        if isinstance(row, PairRow):
            for side, text in zip(ends, (row.a, row.b), strict=True):
                side.append(numbers.setdefault(" ".join(text.split()), len(numbers)))
    if not ends[0]:
        return np.empty(0, np.int64)
    edges = coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(len(numbers), len(numbers)))
    _, label_S = connected_components(edges, directed=False)
    found: NDArray[np.int64] = label_S[np.array(ends[0])].astype(np.int64)
    found.flags.writeable = False
    return found
