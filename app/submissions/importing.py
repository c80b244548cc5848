"""Online scores from a CSV: all rows or none, each bad one named with its line and value, and once however often the
file is brought.

Columns: experiment (name or number) or sha256 of the file, value, and if wanted board, time and note.
"""

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from app.contests import calendar
from app.contests.models import Contest
from app.errors import AppError, FieldError, Refused
from app.experiments.models import Experiment, Score
from app.language import gettext as _
from app.language import ngettext
from app.submissions import naming, sending, service
from app.submissions.service import OnlineScore

COLUMNS = {
    "experiment": "experiment",
    "sha256": "sha256",
    "file_sha256": "sha256",
    "value": "value",
    "score": "value",
    "online": "value",
    "board": "board",
    "time": "time",
    "note": "note",
    "remark": "note",
}
#: bad rows that are named one by one; how many there are is told in any case
NAMED = 100
MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Line:
    """A row that can be posted."""

    line: int
    experiment: Experiment
    score: OnlineScore
    key: str


@dataclass
class Imported:
    """What became of a file: by line the score of each row; `known` are lines that were brought before."""

    scores: dict[int, Score] = field(default_factory=dict)
    known: list[int] = field(default_factory=list)

    @property
    def new(self) -> int:
        """How many scores were added."""
        return len(self.scores) - len(self.known)


def import_scores(session: Session, contest: Contest, content: bytes, who: str, source: str = "csv") -> Imported:
    """Post every row, oldest time first. Raises Refused, and nothing is kept, when one is bad."""
    rows, problems = _rows(content)
    lines: list[Line] = []
    seen: Counter[str] = Counter()
    for number, cells in rows:
        try:
            lines.append(_line(session, contest, number, cells, seen, who, source))
        except AppError as error:
            problems.append(FieldError(f"line {number}", error.message, _shown(cells, error)))
    found = Imported()
    for line in sorted(lines, key=lambda item: (item.score.told_at is not None, item.score.told_at or 0, item.line)):
        if problems:
            break
        try:
            row, new = service.post_online_score(session, line.experiment, line.score, key=line.key)
        except AppError as error:
            problems.append(FieldError(f"line {line.line}", error.message, repr(line.score.value)))
            continue
        found.scores[line.line] = row
        if not new:
            found.known.append(line.line)
    if problems:
        raise _refused(sorted(problems, key=lambda item: int(item.field.split()[1])), len(rows))
    return found


def _refused(problems: list[FieldError], rows: int) -> Refused:
    first = problems[0]
    message = ngettext(
        "%(num)d of the file's lines is bad, and nothing was imported; the first is %(field)s: %(message)s",
        "%(num)d of the file's lines are bad, and nothing was imported; the first is %(field)s: %(message)s",
        len(problems),
        field=first.field,
        message=first.message,
    )
    if len(problems) > NAMED:
        message += " " + _("The first %(named)s are named.", named=NAMED)
    return Refused(message, problems[:NAMED], {"rows": rows, "bad": len(problems)})


def _rows(content: bytes) -> tuple[list[tuple[int, dict[str, str]]], list[FieldError]]:
    """By line the cells of each row, by column; and rows that are none. Raises Refused for a file without the columns,
    or that is no text."""
    text = _text(content)
    first = text.split("\n", 1)[0]
    delimiter = max(",\t;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows, problems, names, before = list[tuple[int, dict[str, str]]](), list[FieldError](), list[str](), 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            if not names:
                names = _columns(cells)
            elif line != reader.line_num:
                message = _("a quoted text goes on to line %(end)s: a quote is not closed", end=reader.line_num)
                problems.append(FieldError(f"line {line}", message, repr(cells)[:100]))
            elif not any(cell.strip() for cell in cells):
                continue
            elif len(cells) != len(names):
                message = _("%(count)s cells where the header has %(columns)s", count=len(cells), columns=len(names))
                problems.append(FieldError(f"line {line}", message, delimiter.join(cells)[:100]))
            else:
                rows.append((line, {name: cell.strip() for name, cell in zip(names, cells, strict=True) if name}))
    except csv.Error as error:
        message = _("the quotes are broken: %(error)s", error=error)
        problems.append(FieldError(f"line {before + 1}", message))
    if not rows and not problems:
        raise Refused(_("the file has no row"))
    return rows, problems


def _text(content: bytes) -> str:
    if len(content) > MOST_BYTES:
        raise Refused(_("the file is larger than %(most)s MB", most=MOST_BYTES >> 20))
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Refused(_("line %(line)s is not UTF-8: save the file as UTF-8", line=line)) from error


def _columns(cells: list[str]) -> list[str]:
    """What each column is. Raises Refused for a header without the needed ones, or with one twice or unknown."""
    names = [COLUMNS.get(cell.strip().lower(), "") for cell in cells]
    unknown = [cell.strip() for cell, name in zip(cells, names, strict=True) if not name]
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if unknown or twice or "value" not in names or not {"experiment", "sha256"} & set(names):
        told = {"header": repr(",".join(cells)[:100]), "columns": "experiment, sha256, value, board, time, note"}
        message = _(
            "the first line %(header)s has to name the columns, each once: value, experiment or sha256, and if wanted "
            "more of %(columns)s",
            **told,
        )
        raise Refused(message, [FieldError("line 1", message, ",".join(cells)[:100])])
    return names


def _line(
    session: Session,
    contest: Contest,
    number: int,
    cells: dict[str, str],
    seen: Counter[str],
    who: str,
    source: str,
) -> Line:
    """Everything that can be wrong with a row is found here, before any is posted."""
    experiment, sha256 = naming.resolve(
        session, contest, sha256=cells.get("sha256", ""), experiment=cells.get("experiment", "")
    )
    value = service.checked(contest.metric, service.number(cells["value"]))
    time = cells.get("time", "")
    told_at = sending.checked_past(session, calendar.moment(contest, time)) if time else None
    score = OnlineScore(
        value=value,
        note=cells.get("note", ""),
        text=cells["value"][:60],
        source=source,
        made_by=who,
        board=sending.checked_board(cells.get("board", "")),
        told_at=told_at,
        sha256=sha256,
    )
    # the same row of the same file, and not a second score that happens to be equal
    said: list[Any] = [experiment.id, sha256, value, score.board, told_at, score.note]
    digest = hashlib.sha256(repr(said).encode()).hexdigest()
    seen[digest] += 1
    return Line(number, experiment, score, f"csv-{digest}-{seen[digest]}")


def _shown(cells: dict[str, str], error: AppError) -> str:
    """The value that is wrong, else the row."""
    told = next((item.value for item in error.fields if item.value), "")
    return told or ", ".join(cells.values())[:100]
