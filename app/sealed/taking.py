"""Reads a file of answers: one label a line, or labelled pairs in the order of the test file.

Its messages name lines and never what stands there: they may end up in a log, and a label is a secret.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.errors import FieldError, Refused
from app.language import gettext as _
from app.sealed.answers import Labels
from app.submissions.cells import plain
from ml.contract.pair_file import PairFileLayout, PairRow, read_rows, sniff

_LABELS = {b"0": 0, b"1": 1, b"0.0": 0, b"1.0": 1}
_HEADERS = {b"label", b"labels", b"target", b"gold_label", b"y", "标签".encode()}
_BOM = b"\xef\xbb\xbf"
LONGEST_LINE = 1 << 20
Sides = Iterator[tuple[str, str]]


def read_answers(path: Path, rows: int, sentences: Sides) -> Labels:
    """A label for each of `rows` test rows, whose sentences a labelled file has to repeat. Raises Refused."""
    with path.open("rb") as file:
        first = file.readline(LONGEST_LINE).removeprefix(_BOM)
    if not first:
        raise refused(_("the file of answers is empty: give a label for each row of the test file"))
    labels = list(_of_pairs(path, sentences) if b"\t" in first or b"," in first else _of_lines(path))
    if len(labels) != rows:
        told = {"found": len(labels), "rows": rows}
        raise refused(_("there are %(found)s answers, and the test file has %(rows)s rows: give one for each", **told))
    return np.array(labels, np.int8)


def _of_lines(path: Path) -> Iterator[int]:
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LONGEST_LINE):
            number += 1
            text = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
            if number == 1 and text.lower() in _HEADERS:
                continue
            if text not in _LABELS:
                raise refused(_("line %(line)s of the answers is neither 0 nor 1", line=number))
            yield _LABELS[text]


def _of_pairs(path: Path, sentences: Sides) -> Iterator[int]:
    """The sentences have to be those of the test file, row by row: labels in another order would be worse than none."""
    try:
        layout: PairFileLayout = sniff(path, "train")
    except ValueError:
        message = _(
            "the columns of the answers can't be told apart: give one label a line, or the pairs with their label in "
            "the first or last column"
        )
        raise refused(message) from None  # what was found there stays there
    for row in read_rows(path, layout, "train"):
        if not isinstance(row, PairRow) or row.label is None:
            raise refused(_("line %(line)s of the answers has no two sentences and a label of 0 or 1", line=row.line))
        wanted = next(sentences, None)
        if wanted is not None and (plain(row.a), plain(row.b)) != (plain(wanted[0]), plain(wanted[1])):
            message = _(
                "line %(line)s of the answers does not hold the sentences of the same row of the test file: keep its "
                "order",
                line=row.line,
            )
            raise refused(message)
        yield row.label


def refused(message: str) -> Refused:
    """Of the file of answers."""
    return Refused(message, [FieldError("answers", message)])
