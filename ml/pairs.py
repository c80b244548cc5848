"""The rows of a run: pair files, checked by hash and row count, as compact arrays. For prepare and verify."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from ml.contract.job import Job, JobInput
from ml.contract.pair_file import BadRow, FileKind, PairRow, read_rows
from ml.errors import RunError

Rows = npt.NDArray[np.int64]
_AT_A_TIME = 1000


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs in file order. A row number (0-based) is a place in these lists; bad rows that were skipped have none."""

    a: list[str]
    b: list[str]
    labels_N: npt.NDArray[np.int8]  # empty for a test file

    def __len__(self) -> int:
        return len(self.a)

    def only(self, rows: Rows) -> "Pairs":
        """These rows, in this order."""
        numbers = rows.tolist()
        labels_N = self.labels_N[rows] if len(self.labels_N) else self.labels_N
        return Pairs([self.a[n] for n in numbers], [self.b[n] for n in numbers], labels_N)

    def turned(self) -> "Pairs":
        """The same pairs with their sides exchanged."""
        return Pairs(self.b, self.a, self.labels_N)


def plain(text: str) -> str:
    """A sentence with single spaces, by which two are told to be the same; the very object if it is plain already."""
    found = " ".join(text.split())
    return text if found == text else found


def all_ids(sentences: Iterable[str]) -> bool:
    """Whether these are anonymised: each that holds anything is digits and whitespace, and one holds something."""
    filled, rest = False, iter(sentences)
    while some := list(islice(rest, _AT_A_TIME)):
        digits = "".join("".join(some).split())
        filled = filled or bool(digits)
        if digits and not (digits.isascii() and digits.isdigit()):
            return False
    return filled


def read_pairs(folder: Path, item: JobInput, kind: FileKind) -> Pairs:
    """Read the pair file that `item` names below `folder`.

    Raises RunError for a missing or changed file, a bad row that nobody agreed to skip, and another count of rows
    than the job's.
    """
    check_file(folder, item)
    if item.layout is None:
        raise RunError(f"{item.name} comes without a layout: the job must say how its columns stand")
    a: list[str] = []
    b: list[str] = []
    labels: list[int] = []
    for row in read_rows(folder / item.path, item.layout, kind):
        if isinstance(row, BadRow):
            if not item.layout.skip_bad_rows:
                raise RunError(
                    f"{item.name} line {row.line}: {row.reason} ({row.text[:80]!r}); mend the line, or load the file "
                    "again and agree to leave its bad rows out"
                )
            continue
        _keep(row, a, b, labels, item.name, kind)
    if item.rows is not None and item.rows != len(a):
        raise RunError(f"{item.name} has {len(a)} good rows, but the job was made for {item.rows}: load the file again")
    if not a:
        raise RunError(f"{item.name} has no good rows: there is nothing to read")
    return Pairs(a, b, np.array(labels, dtype=np.int8))


def lines_of(folder: Path, item: JobInput, kind: FileKind) -> Rows:
    """The line of each good row, from 1. The file is read through only if bad rows may stand in between."""
    if item.layout is None:
        raise RunError(f"{item.name} comes without a layout: the job must say how its columns stand")
    if item.rows is None or item.layout.skip_bad_rows:
        rows = read_rows(folder / item.path, item.layout, kind)
        return np.fromiter((row.line for row in rows if isinstance(row, PairRow)), np.int64)
    return np.arange(item.rows) + 1 + item.layout.header


def _keep(row: PairRow, a: list[str], b: list[str], labels: list[int], name: str, kind: str) -> None:
    if kind == "train":
        if row.label not in (0, 1):
            raise RunError(
                f"{name} line {row.line}: label {row.label!r} is not 0 or 1; training needs a label on each row"
            )
        labels.append(row.label)
    a.append(row.a)
    b.append(row.b)


def check_file(folder: Path, item: JobInput) -> None:
    """Raise RunError unless the file of `item` is there and has the job's sha256."""
    path = folder / item.path
    if not path.is_file():
        raise RunError(f"{item.name} is not at {path}: put the job's inputs beside job.json")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != item.sha256:
        raise RunError(
            f"{item.name} has sha256 {found[:12]}..., but the job expects {item.sha256[:12]}...: "
            "the file changed on its way, fetch it again"
        )


def read_train(folder: Path, job: Job) -> Pairs:
    """The job's train file. Raises RunError when there is not exactly one, or its labels are all the same."""
    items = job.inputs_of("train")
    if len(items) != 1:
        raise RunError(f"the job names {len(items)} train files: give exactly one input of role train")
    train = read_pairs(folder, items[0], "train")
    classes = np.unique(train.labels_N)
    if len(classes) < 2:
        raise RunError(f"every label of {items[0].name} is {classes[0]}: a classifier needs rows of both labels")
    return train


def read_test(folder: Path, job: Job) -> Pairs | None:
    """The job's test file, or None when it has none. Raises RunError when there are several."""
    return _read_one(folder, job, "test")


def read_unlabelled(folder: Path, job: Job) -> Pairs | None:
    """The job's unlabelled file, or None when it has none. Raises RunError when there are several."""
    return _read_one(folder, job, "unlabelled")


def _read_one(folder: Path, job: Job, role: Literal["test", "unlabelled"]) -> Pairs | None:
    items = job.inputs_of(role)
    if len(items) > 1:
        names = ", ".join(item.name for item in items)
        raise RunError(f"the job names {len(items)} {role} files ({names}): give one at most")
    return read_pairs(folder, items[0], role) if items else None
