"""The valid split, by connected component: no sentence stands on both sides. Called by run.

A random row split of a contest file puts the same sentences in train and valid, and the valid score then flatters
(0.97 offline, 0.91 online). Pretrain and finetune of one experiment compute the same split from the same file.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ml.errors import RunError
from ml.pairs import Pairs, Rows
from ml.seeds import numpy_stream


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers (0-based, ascending) of both parts, and how the file hangs together."""

    train_rows: Rows
    valid_rows: Rows
    components: int
    largest_component_rows: int
    seed: int
    valid_fraction: float

    @property
    def sha256(self) -> str:
        """Hash of the sorted valid row numbers, joined by newlines: what a split is known by."""
        return hashlib.sha256("\n".join(map(str, self.valid_rows.tolist())).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write split.json."""
        valid = self.valid_rows.tolist()
        content = {
            "seed": self.seed,
            "valid_fraction": self.valid_fraction,
            "rows": len(self.train_rows) + len(valid),
            "valid_rows": len(valid),
            "sha256": self.sha256,
            "valid_row_numbers": valid,
        }
        path.write_text(json.dumps(content), encoding="utf-8")


def make_split(pairs: Pairs, valid_fraction: float, seed: int) -> Split:
    """Hold out `valid_fraction` of the rows, component by component, in seeded order while they fit.

    A component is never cut, so giants stay in train. Raises RunError when a part lacks a label.
    """
    component_N = _components(pairs)
    sizes_C = np.bincount(component_N)
    held_C = _take_while_fits(sizes_C, round(valid_fraction * len(pairs)), seed)
    held_N = held_C[component_N]
    split = Split(
        train_rows=np.flatnonzero(~held_N),
        valid_rows=np.flatnonzero(held_N),
        components=len(sizes_C),
        largest_component_rows=int(sizes_C.max()),
        seed=seed,
        valid_fraction=valid_fraction,
    )
    _check_labels(pairs, split)
    return split


def shortfall(split: Split) -> str | None:
    """A warning when valid got under half of what was asked for, else None."""
    rows = len(split.train_rows) + len(split.valid_rows)
    if len(split.valid_rows) >= split.valid_fraction * rows / 2:
        return None
    return (
        f"valid has {len(split.valid_rows)} rows of the {round(split.valid_fraction * rows)} asked for: "
        f"{split.largest_component_rows} of {rows} rows hang together by shared sentences and stay in train"
    )


def _components(pairs: Pairs) -> npt.NDArray[np.int64]:
    """Component of each row (N). Sentences are nodes, after whitespace is made plain; pairs are edges."""
    node_of: dict[str, int] = {}
    ends_2N = [
        np.fromiter((node_of.setdefault(" ".join(text.split()), len(node_of)) for text in side), np.int64, len(pairs))
        for side in (pairs.a, pairs.b)
    ]
    graph = coo_array((np.ones(len(pairs), np.int8), (ends_2N[0], ends_2N[1])), shape=(len(node_of), len(node_of)))
    _, component_of_node = connected_components(graph, directed=False)
    return component_of_node[ends_2N[0]].astype(np.int64)


def _take_while_fits(sizes_C: npt.NDArray[np.int64], wanted: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which components go to valid: in seeded order, each that still fits in `wanted` rows."""
    held_C = np.zeros(len(sizes_C), dtype=bool)
    taken = 0
    for component in numpy_stream(seed, "split").permutation(len(sizes_C)).tolist():
        if taken + sizes_C[component] <= wanted:
            held_C[component] = True
            taken += sizes_C[component]
            if taken == wanted:
                break
    return held_C


def _check_labels(pairs: Pairs, split: Split) -> None:
    for part, rows in (("valid", split.valid_rows), ("train", split.train_rows)):
        found = np.unique(pairs.labels_N[rows]).tolist()
        if len(found) < 2:
            raise RunError(
                f"the {part} part of the split has {len(rows)} rows with labels {found}, and needs both labels "
                f"(largest group of rows that share sentences: {split.largest_component_rows} of {len(pairs)}): "
                "change valid_fraction or the seed, or bring more rows"
            )
