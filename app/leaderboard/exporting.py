"""The table as text: what one line shows, and the whole as Markdown, LaTeX or CSV. Page and files show the same
cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.errors import NotFound
from app.language import gettext as _
from app.leaderboard.checks import Check, checks
from app.leaderboard.queries import Ranking, ranked
from app.leaderboard.row_queries import Row, ShownScore, rows_of
from app.leaderboard.table_text import cell_text, write_csv, write_latex, write_markdown
from app.leaderboard.view import View
from ml.contract.scores import METRICS

#: an export holds every row; read in pages so that no answer of the database is unbounded
_PAGE = 1000


@dataclass(frozen=True)
class Cell:
    """A score as people read it. `text` is the whole cell, remark included, as an export has it.

    `interval`: "0.6721 to 0.7293"; `parts`: what stands behind it, "5: 0.7012 ± 0.0081"; `change`: from the baseline's,
    "+0.0042"; `best`: of all behind it, if it is another. Empty where there is none.
    """

    shown: str
    remark: str
    title: str
    count: int
    text: str
    interval: str = ""
    parts: str = ""
    change: str = ""
    board: str = ""
    best: str = ""


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
    checks: Sequence[Check] = ()

    def text(self, split: str) -> str:
        """The cell's text; empty without a score."""
        cell: Cell | None = getattr(self, split)
        return cell.text if cell else ""

    def more(self, key: str) -> str:
        """The text of a column of view.MORE."""
        if key == "deviation":
            valid = self.row.valid
            return "" if valid is None or valid.deviation is None else f"{valid.mean:.5f} ± {valid.deviation:.5f}"
        if key == "gap":
            return "" if self.row.gap is None else f"{self.row.gap:+.5f}"
        if key == "by":
            return self.row.made_by
        if key == "checks":
            return ", ".join(check.text for check in self.checks)
        return f"{self.row.hours:.2f}" if key == "hours" else f"{self.row.created_at:%Y-%m-%d}"


def baseline(session: Session, contest: Contest, view: View) -> Row | None:
    """The row that others are compared with. Raises NotFound when the contest has no such row."""
    if view.against is None:
        return None
    found = rows_of(session, contest, [view.against])
    if not found:
        raise NotFound(
            _(
                "against=%(against)s: contest %(contest)s has no experiment of this number",
                against=view.against,
                contest=contest.slug,
            )
        )
    return found[0]


def checks_of(session: Session, contest: Contest, view: View, rows: list[Row]) -> dict[int, list[Check]]:
    """What is known of the rows, if the view shows it."""
    if "checks" not in view.show:
        return {}
    return checks(session, contest, [row.id for row in rows], view.against)


def lines(
    contest: Contest, rows: list[Row], against: Row | None = None, checked: Mapping[int, Sequence[Check]] | None = None
) -> list[Line]:
    """The rows with their cells, the best of each column marked; what a leak flatters is never the best."""
    best, flattered = {}, {row.id for row in rows if "leaking" in row.marks}
    honest = [row for row in rows if row.id not in flattered]
    for split in ("train", "valid", "online"):
        values = [score.value for row in (rows if split == "online" else honest) if (score := getattr(row, split))]
        best[split] = (max if METRICS[contest.metric].higher_is_better else min)(values) if len(values) > 1 else None
    return [
        Line(
            row,
            _cell(row.train, _other(against, row, "train")),
            _cell(row.valid, _other(against, row, "valid")),
            _cell(row.online, _other(against, row, "online")),
            best_train=row.id not in flattered and row.train is not None and row.train.value == best["train"],
            best_valid=row.id not in flattered and row.valid is not None and row.valid.value == best["valid"],
            best_online=row.online is not None and row.online.value == best["online"],
            checks=(checked or {}).get(row.id, ()),
        )
        for row in rows
    ]


def _other(against: Row | None, row: Row, split: str) -> ShownScore | None:
    """The baseline's score, unless the row is the baseline itself."""
    return None if against is None or against.id == row.id else getattr(against, split)


