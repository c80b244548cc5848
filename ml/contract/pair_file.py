"""How a file of sentence pairs is laid out, how that is found out, and how its rows are read.

The same reader serves the app (report on upload) and ml (training), so both always see the same rows. Lines end at
"\\n" alone (str.splitlines would also end them at U+2028 and others); tabs divide fields without any quoting (a bare
double quote is text); comma files are read by the csv module line by line, so that no quote joins two rows.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import Field

from ml.contract import words
from ml.contract.strict import Strict

FileKind = Literal["train", "test", "unlabelled"]
LONGEST_LINE = 1 << 20
SAMPLE_ROWS = 1000
#: characters that are looked at to find the layout: lines may be long, and their fields take more room than they
SAMPLE_TEXT = 8 << 20
SHOWN_TEXT = 200

_LABEL_NAMES = {"label", "labels", "quality", "is_duplicate", "target", "score", "gold_label", "y", "标签", "类别"}
_TEXT_NAMES = re.compile(
    r"^(#?[12ab] ?string|(sentence|sent|text|question|query|q|s|title|string)[ _-]?[12ab]"
    r"|(句子|文本|问题)[一二12ab]|premise|hypothesis)$",
    re.IGNORECASE,
)
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


class PairFileLayout(Strict):
    """Where things stand in a pair file. Column numbers start at 0."""

    delimiter: Literal["\t", ","] = "\t"
    header: bool = False
    text_columns: tuple[int, int] = (0, 1)
    label_column: int | None = Field(None, ge=0)
    columns: int = Field(ge=2, description="fields a row must have")
    skip_bad_rows: bool = Field(False, description="a person said to load the file without its bad rows")


@dataclass(frozen=True, slots=True)
class PairRow:
    """A row that can be used. `label` is None in a test file."""

    line: int
    a: str
    b: str
    label: int | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be used, and why. `text` is its beginning."""

    line: int
    reason: str
    text: str


def sniff(
    path: Path,
    kind: FileKind,
    *,
    header: bool | None = None,
    label_column: int | None = None,
    text_columns: tuple[int, int] | None = None,
) -> PairFileLayout:
    """Find the layout from the first rows; what the caller says wins.

    Raises ValueError that names the file, the line, what stands there and what to do.
    """
    delimiter, fields, from_line = _fields_of(path)
    width = _commonest([len(row) for row in fields])
    # a header stands in line 1; where that can't be read, the first row that can is none
    at_top = from_line == 1 and len(fields[0]) == width
    named_label, named_texts = _named(fields[0]) if at_top else (None, [])
    said_header = header
    if header is None:
        header = named_label is not None or len(named_texts) >= 2
        header = header and not _has_label(fields, width, label_column)
    if not header:
        named_label, named_texts = None, []
    body = [row for row in fields[header:] if len(row) == width]
    if label_column is None:
        label_column = named_label if named_label is not None else _find_label(body, width)
        if text_columns and label_column in text_columns:
            label_column = None
    if text_columns is None:
        text_columns = _find_texts(path, width, label_column, named_texts)
    _check(path, width, kind, label_column, text_columns)
    if said_header is None and not header and kind == "train" and label_column is not None:
        # names we don't know, above rows that have a label
        header = at_top and _is_word(fields[0][label_column])
        header = header and _mostly_labels(body[1:], label_column)
    return PairFileLayout(
        delimiter=delimiter, header=header, text_columns=text_columns, label_column=label_column, columns=width
    )


def _has_label(fields: list[list[str]], width: int, said: int | None) -> bool:
    """Whether the first row has a label where the others have theirs: then it is a row, even of "label" and "y"."""
    column = _find_label([row for row in fields if len(row) == width], width) if said is None else said
    return column is not None and 0 <= column < len(fields[0]) and _is_label(fields[0][column])


