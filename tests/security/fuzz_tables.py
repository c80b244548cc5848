"""Hand-kept Markdown tables: the reader, good rows among whatever else stands in a note, and the import."""

import math
import re
from dataclasses import dataclass
from functools import cache
from random import Random

from app.errors import AppError
from app.leaderboard.importing import import_table
from app.leaderboard.table_text import NoteRow, cell_text, read_tables, write_markdown
from tests.security.fuzz_mutation import mutated
from tests.security.fuzz_workshop import Workshop

_HEADERS = (
    "| experiment | train | valid | online |",
    "实验 | 训练集 | 验证集 | 线上",
    "| 模型 | dev | lb |",
    "|name|test|",
)
_RULES = {4: ("| - | - | - | - |", "|:--|--:|:-:|---|"), 3: ("|-|-|-|", "-|-|-"), 2: ("|-|-|", "| :-- | --: |")}
_NAMES = (
    "使用n-gram mask",
    "a+b",
    "x*y",
    "[CLS] head",
    "a_b_c",
    "`code`",
    "1e-5",
    "#7",
    "<b>",
    "&amp;",
    "a\u2028b",
    "e\u0301",
)
_CELLS = ("0.8?", "0.884897;提升0.00001", "0.88 (A)", "87.7%", "≈0.88", "０．８８", ".5", "**0.9**", "0.8772=", "1e-3")
_OTHER = (
    *("| | | | |", "| - | - | - | - |", "|", "| soon | later | - | ? |", "| x | 0.8.1 | v7 | 1e999 |", "| a | b"),
    *("| a | 0.1 | 0.2 | 0.3 | 0.4 | five |", "|" * 50, "| &#0; | \\| | `|` | ![i](x) |", "| <img src=x> | \0 |"),
)
#: these end a table
_BREAKS = (
    *("\nprose\n", "\n| card | minutes |\n|-|-|\n| P100 | 55 |\n\n", "\n```\n| a | 0.5 |\n```\n", "> quote", "# head"),
    *(
        "    | indented | 0.5 | 0.5 | 0.5 |",
        "- item",
        "\n",
        "***",
        "<div>\n| in html | 0.5 |\n</div>\n",
        "1. one",
        "\t| t |",
    ),
)
_LONG = ("x" * 300, "中" * 250, "note " * 11_000)


@dataclass(frozen=True)
class Note:
    """A text. `good`: (line, name, online) of the rows that have to come out, or be named."""

    text: str
    good: tuple[tuple[int, str, float], ...]


def draw_text(draw: Random) -> str:
    """Any text."""
    seeds = [_note(draw).text.encode() for _ in range(2)]
    return mutated(draw, seeds[0], seeds).decode("utf-8", "replace")


def check_text(text: str, _workshop: Workshop) -> bool:
    """Rows with finite scores, on lines that there are; what is written of them reads back."""
    reading = read_tables(text)
    lines = text.count("\n") + text.count("\r") + 1
    for row in reading.rows:
        assert 1 <= row.line <= lines
        assert row.name
        for cell in (row.train, row.valid, row.online):
            assert cell is None or cell.value is None or math.isfinite(cell.value)
    if len(text) % 4:  # which takes as long again
        return bool(reading.rows)
    rows = [row for row in reading.rows if any(char.isalnum() for char in row.name) and row.name.isprintable()]
    again = read_tables(write_markdown([(row.name, *_texts(row)) for row in rows])).rows
    assert [row.name for row in again] == [row.name for row in rows]
    assert [_values(row) for row in again] == [_values(row) for row in rows]
    return bool(reading.rows)


def _texts(row: NoteRow) -> tuple[str, ...]:
    cells = (row.train, row.valid, row.online)
    return tuple(
        "" if cell is None or cell.value is None else cell_text(cell.value, cell.number, cell.uncertain, "")
        for cell in cells
    )


