"""What to send to the contest today: rows with predictions that were not sent, by what is to be expected of each.

Called by the valid-to-online page and REST. How many may be sent today is not its matter.
"""

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.significance import novelty, online_queries
from app.significance.gain import chance, expected_gain
from app.significance.novelty import Twin
from app.significance.robust_line import LEAST
from app.significance.valid_online import Placed, Regime, Scored, Study
from app.storage import Storage

SHOWN = 10
#: files of sent rows that a candidate's is held beside, the newest
BESIDE = 50


@dataclass(frozen=True)
class Candidate:
    """A row to send. `gain`: expected rise of the best online score, `chance`: that it comes first; both None while
    nothing can be expected. `sent_of_split`: rows of its regime with both scores; `twin`: the sent row whose
    predictions are nearest, `of`: that row; `lacking`: it was trained elsewhere, and its file is not here."""

    row: Scored
    placed: Placed
    regime: Regime
    gain: float | None
    chance: float | None
    twin: Twin | None = None
    of: Scored | None = None
    lacking: bool = False

    @property
    def sent_of_split(self) -> int:
        """Rows of its regime that have both scores."""
        return len(self.regime.sent)

    @property
    def teaches(self) -> bool:
        """Whether its score brings its split nearer to a line of its own."""
        return self.sent_of_split < LEAST


@dataclass(frozen=True)
class Sending:
    """`candidates`: the first of `total`, by expected gain. `without_file`: rows with a valid score that can't be sent:
    unfinished, or no test predictions. `files`: of sent rows; the newest BESIDE of them are held beside candidates."""

    candidates: list[Candidate]
    total: int
    without_file: int
    files: int


def sending(session: Session, storage: Storage, contest: Contest, found: Study, limit: int = SHOWN) -> Sending:
    """Of a study; rows trained elsewhere count as if their predictions were at hand."""
    files = online_queries.test_predictions(session, contest.id)
    rows = {item.row.id: item.row for regime in found.regimes for item in regime.sent}
    rows |= {row.id: row for row in found.without_valid}
    sent = {number: files[number] for number in sorted(rows, reverse=True) if number in files}
    same = {sha256: number for number, sha256 in reversed(sent.items())}
    every = []
    for regime in found.regimes:
        for item in regime.unsent:
            file = files.get(item.row.id)
            if file is not None or item.row.external:
                twin = Twin(same[file], True, 1.0) if file in same else None
                every.append(replace(_candidate(item, regime, found, twin, rows), lacking=file is None))
    every.sort(key=lambda item: _order(item, found))
    newest = dict(list(sent.items())[:BESIDE])
    near = [_beside(item, files, newest, rows, storage) for item in every[:limit]]
    return Sending(near, len(every), len(found.unsent) - len(every), len(sent))


def _candidate(item: Placed, regime: Regime, found: Study, twin: Twin | None, rows: dict[int, Scored]) -> Candidate:
    """`twin`: a sent row with the same file, to the byte, which gets the same score again: it gains nothing."""
    if twin is not None:
        return Candidate(item.row, item, regime, 0.0, 0.0, twin, rows[twin.id])
    if item.expected is None or found.best is None or found.best.online is None:
        return Candidate(item.row, item, regime, None, None)
    mean, best = found.better * item.expected.value, found.better * found.best.online
    deviation = item.expected.deviation
    gain = expected_gain(mean, deviation, best)
    return Candidate(item.row, item, regime, gain, chance(mean, deviation, best))


def _order(item: Candidate, found: Study) -> tuple[bool, float, bool, float, int]:
    """By gain; while none is known, rows whose valid does not flatter before those that leak, then by valid."""
    valid = -found.better * (item.row.valid or 0.0)
    return item.twin is not None, -(item.gain or 0.0), bool(item.row.leaking), valid, -item.row.id


def _beside(
    item: Candidate, files: dict[int, str], sent: dict[int, str], rows: dict[int, Scored], storage: Storage
) -> Candidate:
    """With the sent row whose predictions are nearest."""
    file = files.get(item.row.id)
    twin = novelty.nearest(storage, file, sent) if file is not None and item.twin is None else None
    return item if twin is None else replace(item, twin=twin, of=rows[twin.id])
