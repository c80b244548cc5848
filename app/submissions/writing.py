"""Writes predictions of a test file as the contest wants them: called by files.py, and for the first lines by sample.

The same predictions in the same form give the same bytes, on every machine and in every year: who sent which file is
told by its sha256.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from app.contests.models import ContestFile
from app.storage import Storage
from app.submissions.format import (
    FEWEST_DECIMALS,
    LINE_ENDS,
    SEPARATORS,
    SubmissionFormat,
)
from ml.contract.pair_file import PairFileLayout, PairRow, read_rows

#: the earliest that a zip can say
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)
Sides = tuple[str, str]


def sides(storage: Storage, file: ContestFile) -> Iterator[Sides]:
    """Both sentences of each row of a test file."""
    return sides_at(storage.path(file.sha256), PairFileLayout.model_validate(file.layout))


def sides_at(path: Path, layout: PairFileLayout) -> Iterator[Sides]:
    """The same of the file at this path."""
    return ((row.a, row.b) for row in read_rows(path, layout, "test") if isinstance(row, PairRow))


def written(form: SubmissionFormat, predictions: Sequence[float], pairs: Iterable[Sides]) -> bytes:
    """The whole file."""
    text = "".join(lines(form, predictions, pairs)).encode()
    return _zip(form.file_name, text) if form.zipped else text


def lines(form: SubmissionFormat, predictions: Iterable[float], pairs: Iterable[Sides]) -> Iterator[str]:
    """Line by line, ends included."""
    end = LINE_ENDS[form.line_end]
    if form.header:
        yield SEPARATORS[form.separator].join(form.header) + end
    for number, (probability, pair) in enumerate(zip(predictions, pairs, strict=False), start=form.first_id):
        yield _joined(form, [_cell(form, column, number, probability, pair) for column in form.columns]) + end


def _cell(form: SubmissionFormat, column: str, number: int, probability: float, pair: Sides) -> str:
    if column == "id":
        return str(number)
    if column == "probability":
        return decimal(probability, form.decimals)
    if column == "label":
        return str(int(probability >= 0.5))
    return pair[column == "b"]


def decimal(value: float, decimals: int | None) -> str:
    """Never with an exponent, which not every grader reads. None: every digit, for a rounded file has ties, and they
    cost AUC."""
    if decimals is not None:
        return f"{value:.{decimals}f}"
    short = repr(value)  # the fewest digits that give this very number
    if "e" not in short and len(short.partition(".")[2]) >= FEWEST_DECIMALS:
        return short
    return str(np.format_float_positional(value, unique=True, min_digits=FEWEST_DECIMALS))


def _joined(form: SubmissionFormat, cells: list[str]) -> str:
    if form.separator == "tab" or not form.with_sentences:
        return SEPARATORS[form.separator].join(cells)
    out = io.StringIO()  # a sentence may hold commas and quotes
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _zip(name: str, content: bytes) -> bytes:
    """Stored, not deflated: another zlib packs the same file into other bytes, and numbers hardly pack at all."""
    out = io.BytesIO()
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.create_system, info.external_attr = 3, 0o644 << 16
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(info, content)
    return out.getvalue()