def _values(row: NoteRow) -> list[tuple[float, bool] | None]:
    cells = (row.train, row.valid, row.online)
    return [None if cell is None or cell.value is None else (cell.value, cell.uncertain) for cell in cells]


def draw_note(draw: Random) -> Note:
    """Good rows among other things."""
    return _note(draw)


def check_note(note: Note, _workshop: Workshop) -> bool:
    """Each good row comes out, in order, or its line is named."""
    reading = read_tables(note.text)
    named = {line for remark in reading.remarks for line in _named(remark)}
    found = {row.line: (row.name, row.online.value if row.online else None) for row in reading.rows}
    for line, name, online in note.good:
        assert line in found or line in named, f"line {line} is lost"
        assert found.get(line, (name, online)) == (name, online)
    assert list(found) == sorted(found)
    return any(line in found for line, _, _ in note.good)


def _named(remark: str) -> range:
    """The lines that a remark is about."""
    found = re.match(r"lines? (\d+)(?: to (\d+))?:", remark)
    return range(int(found[1]), int(found[2] or found[1]) + 1) if found else range(0)


def check_import(note: Note, workshop: Workshop) -> bool:
    """The same on the leaderboard; a second import changes nothing, and a refusal names the line."""
    with workshop.session() as session:
        try:
            result = import_table(session, "fuzz", note.text)
        except AppError as error:
            assert re.search(r"line \d+", error.message), error.message
            return False
        again = import_table(session, "fuzz", note.text)
        assert (again.created, again.changed) == (0, 0), again.remarks
        assert again.unchanged == result.created + result.changed + result.unchanged
        assert result.created == len(read_tables(note.text).rows)
    return result.created > 0


def draw_import(draw: Random) -> Note:
    """A note, at times changed or with more than a row can hold."""
    note = _note(draw)
    text = note.text
    if draw.random() < 0.5:
        text = mutated(draw, text.encode(), [text.encode()]).decode("utf-8", "replace")
    if draw.random() < 0.1:
        text += f"| {draw.choice(_LONG)} | 0.1 | 0.1 | 0.1 | {draw.choice(_LONG)} |\n"
    if draw.random() < 0.1:
        text += "\n| experiment | online |\n|-|-|\n| " + draw.choice(("\u200b", "\x07", "\u202e")) + " | 0.5 |\n"
    return Note(text, ())


def _note(draw: Random) -> Note:
    lines: list[str] = []
    good: list[tuple[int, str, float]] = []
    for _ in range(draw.choice((1, 1, 2))):
        header = draw.choice(_HEADERS)
        width = len(header.strip("|").split("|"))
        lines += [*([""] if lines else []), header, draw.choice(_RULES[width])]
        for _ in range(draw.randint(1, 5)):
            if draw.random() < 0.25:
                lines += draw.choice(_OTHER).split("\n")
            elif draw.random() < 0.08:
                lines += draw.choice(_BREAKS).split("\n")
            lines.append(_row(draw, width, len(lines) + 1, good))
    end = draw.choice(("\n", "\n", "\r\n"))
    text = end.join(lines) + (end if draw.random() < 0.8 else "")
    return Note(("\ufeff" if draw.random() < 0.1 else "") + text, tuple(good))


@cache
def _escaped(name: str) -> str:
    """As a written table has it."""
    return write_markdown([(name, "", "", "")]).split("\n")[2].split(" | ")[0].removeprefix("| ").strip()


def _row(draw: Random, width: int, line: int, good: list[tuple[int, str, float]]) -> str:
    stem, value = draw.choice(_NAMES), round(draw.random(), 5)
    name = f"{stem} {line}"
    escaped = f"{_escaped(stem)} {line}"
    middle = [draw.choice((*_CELLS, "", "")) for _ in range(width - 2)]
    good.append((line, " ".join(name.split()), value))
    cells = [escaped, *middle, f"{value}"]
    return draw.choice(("| {} |", "|{}|", "| {}")).format(draw.choice((" | ", "|", "  |  ")).join(cells))
