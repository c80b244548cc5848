"""Tables of scores as people keep them: reads Markdown tables, and writes ones that read back to the same rows.

Markdown is parsed by markdown-it-py; ours is what the cells mean. GFM drops the cells of a row that has more than the
header, so those are looked for in the raw line.
"""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.token import Token
from tabulate import tabulate

from app.spreadsheets import harmless

_COLUMNS = {
    "name": {"experiment", "experiments", "实验", "name", "名称", "model", "模型", "run", "方案", "version", "版本"},
    "train": {"train", "train set", "train score", "training", "训练", "训练集"},
    "valid": {"valid", "valid set", "valid score", "validation", "val", "dev", "验证", "验证集", "线下", "线下分数"},
    "online": {"online", "online score", "线上", "线上分数", "lb", "leaderboard", "test", "test score", "提交"},
}
_EMPTY = {"", "-", "--", "—", "–", "n/a", "na", "none", "待定", "/"}
_NUMBER = re.compile(
    r"^(?P<about>[~≈约]?)\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?P<percent>\s*%)?\s*(?P<sure>\?+)?(?P<rest>.*)$",
    re.DOTALL,
)
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|&~:\"'$^=@/%])")


@dataclass(frozen=True)
class Cell:
    """A score cell. `text` is all of it, `number` the number as it was typed; value None: it holds no number."""

    text: str
    value: float | None
    number: str
    uncertain: bool
    remark: str


@dataclass(frozen=True)
class NoteRow:
    """A row of a score table, with the line it stands on and the cells of columns that are no scores."""

    line: int
    name: str
    train: Cell | None
    valid: Cell | None
    online: Cell | None
    extra: dict[str, str]


@dataclass
class TableReading:
    """All rows of all score tables of a text, and remarks on whatever a person should look at."""

    rows: list[NoteRow] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _RawRow:
    line: int
    cells: list[str]


