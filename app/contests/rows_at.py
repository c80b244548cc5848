"""Rows of a pair file by their lines, without reading what stands before them. Called by browsing, and by the browser
of an experiment's mistakes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.contests.models import ContestFile
from ml.contract.pair_file import BadRow, FileKind, PairFileLayout, PairRow, read_rows

STRIDE = 1000
_CHUNK = 1 << 22


@dataclass(frozen=True)
class PairFile:
    """A file that can be read: where it lies, and how."""

    path: Path
    layout: PairFileLayout
    kind: FileKind
    ids: bool


@dataclass(frozen=True)
class Places:
    """Byte at which every STRIDE-th line begins, the first included, and how many lines there are."""

    starts: NDArray[np.int64]
    lines: int


def pair_file(path: Path, file: ContestFile) -> PairFile:
    """Of a row and where its bytes lie."""
    kind: FileKind = file.kind  # type: ignore[assignment]  # the table's check holds it
    return PairFile(path, PairFileLayout.model_validate(file.layout), kind, file.report["looks_like"] == "ids")


@lru_cache(maxsize=16)  # a file never changes: its path is its hash
def places(path: Path) -> Places:
    """Found once a process, at about a gigabyte a second."""
    starts, newlines, before, end = [0], 0, 0, b"\n"
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10)
            starts += (before + found[(-newlines - 1) % STRIDE :: STRIDE] + 1).tolist()
            newlines += len(found)
            before, end = before + len(chunk), chunk[-1:]
    return Places(np.array(starts, np.int64), newlines + (end != b"\n"))


def rows_from(file: PairFile, line: int) -> Iterator[PairRow | BadRow]:
    """The rows of the file from this line on."""
    found = places(file.path)
    step = min((line - 1) // STRIDE, len(found.starts) - 1)
    rows = read_rows(file.path, file.layout, file.kind, place=int(found.starts[step]), first_line=step * STRIDE + 1)
    return (row for row in rows if row.line >= line)


def rows_at(file: PairFile, lines: Iterable[int]) -> dict[int, PairRow]:
    """The good rows among these lines. Near ones are read in one go."""
    found: dict[int, PairRow] = {}
    reader: Iterator[PairRow | BadRow] = iter(())
    row: PairRow | BadRow | None = None
    for line in sorted(set(lines)):
        if row is None or line > row.line + STRIDE:
            reader = rows_from(file, line)
            row = next(reader, None)
        while row is not None and row.line < line:
            row = next(reader, None)
        if isinstance(row, PairRow) and row.line == line:
            found[line] = row
    return found


@lru_cache(maxsize=4)
def _good_lines(path: Path, layout: str, kind: FileKind) -> NDArray[np.int64]:
    rows = read_rows(path, PairFileLayout.model_validate_json(layout), kind)
    return np.fromiter((row.line for row in rows if isinstance(row, PairRow)), np.int64)


def lines_of(file: PairFile, rows: NDArray[np.int64], *, bad_rows: int) -> NDArray[np.int64]:
    """The lines of good rows, which are numbered from 0. The file is read through only if bad rows stand in between."""
    if bad_rows:
        return _good_lines(file.path, file.layout.model_dump_json(), file.kind)[rows]
    return rows + 1 + file.layout.header
