"""The table as text: what one line shows, and the whole as Markdown or CSV. Page and files show the same cells."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.leaderboard.queries import Row, ShownScore, ranked
from app.leaderboard.table_text import cell_text, write_csv, write_markdown
from ml.contract.scores import METRICS

#: an export holds every row; read in pages so that no answer of the database is unbounded
_PAGE = 1000


@dataclass(frozen=True)
class Cell:
    """A score as people read it. `text` is the whole cell, remark included, as an export has it.

    `interval`: "0.6721 to 0.7293"; `parts`: what stands behind it, "5: 0.7012 ± 0.0081". Empty where there is none.
    """

    shown: str
    remark: str
    title: str
    count: int
    text: str
    interval: str = ""
    parts: str = ""


@dataclass(frozen=True)
class Line:
    """A row with its cells, and which of them are the best of their column among the rows shown."""

    row: Row
    train: Cell | None
    valid: Cell | None
    online: Cell | None
    best_train: bool = False
    best_valid: bool = False
    best_online: bool = False

    def text(self, split: str) -> str:
        """The cell's text; empty without a score."""
        cell: Cell | None = getattr(self, split)
        return cell.text if cell else ""


def lines(contest: Contest, rows: list[Row]) -> list[Line]:
    """The rows with their cells, the best of each column marked; what a leak flatters is never the best."""
    best = {}
    honest = [row for row in rows if "leaking" not in row.marks]
    for split in ("train", "valid", "online"):
        values = [score.value for row in (rows if split == "online" else honest) if (score := getattr(row, split))]
        best[split] = (max if METRICS[contest.metric].higher_is_better else min)(values) if len(values) > 1 else None
    return [
        Line(
            row,
            _cell(row.train),
            _cell(row.valid),
            _cell(row.online),
            best_train=row in honest and row.train is not None and row.train.value == best["train"],
            best_valid=row in honest and row.valid is not None and row.valid.value == best["valid"],
            best_online=row.online is not None and row.online.value == best["online"],
        )
        for row in rows
    ]


def _cell(score: ShownScore | None) -> Cell | None:
    """A number as it was typed, or five decimals of a computed one; the exact value is a hover away."""
    if score is None:
        return None
    number = score.text or f"{score.value:.5f}"
    remark = " ".join(score.note.split())
    shown = cell_text(score.value, number, score.uncertain, "")
    interval = "" if score.low is None else f"{score.low:.4f} to {score.high:.4f}"
    parts = "" if score.mean is None else f"{score.members}: {score.mean:.4f}"
    parts += "" if score.deviation is None else f" ± {score.deviation:.4f}"
    text = cell_text(score.value, number, score.uncertain, remark)
    return Cell(shown, remark, repr(score.value), score.count, text, interval, parts)


def all_lines(session: Session, contest: Contest, sort: str) -> list[Line]:
    """Every row of the contest."""
    rows: list[Row] = []
    while True:
        ranking = ranked(session, contest, sort=sort, limit=_PAGE, offset=len(rows))
        rows += ranking.rows
        if not ranking.rows or len(rows) >= ranking.total:
            return lines(contest, rows)


def markdown(session: Session, contest: Contest, sort: str) -> str:
    """The table as Markdown; `pairboard import-table` reads it back to the same rows.

    Columns for the interval of valid, the folds behind it and the marks stand there when a row has any.
    """
    shown = all_lines(session, contest, sort)
    more = {
        "valid 95%": [line.valid.interval if line.valid else "" for line in shown],
        "folds": [line.valid.parts if line.valid else "" for line in shown],
        "marks": [", ".join(line.row.marks) for line in shown],
    }
    extra = {title: cells for title, cells in more.items() if any(cells)}
    body = [
        (
            line.row.name,
            line.text("train"),
            line.text("valid"),
            line.text("online"),
            *(extra[title][n] for title in extra),
        )
        for n, line in enumerate(shown)
    ]
    return write_markdown(body, tuple(extra))


def csv(session: Session, contest: Contest, sort: str) -> str:
    """The table for a spreadsheet: plain numbers, remarks and status in columns of their own."""
    header = [
        "id",
        "experiment",
        "status",
        "train",
        "valid",
        "valid low",
        "valid high",
        "folds mean",
        "folds deviation",
    ]
    header += ["online", "online remark", "marks", "note", "made"]
    body = []
    for line in all_lines(session, contest, sort):
        row = line.row
        train, valid, online = (score.value if score else None for score in (row.train, row.valid, row.online))
        around = [getattr(row.valid, name, None) for name in ("low", "high", "mean", "deviation")]
        remark = row.online.note if row.online else ""
        made = row.created_at.isoformat()
        marks = " ".join(row.marks)
        body.append([row.id, row.name, row.status, train, valid, *around, online, remark, marks, row.note, made])
    return write_csv(header, body)