def read_tables(text: str) -> TableReading:
    """Every score table of a Markdown text.

    A table belongs to us when its header names the experiment and a score, in Chinese or English, or when its header
    is empty or dashes and the table before it, of as many columns, was one of ours.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    reading, columns = TableReading(), None
    tables, strays = _tables(text)
    for header, body in tables:
        own = _columns(header.cells)
        if own is not None:
            columns = own
        elif columns is None or len(header.cells) != len(columns):
            last = body[-1].line if body else header.line + 1
            told = f"lines {header.line} to {last}: not a score table, left alone"
            reading.remarks.append(f"{told}: | {' | '.join(header.cells)} |")
            columns = None
            continue
        elif not _blank(header.cells):
            body = [header, *body]  # a table that goes on without a header: its first row is data
        _read_rows(body, columns, reading)
    reading.remarks += [f"line {line}: stands in no table, left alone: {row[:80]}" for line, row in strays]
    return reading


def _read_rows(body: list[_RawRow], columns: list[str], reading: TableReading) -> None:
    empty = []
    for row in body:
        if _blank(row.cells):
            empty.append(row.line)
        else:
            reading.rows.append(_row(row, columns, reading))
    if empty:
        reading.remarks.append(f"{len(empty)} empty rows passed over (line {', '.join(map(str, empty))})")


def _row(row: _RawRow, columns: list[str], reading: TableReading) -> NoteRow:
    names: dict[str, str] = {}
    extra: dict[str, str] = {}
    for index, text in enumerate(row.cells):
        column = columns[index] if index < len(columns) else f"column {index + 1}"
        if index >= len(columns) and text:
            reading.remarks.append(f"line {row.line}: more cells than the header has; {text!r} is kept in the note")
        if column in _COLUMNS and column not in names:
            names[column] = text
        elif text:
            extra[column if column not in extra else f"{column} {index + 1}"] = text
    name = names.get("name", "")
    if not name:
        name = f"(unnamed, line {row.line})"
        reading.remarks.append(f"line {row.line}: a row without a name is called {name!r}")
    cells = {split: _cell(names.get(split, ""), row.line, split, reading) for split in ("train", "valid", "online")}
    return NoteRow(row.line, name, cells["train"], cells["valid"], cells["online"], extra)


def _cell(text: str, line: int, split: str, reading: TableReading) -> Cell | None:
    if text.lower() in _EMPTY:
        return None
    cell = read_cell(text)
    if cell.value is None:
        reading.remarks.append(f"line {line}: {split} {text!r} holds no number; kept in the note")
    return cell


def read_cell(text: str) -> Cell:
    """`0.8?` `0.884897;提升0.00001` `0.88 (board A)` `0.8772=` `≈0.88` `87.7%`; full-width digits are digits.

    What stands behind the number is the remark; brackets, a semicolon or a comma that divide it are not part of it.
    """
    match = _NUMBER.match(unicodedata.normalize("NFKC", text).strip())
    if match is None:
        return Cell(text, None, "", False, "")
    value = float(match["number"])
    if match["percent"]:
        value /= 100
    rest = match["rest"].strip()
    if not math.isfinite(value) or (rest and ((rest[0].isalnum() and rest[0].isascii()) or rest[0] in "._")):
        return Cell(text, None, "", False, "")  # 0.8.1, 12abc, 1e999
    # the remark as it was typed: normalising is for the number alone
    typed = text.strip()[-len(rest) :] if rest and len(unicodedata.normalize("NFKC", text)) == len(text) else rest
    remark = typed
    if remark[:1] in {";", "；", ",", "，"}:
        remark = remark[1:].strip()
    elif remark[:1] in {"(", "（"} and remark[-1:] in {")", "）"}:
        remark = remark[1:-1].strip()
    number = match["number"] + (match["percent"] or "").strip()
    return Cell(text, value, number, bool(match["about"] or match["sure"]), remark)


def cell_text(value: float, number: str | None, uncertain: bool, remark: str) -> str:
    """The text of a score: as typed where there is such, with `?` when uncertain and the remark behind a semicolon."""
    remark = " ".join(remark.split())
    return (number or repr(value)) + ("?" if uncertain else "") + (f";{remark}" if remark else "")


def write_markdown(rows: Sequence[Sequence[str]], more: Sequence[str] = ()) -> str:
    """The table of (experiment, train, valid, online) texts, then columns titled `more`; reading it gives the same
    texts."""
    table = [("experiment", "train", "valid", "online", *more), *(tuple(map(_escape, row)) for row in rows)]
    widths = [max(_width(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [
        "| " + " | ".join(text + " " * (width - _width(text)) for text, width in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines) + "\n"


def write_latex(rows: Sequence[Sequence[str]], more: Sequence[str] = ()) -> str:
    """The same table for a paper: \\usepackage{booktabs}, and for Chinese names \\usepackage{ctex}."""
    header = ["experiment", "train", "valid", "online", *more]
    align = ["left", *["right"] * (len(header) - 1)]
    return tabulate(rows, header, tablefmt="latex_booktabs", disable_numparse=True, colalign=align) + "\n"


def write_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV with a BOM (Excel needs it to show Chinese). A text that a spreadsheet would run as a formula gets a `'`."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    for row in rows:
        writer.writerow([harmless(cell) for cell in row])
    return "\ufeff" + out.getvalue()


def _escape(text: str) -> str:
    """Every character that Markdown could take for its own gets a backslash, but not the dot of a number."""
    text = " ".join(text.split())
    if re.fullmatch(r"[0-9.;?]*", text):
        return text
    return _SPECIAL.sub(lambda match: match[1] if match[1] in ".:=/%-+" else "\\" + match[1], text)


def _width(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _blank(cells: list[str]) -> bool:
    return all(cell.strip(" -—–") == "" for cell in cells)


def _columns(cells: list[str]) -> list[str] | None:
    """What each column is (name, train, valid, online, or its own title); None when this is no score table."""
    found = []
    for cell in cells:
        title = " ".join(cell.lower().replace("_", " ").split())
        own = next((column for column, names in _COLUMNS.items() if title in names), None)
        found.append(own if own is not None and own not in found else cell)
    scores = {"train", "valid", "online"} & set(found)
    return found if "name" in found and scores else None


def _tables(text: str) -> tuple[list[tuple[_RawRow, list[_RawRow]]], list[tuple[int, str]]]:
    """(header, body) of every table, cells as plain text, surplus cells of a row included; and the lines of the text
    that look like rows and are of none: behind an indent, a broken header, in a block of code."""
    markdown = MarkdownIt("commonmark").enable("table")
    source = text.split("\n")
    tables: list[tuple[_RawRow, list[_RawRow]]] = []
    rows: list[_RawRow] = []
    line, cells = 0, list[str]()
    inside: set[int] = set()
    for token in markdown.parse(text):
        if token.type == "table_open":
            rows = []
            inside.update(range(*(token.map or (0, 0))))
        elif token.type == "tr_open":
            line, cells = (token.map or [0])[0], []
        elif token.type == "inline" and token.level >= 3 and rows is not None:
            cells.append(_plain(token))
        elif token.type == "tr_close":
            rows.append(_RawRow(line + 1, cells + _surplus(markdown, source[line], len(cells))))
        elif token.type == "table_close":
            tables.append((rows[0], rows[1:]))
    strays = [
        (number + 1, row.strip())
        for number, row in enumerate(source)
        if number not in inside and row.count("|") >= 2 - row.lstrip().startswith("|")
    ]
    return tables, strays


def _surplus(markdown: MarkdownIt, line: str, count: int) -> list[str]:
    """The cells that GFM drops: the line is read once more, under a header that is wide enough."""
    line = line.strip()
    width = line.removeprefix("|").removesuffix("|").count("|") + 1
    if width <= count:
        return []
    header = "|" + " x |" * width + "\n|" + " - |" * width + "\n"
    found = [_plain(token) for token in markdown.parse(header + line) if token.type == "inline"][width:]
    return found[count:] if any(found[count:]) else []


def _plain(token: Token) -> str:
    """The text of an inline token and its children: **0.88** is 0.88."""
    parts = []
    for child in token.children or []:
        if child.type in {"softbreak", "hardbreak"}:
            parts.append(" ")
        elif child.type == "image":
            parts.append(_plain(child))
        else:
            parts.append(child.content)
    return " ".join("".join(parts).split())
