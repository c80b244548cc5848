"""Reads a prediction file that somebody sent, line by line, and names what is wrong by file, line, value and way out.

What it refuses, and the score of what it takes, never depends on anybody's answers: they are not known here.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from app.language import gettext as _
from app.language import ngettext
from app.submissions import cells
from app.submissions.format import SEPARATORS, SubmissionFormat
from app.submissions.malformed import Malformed
from app.submissions.unpacking import opened
from ml.contract.pair_file import LONGEST_LINE

#: bytes of a line without sentences, and what a row may take of a whole file
SHORT_LINE, ROW_BYTES, SPARE_BYTES = 4096, 256, 65_536
SHOWN = 50


@dataclass(frozen=True)
class Predictions:
    """A number for each row of the test file, in its order. `remarks`: what was taken, and may be a mistake;
    `moved_from`: the first line that an id moved, 0: none."""

    values: NDArray[np.float64]
    remarks: tuple[str, ...]
    moved_from: int = 0


@dataclass
class _Reading:
    """Where the reading stands. `lines`: of each test row, the line that answers it, 0 while none does."""

    name: str
    form: SubmissionFormat
    sentences: list[tuple[str, str]] | None
    values: NDArray[np.float64]
    lines: NDArray[np.int64]
    taken: int = 0
    first_moved: int = 0
    blank: int = field(default=0)

    @property
    def rows(self) -> int:
        return len(self.values)


def most_bytes(rows: int, sentences: list[tuple[str, str]] | None) -> int:
    """That a file of so many rows can have."""
    texts = sum(len(a.encode()) + len(b.encode()) for a, b in sentences or ())
    return rows * ROW_BYTES + SPARE_BYTES + 2 * texts


def read_predictions(
    source: BinaryIO, name: str, form: SubmissionFormat, rows: int, sentences: list[tuple[str, str]] | None = None
) -> Predictions:
    """A number from 0 to 1 for each of `rows` test rows. `sentences` of the test file, where the form repeats them.

    Raises Malformed.
    """
    reading = _Reading(name, form, sentences, np.full(rows, np.nan), np.zeros(rows, np.int64))
    with opened(source, name, form, most_bytes(rows, sentences)) as text:
        for number, line in _lines(text, name, LONGEST_LINE if form.with_sentences else SHORT_LINE):
            _take(reading, number, line)
    _require_all(reading)
    return Predictions(reading.values, tuple(_remarks(reading)), reading.first_moved)


def _lines(file: BinaryIO, name: str, longest: int) -> Iterator[tuple[int, str]]:
    number = 0
    while raw := file.readline(longest + 1):
        number += 1
        told: dict[str, Any] = {"file": name, "line": number}
        if number == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise Malformed("utf16", _("%(file)s is UTF-16: save it as UTF-8", **told))
        if len(raw) > longest:
            long = _(
                "%(file)s, line %(line)s is longer than %(most)s bytes: a line answers one row", **told, most=longest
            )
            raise Malformed("long_line", long)
        if b"\0" in raw:
            raise Malformed("nul", _("%(file)s, line %(line)s holds NUL bytes: it is no text file", **told))
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in raw:
            returns = _(
                "%(file)s, line %(line)s: its lines end in a lone carriage return: save it with line feeds",
                **told,
            )
            raise Malformed("lone_returns", returns)
        try:
            yield number, raw.decode()
        except UnicodeDecodeError as error:
            told |= {"place": error.start + 1, "byte": repr(raw[error.start : error.end])}
            bad = _("%(file)s, line %(line)s: byte %(place)s (%(byte)s) is not UTF-8: save the file as UTF-8", **told)
            raise Malformed("not_utf8", bad, told["byte"]) from error


def _take(reading: _Reading, number: int, line: str) -> None:
    """One line: a header, a row, or empty ones at the end."""
    if not line.strip():
        reading.blank = reading.blank or number
        return
    told: dict[str, Any] = {"file": reading.name, "line": reading.blank}
    if reading.blank:
        empty = _(
            "%(file)s, line %(line)s is empty and others follow: each line answers a row, so write a number", **told
        )
        raise Malformed("blank_line", empty)
    if number == 1 and reading.form.header:
        _require_header(reading, line)
        return
    fields = _split(reading.form, line)
    if number == 1 and not reading.form.header and cells.looks_like_header(reading.form, fields):
        names = {"file": reading.name, "value": repr(line[:SHOWN])}
        extra = _(
            "%(file)s, line 1: %(value)s is a header, and this contest takes none: begin with the first row", **names
        )
        raise Malformed("header_unexpected", extra, line)
    if len(fields) != len(reading.form.columns) or (len(fields) == 1 and not cells.is_number(line)):
        _require_columns(reading, number, line, len(fields))
    _take_row(reading, number, dict(zip(reading.form.columns, fields, strict=True)))


def _split(form: SubmissionFormat, line: str) -> list[str]:
    if form.separator == "comma" and form.with_sentences:
        try:
            return next(csv.reader([line], strict=False), [""])
        except csv.Error:  # a field over the csv module's limit
            return [line]
    return line.split(SEPARATORS[form.separator])


def _require_header(reading: _Reading, line: str) -> None:
    wanted, found = list(reading.form.header), [part.strip() for part in _split(reading.form, line)]
    if found == wanted:
        return
    told = {
        "file": reading.name,
        "wanted": repr(SEPARATORS[reading.form.separator].join(wanted)),
        "value": repr(line[:SHOWN]),
    }
    if any(cells.is_number(part) for part in found):
        missing = _("%(file)s, line 1: the header is missing: put %(wanted)s above %(value)s", **told)
        raise Malformed("header_missing", missing, line)
    raise Malformed("header_other", _("%(file)s, line 1: the header is %(value)s instead of %(wanted)s", **told), line)


def _require_columns(reading: _Reading, number: int, line: str, found: int) -> None:
    form, wanted = reading.form, len(reading.form.columns)
    own = SEPARATORS[form.separator]
    told = {"file": reading.name, "line": number, "value": repr(line[:SHOWN]), "found": found, "wanted": wanted}
    if wanted == 1 and cells.COMMA_DECIMAL.match(line.strip()):
        raise cells.comma_decimal(told)
    if wanted == 1 and found == 1 and not form.with_sentences:
        found = max(len(line.split(sign)) for sign in "\t,;")
        told["found"] = found
    if found == wanted:
        return
    for sign, plural in cells.SIGNS.items():
        if sign != own and wanted > 1 and len(line.split(sign)) == wanted and found == 1:
            other = _(
                "%(file)s, line %(line)s: %(value)s is divided by %(sign)s: divide the columns by %(own)s",
                **told,
                sign=_(plural),
                own=_(cells.SIGNS[own]),
            )
            raise Malformed("separator", other, line)
    columns = ", ".join(form.columns)
    if found < wanted:
        few = _(
            "%(file)s, line %(line)s: %(value)s has %(found)s of %(wanted)s columns (%(columns)s)",
            **told,
            columns=columns,
        )
        raise Malformed("too_few_columns", few, line)
    many = _(
        "%(file)s, line %(line)s: %(value)s has %(found)s columns instead of %(wanted)s: leave only %(columns)s",
        **told,
        columns=columns,
    )
    raise Malformed("too_many_columns", many, line)


def _take_row(reading: _Reading, number: int, row: dict[str, str]) -> None:
    place = _place(reading, number, row["id"]) if "id" in row else reading.taken
    reading.taken += 1
    if place >= reading.rows:
        return  # counted, and told at the end by how many
    where = {"file": reading.name, "line": number}
    value = cells.label(row["label"], where) if "label" in row else 0.0
    if "probability" in row:
        value = cells.probability(row["probability"], where)
    if reading.sentences is not None:
        _require_sentences(reading.sentences[place], place, row, where)
    reading.values[place], reading.lines[place] = value, number


def _require_sentences(sentences: tuple[str, str], place: int, row: dict[str, str], where: dict[str, Any]) -> None:
    for column, wanted in zip(("a", "b"), sentences, strict=True):
        if column in row and cells.plain(row[column]) != cells.plain(wanted):
            told = {**where, "value": repr(row[column][:SHOWN]), "row": place + 1, "wanted": repr(wanted[:SHOWN])}
            moved = _(
                "%(file)s, line %(line)s: %(value)s is not the sentence of test row %(row)s, %(wanted)s: keep the "
                "order of the test file",
                **told,
            )
            raise Malformed("sentence", moved, row[column])


def _place(reading: _Reading, number: int, text: str) -> int:
    """Which test row an id means."""
    first, last = reading.form.first_id, reading.form.first_id + reading.rows - 1
    told = {"file": reading.name, "line": number, "value": repr(text[:SHOWN]), "first": first, "last": last}
    row = cells.whole_number(text)
    if row is None:
        raise Malformed(
            "id_text",
            _("%(file)s, line %(line)s: the id %(value)s is no whole number from %(first)s to %(last)s", **told),
            text,
        )
    if not first <= row <= last:
        unknown = _(
            "%(file)s, line %(line)s: no test row has the id %(value)s: they go from %(first)s to %(last)s", **told
        )
        raise Malformed("id_unknown", unknown, text)
    place = row - first
    if reading.lines[place]:
        twice = _(
            "%(file)s, line %(line)s: the id %(value)s stands in line %(earlier)s already: answer each row once",
            **told,
            earlier=int(reading.lines[place]),
        )
        raise Malformed("id_twice", twice, text)
    if place != reading.taken and not reading.first_moved:
        reading.first_moved = number
    return place


def _require_all(reading: _Reading) -> None:
    told: dict[str, Any] = {"file": reading.name, "found": reading.taken, "rows": reading.rows}
    if reading.taken > reading.rows:
        many = _(
            "%(file)s answers %(found)s rows, and the test file has %(rows)s: a line too many shifts all others", **told
        )
        raise Malformed("too_many_rows", many, str(reading.taken))
    if reading.taken == reading.rows:
        return
    if "id" in reading.form.columns:
        missing = np.flatnonzero(reading.lines == 0) + reading.form.first_id
        listed = ", ".join(map(str, missing[:5])) + (", …" if len(missing) > 5 else "")
        lacks = ngettext(
            "%(file)s: %(num)d id is missing, %(listed)s (%(found)s of %(rows)s rows are answered): add it",
            "%(file)s: %(num)d ids are missing, %(listed)s (%(found)s of %(rows)s rows are answered): add them",
            len(missing),
            **told,
            listed=listed,
        )
        raise Malformed("id_missing", lacks, listed)
    few = _("%(file)s answers %(found)s rows of %(rows)s: write a line for each row of the test file", **told)
    raise Malformed("too_few_rows", few, str(reading.taken))


def _remarks(reading: _Reading) -> Iterator[str]:
    if reading.first_moved:
        yield _("the rows were put in order by their ids, from line %(line)s on", line=reading.first_moved)
    if reading.rows > 1 and (reading.values == reading.values[0]).all():
        yield _("every row is predicted %(value)g: a constant ranks nothing", value=float(reading.values[0]))
