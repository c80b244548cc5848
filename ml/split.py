"""The valid split, by connected component: no sentence stands on both sides. Called by run.

A random row split of a contest file puts the same sentences in train and valid, and the valid score then flatters
(0.97 offline, 0.91 online). Pretrain and finetune of one experiment compute the same split from the same file.
"""

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from ml.contract.experiment import DataConfig
from ml.contract.leaks import Groups
from ml.errors import RunError
from ml.near_groups import near_groups
from ml.pairs import Pairs, Rows, plain
from ml.seeds import numpy_stream


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers (0-based, ascending) of both parts, and how the file hangs together.

    `component_N` is the component of every row of the file, whatever the split is by; `groups`: how near twins join
    them, of a split by twins.
    """

    train_rows: Rows
    valid_rows: Rows
    component_N: npt.NDArray[np.int64]
    data: DataConfig
    fold: int | None = None
    groups: Groups | None = None

    @property
    def components(self) -> int:
        """How many groups of rows share no sentence with another."""
        return int(self.component_N.max()) + 1

    @property
    def largest_component_rows(self) -> int:
        """Rows of the largest such group."""
        return int(np.bincount(self.component_N).max())

    @property
    def sha256(self) -> str:
        """Hash of the sorted valid row numbers, joined by newlines: what a split is known by."""
        return hashlib.sha256("\n".join(map(str, self.valid_rows.tolist())).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write split.json."""
        valid = self.valid_rows.tolist()
        content = {
            "seed": self.data.split_seed,
            "split_by": self.data.split_by,
            "valid_fraction": self.data.valid_fraction,
            "folds": self.data.folds,
            "fold": self.fold,
            **({"groups": self.groups.model_dump(mode="json")} if self.groups else {}),
            "rows": len(self.train_rows) + len(valid),
            "valid_rows": len(valid),
            "sha256": self.sha256,
            "valid_row_numbers": valid,
        }
        path.write_text(json.dumps(content), encoding="utf-8")


def make_split(pairs: Pairs, data: DataConfig, fold: int | None = None) -> Split:
    """Hold out a part as `data` says: one fold, a share by component or by row, or nothing (full_data).

    By component: in seeded order while they fit; a component is never cut, so giants stay in train. By twins: the same
    of the groups into which near twins join them. Folds: scikit-learn's StratifiedGroupKFold over the components or
    groups. Raises RunError when a part lacks a label.
    """
    component_N = components_of(pairs)
    unit_N = near_groups(pairs) if data.split_by == "twins" and not data.full_data else component_N
    if data.full_data:
        held_N = np.zeros(len(pairs), dtype=bool)
    elif fold is not None:
        held_N = _fold(pairs, unit_N, data, fold)
    elif data.split_by == "row":
        held_N = np.zeros(len(pairs), dtype=bool)
        wanted = round(data.valid_fraction * len(pairs))
        held_N[numpy_stream(data.split_seed, "split").permutation(len(pairs))[:wanted]] = True
    else:
        sizes_C = np.bincount(unit_N)
        held_N = _take_while_fits(sizes_C, round(data.valid_fraction * len(pairs)), data.split_seed)[unit_N]
    groups = None if unit_N is component_N else _groups(component_N, unit_N)
    split = Split(np.flatnonzero(~held_N), np.flatnonzero(held_N), component_N, data, fold, groups)
    _check_labels(pairs, split)
    return split


def _groups(component_N: npt.NDArray[np.int64], group_N: npt.NDArray[np.int64]) -> Groups:
    before, after = np.bincount(component_N), np.bincount(group_N)
    return Groups(
        components=len(before),
        groups=len(after),
        largest=int(after.max()),
        largest_component=int(before.max()),
        rows=len(group_N),
    )


def _fold(pairs: Pairs, component_N: npt.NDArray[np.int64], data: DataConfig, fold: int) -> npt.NDArray[np.bool_]:
    """Rows of fold number `fold`."""
    components = int(component_N.max()) + 1
    if components < data.folds:
        raise RunError(
            f"{components} groups of rows that share no sentence cannot make {data.folds} folds: lower data.folds"
        )
    cut = StratifiedGroupKFold(data.folds, shuffle=True, random_state=data.split_seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer rows of a label than folds: _check_labels says it as an error
        parts = [held for _, held in cut.split(np.zeros(len(pairs)), pairs.labels_N, component_N)]
    held_N = np.zeros(len(pairs), dtype=bool)
    held_N[parts[fold]] = True
    return held_N


def shortfall(split: Split) -> str | None:
    """A warning when valid got under half of what was asked for, else None."""
    rows = len(split.train_rows) + len(split.valid_rows)
    share = 1 / split.data.folds if split.data.folds else split.data.valid_fraction
    if split.data.full_data or len(split.valid_rows) >= share * rows / 2:
        return None
    largest = split.groups.largest if split.groups else split.largest_component_rows
    return (
        f"valid has {len(split.valid_rows)} rows of the {round(share * rows)} asked for: "
        f"{largest} of {rows} rows hang together by {'near twins' if split.groups else 'shared sentences'} and stay in "
        "train"
    )


def components_of(pairs: Pairs) -> npt.NDArray[np.int64]:
    """Component of each row (N). Sentences are nodes, after whitespace is made plain; pairs are edges."""
    node_of: dict[str, int] = {}
    ends_2N = [
        np.fromiter((node_of.setdefault(plain(text), len(node_of)) for text in side), np.int64, len(pairs))
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
        if part == "valid" and split.data.full_data:
            continue
        found = np.unique(pairs.labels_N[rows]).tolist()
        if len(found) < 2:
            raise RunError(
                f"the {part} part of the split has {len(rows)} rows with labels {found}, and needs both labels "
                f"(largest group of rows that share sentences: {split.largest_component_rows} of {len(pairs)}): "
                "change valid_fraction, folds or split_seed, or bring more rows"
            )
