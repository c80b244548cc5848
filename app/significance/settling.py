"""How many more online scores would settle the order of the top rows. Called by the valid-to-online page and REST."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.significance.gain import auc_error, scores_needed
from app.significance.valid_online import Placed, Regime, Scored, Study

TOP = 5


@dataclass(frozen=True)
class Neighbours:
    """Two rows that follow each other at the top. `ahead`: by how much the first is better; `deviation`: of one score
    of a recipe about its line (None: too few rows to know); `needed`: scores of each that tell the recipes apart (None:
    they scored the same, or the deviation isn't known); `on_board`: standard error of the difference on another board
    of as many rows, at most (None: not an AUC, or no test file)."""

    first: Scored
    second: Scored
    ahead: float
    deviation: float | None
    needed: int | None
    on_board: float | None


@dataclass(frozen=True)
class Settling:
    """`contenders`: rows not sent whose interval reaches the best online score, the most promising first; each takes a
    score of its own. `others`: rows not sent that don't reach it. `unknown`: of which nothing can be expected yet.
    `board_rows`: of the test file."""

    contenders: list[Placed]
    others: int
    unknown: int
    neighbours: list[Neighbours]
    board_rows: int | None
    positive_share: float | None


def settling(session: Session, found: Study) -> Settling:
    """Of a study: who may still come first, and how far apart the first rows are."""
    known = [item for item in found.unsent if item.expected is not None]
    reach = [item for item in known if _reaches(item, found)]
    reach.sort(key=lambda item: -found.better * (item.expected.value if item.expected else 0.0))
    rows, share = _board(session, found)
    neighbours = list(_neighbours(found, rows, share))
    return Settling(reach, len(known) - len(reach), len(found.unsent) - len(known), neighbours, rows, share)


def _reaches(item: Placed, found: Study) -> bool:
    if item.expected is None or found.best is None or found.best.online is None:
        return False
    end = item.expected.high if found.better > 0 else item.expected.low
    return found.better * (end - found.best.online) >= 0


def _board(session: Session, found: Study) -> tuple[int | None, float | None]:
    """Rows of the newest test file that a sent row predicted (or else of the contest), and the share of positives in
    the train file, for want of the test's."""
    if found.best is None:
        return None, None
    contest_id = found.contest_id
    tests, trains = (contest_queries.files(session, contest_id, kind) for kind in ("test", "train"))
    named = {item.row.test_file_id for regime in found.regimes for item in regime.sent}
    used = [file for file in tests if file.id in named] or tests
    positives = trains[0].report["positives"] / trains[0].rows if trains and trains[0].rows else None
    return (used[0].rows if used else None), positives


def _neighbours(found: Study, rows: int | None, share: float | None) -> Iterator[Neighbours]:
    sent: list[tuple[Scored, Regime | None]] = [(row, None) for row in found.without_valid]
    sent += [(item.row, regime) for regime in found.regimes for item in regime.sent]
    sent.sort(key=lambda pair: (-found.better * (pair[0].online or 0.0), pair[0].id))
    for (first, one), (second, two) in pairwise(sent[:TOP]):
        ahead = found.better * ((first.online or 0.0) - (second.online or 0.0))
        deviation = _deviation(one, two)
        needed = scores_needed(ahead, deviation) if deviation is not None else None
        yield Neighbours(first, second, ahead, deviation, needed, _on_board(found, first, rows, share))


def _deviation(one: Regime | None, two: Regime | None) -> float | None:
    """Of one score about its line; of a row without line that of the other, for want of its own."""
    known = [regime.line.deviation for regime in (one, two) if regime is not None and regime.line is not None]
    return (sum(value**2 for value in known) / len(known)) ** 0.5 if known else None


def _on_board(found: Study, row: Scored, rows: int | None, share: float | None) -> float | None:
    """As if the two erred independently; they share the test's pairs, so it is less."""
    if found.metric != "roc_auc" or rows is None or share is None or row.online is None:
        return None
    return float(2**0.5 * auc_error(row.online, share * rows, (1 - share) * rows)) or None
