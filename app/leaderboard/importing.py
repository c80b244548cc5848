"""Brings a hand-kept table onto the leaderboard: each row a finished, external experiment, nothing dropped silently."""

import difflib
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests import service as contests
from app.contests.models import Contest
from app.db import clock
from app.errors import NotFound, Refused
from app.experiments import service as experiments
from app.experiments.models import Score
from app.language import gettext as _
from app.leaderboard.exporting import Line, all_lines
from app.leaderboard.table_text import Cell, NoteRow, read_tables
from app.leaderboard.view import View
from ml.contract.scores import METRICS

_LONGEST_NAME = 200


@dataclass
class Imported:
    """What became of a table. `remarks` are for the person who brought it."""

    contest: str
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    remarks: list[str] = field(default_factory=list)


def import_table(session: Session, slug: str, text: str) -> Imported:
    """Import every row of every score table in `text`.

    A row is recognised by its name (the second of the same name by being the second). What is there stays: an empty
    cell of the file takes nothing away, a missing score is added, another online score is appended as a later one.
    """
    contest, made = _contest(session, slug)
    result = Imported(contest.slug, remarks=[f"made contest {slug!r}, ranked by roc_auc"] if made else [])
    reading = read_tables(text)
    result.remarks += reading.remarks
    standing: dict[str, list[Line]] = defaultdict(list)
    for line in sorted(all_lines(session, contest, View("id")), key=lambda line: line.row.id):
        standing[line.row.name].append(line)
    seen: Counter[str] = Counter()
    for row in reading.rows:
        name = _name(row, result)
        known = standing[name][seen[name]] if seen[name] < len(standing[name]) else None
        seen[name] += 1
        try:
            if known is None:
                _create(session, contest, row, name, result)
            else:
                _update(session, contest, row, known, result)
        except Refused as error:  # a note that is too long
            raise Refused(f"line {row.line}: {error.message}", error.fields) from error
    return result


def _contest(session: Session, slug: str) -> tuple[Contest, bool]:
    found = contest_queries.find_contest(session, slug)
    if found is not None:
        return found, False
    close = difflib.get_close_matches(slug, [item.slug for item in contest_queries.all_contests(session)], 1)
    if close:
        raise NotFound(_("there is no contest %(slug)s; did you mean %(near)s?", slug=repr(slug), near=repr(close[0])))
    return contests.create_contest(session, name=slug, metric="roc_auc", slug=slug), True


def _name(row: NoteRow, result: Imported) -> str:
    name = "".join(char if char.isprintable() else " " for char in row.name).strip()
    if not name:
        name = f"(unnamed, line {row.line})"
        result.remarks.append(
            f"line {row.line}: nothing of the name {row.name!r} can be printed: it is called {name!r}"
        )
    if len(name) > _LONGEST_NAME:
        result.remarks.append(
            f"line {row.line}: the name is cut to {_LONGEST_NAME} characters; the whole is in the note"
        )
    return name[:_LONGEST_NAME].strip()


def _create(session: Session, contest: Contest, row: NoteRow, name: str, result: Imported) -> None:
    notes = [f"{key}: {value}" if key else value for key, value in row.extra.items()]
    if len(row.name) > _LONGEST_NAME:
        notes.insert(0, row.name)
    scores = []
    for split, cell in _cells(row):
        value = _checked(contest, row, split, cell, result)
        if value is None:
            notes.append(f"{split}: {cell.text}")
        else:
            scores.append((split, cell, value))
    experiment = experiments.create_external(session, contest, name=name, note="\n".join(notes))
    for split, cell, value in scores:
        _add(session, contest, experiment.id, split, cell, value)
    result.created += 1


def _update(session: Session, contest: Contest, row: NoteRow, known: Line, result: Imported) -> None:
    changed = False
    for split, cell in _cells(row):
        shown = known.text(split)
        if cell.text == shown:
            continue
        value = _checked(contest, row, split, cell, result)
        if value is None:
            continue
        standing = getattr(known.row, split)
        if standing is not None and (standing.value, standing.uncertain, _plain(standing.note)) == (
            value,
            cell.uncertain,
            _plain(cell.remark),
        ):
            continue  # the same score, written otherwise
        if split != "online" and known.row.origin != "external":
            result.remarks.append(
                f"line {row.line}: {split} of {row.name!r} is {cell.text} in the file and {shown or 'empty'} here; "
                "pairboard computed its own, which stays"
            )
            continue
        if standing is not None:
            result.remarks.append(f"line {row.line}: {split} of {row.name!r} was {shown}, is now {cell.text}")
        _add(session, contest, known.row.id, split, cell, value)
        changed = True
    result.changed += changed
    result.unchanged += not changed


def _cells(row: NoteRow) -> list[tuple[str, Cell]]:
    cells = (("train", row.train), ("valid", row.valid), ("online", row.online))
    return [(split, cell) for split, cell in cells if cell is not None]


def _checked(contest: Contest, row: NoteRow, split: str, cell: Cell, result: Imported) -> float | None:
    """The cell's number if the contest's metric can be that; a remark otherwise."""
    if cell.value is None:
        return None  # the reader has remarked on it
    try:
        return METRICS[contest.metric].check(cell.value)
    except ValueError as error:
        result.remarks.append(f"line {row.line}: {split} of {row.name!r}: {error}; kept in its note")
        return None


def _add(session: Session, contest: Contest, experiment_id: int, split: str, cell: Cell, value: float) -> None:
    experiments.add_score(
        session,
        Score(
            experiment_id=experiment_id,
            split=split,
            metric=contest.metric,
            value=value,
            text=cell.number[:60],
            uncertain=cell.uncertain,
            note=cell.remark,
            source="import",
            created_at=clock(session),
        ),
    )
    session.flush()


def _plain(text: str) -> str:
    return " ".join(text.split())
