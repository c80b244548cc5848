"""Files of pairs: the reader, good rows among bad ones, and uploads."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

from app.contests.service import Columns, receive_file
from app.errors import Refused
from ml.contract import pair_file
from ml.contract.pair_file import BadRow, FileKind, PairRow, read_rows, sniff
from tests.security.fuzz_mutation import mutated
from tests.security.fuzz_workshop import Workshop

KINDS: tuple[FileKind, ...] = ("train", "test", "unlabelled")
#: most lines are held to this length instead of the real one, so that its ends are met often
SHORT = 600
_WORDS = (
    *(
        "12 98 4",
        "7",
        "你好，世界",
        "a, b",
        'say "hi"',
        '"',
        "'",
        "q\u2028r",
        "x\x0by",
        "z\xa0z",
        "NaN",
        "-1",
        "½",
        "²",
    ),
    *("甲", "乙" * 40, "=1+1", "%s %(x)s", "{0}", "\u200b", "e\u0301", "\U0001f600", "#", "a|b", "\\N", "null", "0.5"),
)
_HEADER_WORDS = ("score", "label", "标签", "y", "sentence1", "text2", "target", "1 2", "问题1")
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, " 1": 1, "0 ": 0}


@dataclass(frozen=True)
class Given:
    """A file, and what a person says of it. `good`: the rows that have to come out, None where nobody knows; `bad`:
    the lines of the others."""

    content: bytes
    kind: FileKind
    said: dict[str, Any]
    longest: int = SHORT
    good: tuple[tuple[int, str, str, int | None], ...] | None = None
    bad: tuple[int, ...] = ()


@contextmanager
def _lines_of(longest: int) -> Iterator[None]:
    real, pair_file.LONGEST_LINE = pair_file.LONGEST_LINE, longest
    try:
        yield
    finally:
        pair_file.LONGEST_LINE = real


def draw_file(draw: Random) -> Given:
    """Any bytes."""
    given = _good_and_bad(draw)
    content = mutated(draw, given.content, [given.content, b"a\tb\t1\nc\td\t0\n", "甲,乙,1\n丙,丁,0\n".encode("gbk")])
    said = given.said
    if draw.random() < 0.1:
        said = {"label_column": draw.choice((None, 0, 2, 9, -1)), "text_columns": draw.choice((None, (0, 1), (1, 1)))}
    return Given(content, draw.choice(KINDS), said, given.longest)


def check_file(given: Given, workshop: Workshop) -> bool:
    """A refusal that names the file, or every line in its order, each good or bad."""
    path = workshop.write("pairs.tsv", given.content)
    with _lines_of(given.longest):
        try:
            layout = sniff(path, given.kind, **given.said)
        except ValueError as error:
            assert "pairs.tsv" in str(error)
            return False
        rows = list(read_rows(path, layout, given.kind))
        lines = given.content.count(b"\n") + (not given.content.endswith(b"\n") and bool(given.content))
        assert [row.line for row in rows] == list(range(1 + layout.header, lines + 1)), "a line is lost"
        for row in rows:
            _hold(row, given.kind)
        if rows:  # the same from any line on
            first = rows[len(rows) // 2].line
            place = sum(len(line) + 1 for line in given.content.split(b"\n")[: first - 1])
            rest = list(read_rows(path, layout, given.kind, place=place, first_line=first))
            assert rest == rows[len(rows) // 2 :]
    return any(isinstance(row, PairRow) for row in rows)


def _hold(row: PairRow | BadRow, kind: FileKind) -> None:
    if isinstance(row, BadRow):
        assert row.reason
        assert len(row.text) <= pair_file.SHOWN_TEXT + 60
        return
    assert "\n" not in row.a + row.b
    assert kind == "test" or (row.a and row.b)
    assert (row.label in {0, 1}) if kind == "train" else row.label is None


def draw_rows(draw: Random) -> Given:
    """Good rows, and bad ones among them."""
    return _good_and_bad(draw)


def check_rows(given: Given, workshop: Workshop) -> bool:
    """The good rows come out, in order, and no other; each bad line is named."""
    path = workshop.write("pairs.tsv", given.content)
    with _lines_of(given.longest):
        rows = list(read_rows(path, sniff(path, given.kind, **given.said), given.kind))
    found = tuple((row.line, row.a, row.b, row.label) for row in rows if isinstance(row, PairRow))
    assert found == given.good
    assert tuple(row.line for row in rows if isinstance(row, BadRow)) == given.bad
    return True


def draw_upload(draw: Random) -> tuple[Given, str, bool]:
    """The same as somebody sends it, under some name."""
    name = draw.choice(("pairs.tsv", "a/b\\c.tsv", "..", "\0", "中" * 300, "%s", "\ud800.tsv", "", "x\n.tsv"))
    given = _good_and_bad(draw)
    if draw.random() < 0.3:
        given = Given(mutated(draw, given.content, [given.content]), given.kind, given.said, given.longest)
    return given, name, draw.random() < 0.5


def check_upload(sent: tuple[Given, str, bool], workshop: Workshop) -> bool:
    """Loaded whole; or refused by a message that names the first bad line; or, where a person said so, without the bad
    rows, each of which is counted."""
    given, name, skip = sent
    with _lines_of(given.longest):
        try:
            source, columns = io.BytesIO(given.content), Columns(**given.said)
            report = receive_file(workshop.storage, source, name, given.kind, columns, skip_bad_rows=skip).report
        except Refused as error:
            assert error.message
            if given.good is not None:
                assert given.bad
                assert given.kind == "test" or not skip
                assert f"line {given.bad[0]}:" in error.message
            return False
    if given.good is not None:
        assert (report.rows, report.bad_rows) == (len(given.good), len(given.bad))
        assert [item.line for item in report.bad_examples] == list(given.bad[:20])
        assert skip or not given.bad
    return True


def _good_and_bad(draw: Random) -> Given:
    kind = draw.choice(KINDS)
    comma, label_first, sniffed = draw.random() < 0.4, draw.random() < 0.3, draw.random() < 0.5
    longest = SHORT if draw.random() < 0.9995 else 1 << 20
    header = draw.random() < 0.3
    bad_lines = [
        _bad_line(draw, kind, longest, comma=comma, first=label_first) for _ in range(draw.choice((0, 1, 2, 4)))
    ]
    count = 2 * len(bad_lines) + draw.randint(3, 6)
    if longest > SHORT:
        bad_lines.append(b"x" * draw.choice((longest + 1, longest + 2, 2 * longest, 3 * longest)))
    lines: list[tuple[bytes, tuple[str, str, int | None] | None]] = [(line, None) for line in bad_lines]
    for _ in range(count):
        lines.insert(draw.randint(0, len(lines)), _good_line(draw, kind, longest, comma=comma, first=label_first))
    if sniffed and not header:  # names in the first row are taken for a header where no label tells that they are none
        lines.insert(0, _good_line(draw, kind, longest, comma=comma, first=label_first, plain=kind != "train"))
    if header:
        names = ["sentence1", "sentence2"]
        names = names if kind != "train" else (["label", *names] if label_first else [*names, "label"])
        lines.insert(0, ((b"," if comma else b"\t").join(name.encode() for name in names), None))
    end = draw.choice((b"\n", b"\n", b"\r\n"))
    # an empty last line without an end is no line
    content = end.join(line for line, _ in lines) + (end if draw.random() < 0.7 or not lines[-1][0] else b"")
    content = (b"\xef\xbb\xbf" if draw.random() < 0.2 else b"") + content
    # a mark before a line, and a carriage return behind it, are bytes of it
    long = [number for number, line in enumerate(content.split(b"\n"), 1) if len(line) > longest]
    good = tuple((number, *row) for number, (_, row) in enumerate(lines, 1) if row is not None and number not in long)
    bad = tuple(number for number in range(1 + header, len(lines) + 1) if number not in {row[0] for row in good})
    said: dict[str, Any] = {}
    if not sniffed:
        first = kind == "train" and label_first
        said = {"header": header, "text_columns": (1, 2) if first else (0, 1)}
        said["label_column"] = (0 if label_first else 2) if kind == "train" else None
    return Given(content, kind, said, longest, good, bad)


def _good_line(
    draw: Random, kind: FileKind, longest: int, *, comma: bool, first: bool, plain: bool = False
) -> tuple[bytes, tuple[str, str, int | None]]:
    words = _WORDS if plain else (*_WORDS, *_HEADER_WORDS)
    a, b = draw.choice(words), draw.choice(words)
    if draw.random() < 0.02 and not comma:  # just as long as a line may be
        a = "x" * (
            longest - len(f"\t{b}\t1".encode() if kind == "train" else f"\t{b}".encode()) - draw.choice((0, 1, 4, 5))
        )
    shown = (f" {a}", f"{b} ") if draw.random() < 0.1 and len(a) < 100 else (a, b)
    if kind != "train":
        return _joined(shown, comma=comma), (a, b, None)
    label = draw.choice(list(_LABELS)) if len(a) < 100 else "1"
    return _joined((label, *shown) if first else (*shown, label), comma=comma), (a, b, _LABELS[label])


def _joined(cells: tuple[str, ...], *, comma: bool) -> bytes:
    if not comma:
        return "\t".join(cells).encode()
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue().encode()


def _bad_line(draw: Random, kind: FileKind, longest: int, *, comma: bool, first: bool) -> bytes:
    sign = b"," if comma else b"\t"
    fields = [b"1", b"a", b"b"] if first else [b"a", b"b", b"1"]
    fields = fields if kind == "train" else fields[first : first + 2]
    broken = [
        *(b"", b" ", b"alone", sign.join([*fields, b"c"]), sign.join(fields[:-1]), sign * 9),
        *(sign.join([*fields[:-1], b"\xff\xfe" + fields[-1]]), b"\0".join(fields), sign.join([b"a\0", *fields[1:]])),
        *(b"x" * (longest + 1), sign.join(fields) + b" " * (longest + 40), b"\xed\xa0\x80" + sign.join(fields)),
        *((b"\t" if comma else b",").join(fields), sign.join([b"\xc4\xe3\xba\xc3", *fields[1:]])),
    ]
    label, side = (0, 1) if first else (2, 0)
    if kind == "train":
        for value in (b"", b"2", b"yes", b"-1", b"nan", b"01", b"1e0", "\uff11".encode(), b"True", b"0 1"):
            broken.append(sign.join([*fields[:label], value, *fields[label + 1 :]]))
    if kind != "test":
        empty = side if kind == "train" else 0
        broken += [sign.join([*fields[:empty], value, *fields[empty + 1 :]]) for value in (b"", b"  ", b"\xe3\x80\x80")]
    return draw.choice(broken)