def _fields_of(path: Path) -> tuple[Literal["\t", ","], list[list[str]], int]:
    """The delimiter, the fields of the first rows, and the line of the first. Raises ValueError for a file without."""
    rows = _sample(path)
    if not rows:
        raise ValueError(
            words.text(
                "%(file)s has no rows: a pair file has one pair a line, divided by a tab or a comma", file=path.name
            )
        )
    delimiter: Literal["\t", ","] = "\t"
    # most rows have to agree: one tab inside a sentence does not make a comma file one of tabs
    if _commonest([text.count("\t") for _, text in rows]) == 0:
        delimiter = ","
    fields = [_split(text, delimiter) for _, text in rows]
    if _commonest([len(row) for row in fields]) < 2:
        line, text = next((row for row in rows if not {"\t", ","} & set(row[1])), rows[0])
        raise ValueError(
            words.text(
                "%(file)s, line %(line)s: %(text)r has neither a tab nor a comma: divide the two sentences by a tab",
                file=path.name,
                line=line,
                text=text[:SHOWN_TEXT],
            )
        )
    return delimiter, fields, rows[0][0]


def _named(names: list[str]) -> tuple[int | None, list[int]]:
    """Which columns a header names as the label and as sentences."""
    plain = [name.strip() for name in names]
    label = next((column for column, name in enumerate(plain) if name.lower() in _LABEL_NAMES), None)
    return label, [column for column, name in enumerate(plain) if _TEXT_NAMES.match(name)]


def read_rows(
    path: Path, layout: PairFileLayout, kind: FileKind, *, place: int = 0, first_line: int = 1
) -> Iterator[PairRow | BadRow]:
    """Every row of the file, good or bad, with its line number; memory does not grow with the file.

    `place`: the byte at which to begin, where line number `first_line` does.

    A train row needs a label (0 or 1) and two sides, an unlabelled one two sides. A test row is bad only when it can't
    be read at all, since predictions answer a test file line by line.
    """
    first = layout.text_columns[0]
    second = layout.text_columns[1]
    with path.open("rb") as file:
        file.seek(place)
        for line, raw, bad in _lines(file, first_line):
            if layout.header and line == 1:
                continue
            if bad:
                yield BadRow(line, bad, raw[:SHOWN_TEXT])
                continue
            fields = _split(raw, layout.delimiter)
            if len(fields) != layout.columns:
                yield BadRow(line, _miscounted(raw, len(fields), layout.columns), _shown(raw))
                continue
            a, b = fields[first].strip(), fields[second].strip()
            if kind == "test" or (kind == "unlabelled" and a and b):
                yield PairRow(line, a, b, None)
            elif not a or not b:
                which = words.text("the second sentence is empty") if a else words.text("the first sentence is empty")
                yield BadRow(line, which, _shown(raw))
            else:
                yield _labelled(line, a, b, raw, fields, layout)


def _miscounted(raw: str, found: int, wanted: int) -> str:
    if not raw.strip():
        return words.text("an empty line")
    return words.text("%(found)s fields instead of %(wanted)s", found=found, wanted=wanted)


def _labelled(line: int, a: str, b: str, raw: str, fields: list[str], layout: PairFileLayout) -> PairRow | BadRow:
    if layout.label_column is None:
        return BadRow(line, words.text("there is no label column"), _shown(raw))
    text = fields[layout.label_column].strip()
    label = _LABELS.get(text)
    if label is None:
        missing = words.text("the label is missing")
        reason = words.text("the label is %(label)r, not 0 or 1", label=text[:50]) if text else missing
        return BadRow(line, reason, _shown(raw))
    return PairRow(line, a, b, label)


def _lines(file: BinaryIO, first: int = 1) -> Iterator[tuple[int, str, str]]:
    """(line number from `first`, text without its end, what is wrong with it). The last, empty line is no line."""
    number = first - 1
    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw.removesuffix(b"\n")) > LONGEST_LINE:
            start = raw[:SHOWN_TEXT]
            while raw and not raw.endswith(b"\n"):
                raw = file.readline(LONGEST_LINE)
            too_long = words.text("the line is longer than %(bytes)s bytes", bytes=LONGEST_LINE)
            yield number, start.decode("utf-8", "replace"), too_long
            continue
        raw = raw.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if b"\0" in raw:
            other = words.text("it holds NUL bytes (is the file UTF-16? save it as UTF-8)")
            yield number, raw.decode("utf-8", "replace"), other
            continue
        try:
            yield number, raw.decode("utf-8"), ""
        except UnicodeDecodeError as error:
            wrong = words.text(
                "byte %(place)s (%(byte)r) is not UTF-8: save the file as UTF-8",
                place=error.start + 1,
                byte=raw[error.start : error.end],
            )
            yield number, raw.decode("utf-8", "replace"), wrong