def _cell(score: ShownScore | None, base: ShownScore | None) -> Cell | None:
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
    change = "" if base is None else f"{score.value - base.value:+.5f}"
    best = "" if score.best is None else f"{score.best:.5f}"
    return Cell(shown, remark, repr(score.value), score.count, text, interval, parts, change, score.board, best)


def page_of(
    session: Session, contest: Contest, view: View, *, limit: int, offset: int, total: int | None = None
) -> Ranking:
    """Some rows of what the view shows. `total`: how many these are in all, where it is known."""
    asked: dict[str, Any] = {"sort": view.sort, "search": view.search, "archived": view.archived, "total": total}
    return ranked(session, contest, **asked, limit=limit, offset=offset, against=view.against)


def all_lines(session: Session, contest: Contest, view: View) -> list[Line]:
    """Every row that the view's search finds, in its order, whatever page it is on."""
    rows: list[Row] = []
    while True:
        ranking = page_of(session, contest, view, limit=_PAGE, offset=len(rows))
        rows += ranking.rows
        if not ranking.rows or len(rows) >= ranking.total:
            return lines(contest, rows, baseline(session, contest, view), checks_of(session, contest, view, rows))


def markdown(session: Session, contest: Contest, view: View) -> str:
    """The table as Markdown; `pairboard import-table` reads it back to the same rows."""
    titles, body = _texts(all_lines(session, contest, view), view)
    return write_markdown(body, titles)


def latex(session: Session, contest: Contest, view: View) -> str:
    """The table as LaTeX, with the rules of the package booktabs."""
    titles, body = _texts(all_lines(session, contest, view), view)
    return write_latex(body, titles)


def _texts(shown: list[Line], view: View) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Titles of the columns after experiment, train, valid and online, and the cells of all.

    Columns for the interval of valid, the folds behind it, the leak audit and the marks stand there when a row has any.
    """
    more = {
        "valid 95%": [line.valid.interval if line.valid else "" for line in shown],
        "folds": [line.valid.parts if line.valid else "" for line in shown],
        "audit": [line.row.audit for line in shown],
        "marks": [", ".join(line.row.marks) for line in shown],
        "tags": [", ".join(line.row.tags) for line in shown],
        "online best": [line.online.best if line.online else "" for line in shown],
        "valid change": [line.valid.change if line.valid else "" for line in shown],
        "online change": [line.online.change if line.online else "" for line in shown],
    }
    extra = {title: cells for title, cells in more.items() if any(cells)}
    extra |= {key: [line.more(key) for line in shown] for key in view.show}
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
    return tuple(extra), body


def csv(session: Session, contest: Contest, view: View) -> str:
    """The table for a spreadsheet: plain numbers, remarks and status in columns of their own."""
    header = ["id", "experiment", "status", "train", "valid", "valid low", "valid high", "folds mean"]
    header += ["folds deviation", "online", "online remark", "gap", "hours", "marks", "tags", "verdict", "note", "by"]
    header += ["made", "online board", "online best", "audit", *(["checks"] if "checks" in view.show else [])]
    against = baseline(session, contest, view)
    changes = ("valid", "online") if against else ()
    body = []
    for line in all_lines(session, contest, view):
        row = line.row
        train, valid, online = (score.value if score else None for score in (row.train, row.valid, row.online))
        around = [getattr(row.valid, name, None) for name in ("low", "high", "mean", "deviation")]
        remark = row.online.note if row.online else ""
        cells: list[object] = [row.id, row.name, row.status, train, valid, *around, online, remark, row.gap]
        cells += [round(row.hours, 4), " ".join(row.marks), " ".join(row.tags), row.verdict, row.note, row.made_by]
        cells.append(row.created_at.isoformat())
        board = (row.online.board, online if row.online.best is None else row.online.best) if row.online else ("", None)
        cells += [*board, row.audit, *([line.more("checks")] if "checks" in view.show else [])]
        body.append([*cells, *(_change(row, against, split) for split in changes)])
    return write_csv([*header, *(f"{split} change" for split in changes)], body)


def _change(row: Row, against: Row | None, split: str) -> float | None:
    own, base = (getattr(item, split, None) for item in (row, against))
    return own.value - base.value if own and base else None
