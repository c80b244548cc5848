"""Lines of a file of pairs and their fields: what can be read, and what is wrong with the rest. Called by pair_file."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from ml.contract import words

LONGEST_LINE = 1 << 20
SHOWN_TEXT = 200


def lines(file: BinaryIO, first: int = 1) -> Iterator[tuple[int, str, str]]:
    """(line number from `first`, text without its end, what is wrong with it). The last, empty line is no line."""
    number = first - 1
    while raw := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            while raw and not raw.endswith(b"\n"):
                start, raw = raw[:SHOWN_TEXT], file.readline(LONGEST_LINE)
                if len(raw) == 0:
                    break
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


def split(text: str, delimiter: str) -> list[str]:
    """The fields of a line."""
    if delimiter == "\t":
        return text.split("\t")
    try:
        return next(csv.reader([text], strict=False), [""])
    except csv.Error:  # a lone carriage return in a field, or a field over the csv module's limit
        return [text]


def shown(text: str) -> str:
    """Its beginning, for a report."""
    return (
        text
        if len(text) <= SHOWN_TEXT
        else words.text("%(start)s… (%(count)s characters)", start=text[:SHOWN_TEXT], count=len(text))
    )