def _split(text: str, delimiter: str) -> list[str]:
    if delimiter == "\t":
        return text.split("\t")
    try:
        return next(csv.reader([text], strict=False), [""])
    except csv.Error:  # a lone carriage return in a field, or a field over the csv module's limit
        return [text]


def _shown(text: str) -> str:
    return (
        text
        if len(text) <= SHOWN_TEXT
        else words.text("%(start)s… (%(count)s characters)", start=text[:SHOWN_TEXT], count=len(text))
    )


def _sample(path: Path) -> list[tuple[int, str]]:
    """The first readable, non-empty lines. Raises ValueError for a file that is not UTF-8 text at all."""
    with path.open("rb") as file:
        start = file.read(4)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ValueError(words.text("%(file)s is UTF-16: save it as UTF-8", file=path.name))
        if start == b"PK\x03\x04" or start[:2] == b"\x1f\x8b":
            raise ValueError(
                words.text("%(file)s is a compressed file: unpack it and upload the text file in it", file=path.name)
            )
        file.seek(0)
        found, size = [], 0
        for line, text, bad in _lines(file):
            if not bad and text.strip():
                found.append((line, text))
                size += len(text)
            if len(found) >= SAMPLE_ROWS or line > 10 * SAMPLE_ROWS or size > SAMPLE_TEXT:
                break
        return found


def _commonest(numbers: list[int]) -> int:
    return max(set(numbers), key=lambda number: (numbers.count(number), number))


def _is_label(text: str) -> bool:
    return text.strip() in _LABELS


def _is_word(text: str) -> bool:
    """A label that is missing, or another number, is a mistake and no name of a column."""
    try:
        float(text)
    except ValueError:
        return bool(text.strip())
    return False


def _mostly_labels(body: list[list[str]], column: int) -> bool:
    """Most of the rows that say anything there say 0 or 1."""
    said = [row[column] for row in body if row[column].strip()]
    return bool(said) and sum(map(_is_label, said)) > 0.5 * len(said)


def _find_label(body: list[list[str]], width: int) -> int | None:
    """Last, then first column; two columns have no place for a label."""
    if width < 3:
        return None
    return next((column for column in (width - 1, 0) if _mostly_labels(body, column)), None)


def _find_texts(path: Path, width: int, label: int | None, named: list[int]) -> tuple[int, int]:
    if len(named) >= 2:
        return named[0], named[1]
    rest = [column for column in range(width) if column != label]
    if len(rest) < 2 or (len(rest) > 2 and not (label is None and width == 2)):
        raise ValueError(
            words.text(
                "%(file)s has %(width)s columns and no header that names two sentences: say which columns they are, "
                "counted from 0 (text_column_a, text_column_b), or name them sentence1 and sentence2 in a header",
                file=path.name,
                width=width,
            )
        )
    return rest[0], rest[1]


def _check(path: Path, width: int, kind: FileKind, label: int | None, texts: tuple[int, int]) -> None:
    told: dict[str, object] = {"file": path.name, "width": width, "last": width - 1}
    if label is not None and not 0 <= label < width:
        raise ValueError(
            words.text(
                "%(file)s has %(width)s columns (0 to %(last)s); there is no label column %(column)s",
                **told,
                column=label,
            )
        )
    for column in texts:
        if not 0 <= column < width:
            raise ValueError(
                words.text(
                    "%(file)s has %(width)s columns (0 to %(last)s); there is no text column %(column)s",
                    **told,
                    column=column,
                )
            )
    if texts[0] == texts[1] or label in texts:
        raise ValueError(
            words.text(
                "%(file)s: the label and the two sentences must be three different columns, not %(label)s, %(texts)s",
                file=path.name,
                label=label,
                texts=texts,
            )
        )
    if kind == "train" and label is None:
        raise ValueError(
            words.text(
                "%(file)s has %(width)s columns and none of 0 and 1: a train file needs a label, first or last "
                "(a file without labels is a test or an unlabelled file)",
                **told,
            )
        )
