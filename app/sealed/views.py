"""What pages and REST say of a sealed contest. Rows are never handed to them: they hold what is not out yet."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.sealed import queries, receiving
from app.sealed.models import SealedAnswers, SealedUpload
from app.sealed.terms import Terms, day_of

#: rows of one part below this are few: each of its rows weighs in a score
FEW_ROWS = 200


@dataclass(frozen=True)
class State:
    """The rules and how things stand for one member. `waiting_runs`: finished experiments that the day's limit, or
    the opening, still keeps; `few`: a part is so small that scores say much about single rows."""

    contest: str
    metric: str
    test_file_id: int
    test_file: str
    rows: int
    public_rows: int
    private_rows: int
    few: bool
    terms: Terms
    owner: str
    sealed_at: datetime
    is_open: bool
    is_closed: bool
    revealed_at: datetime | None
    left_today: int
    next_day_at: datetime
    waiting_runs: int


@dataclass(frozen=True)
class Line:
    """One file of the history. `private_score` is None until the reveal."""

    id: int
    kind: str
    status: str
    fault: str
    message: str
    file_name: str
    sha256: str
    size: int
    remark: str
    public_score: float | None
    private_score: float | None
    experiment_id: int | None
    run_id: int | None
    made_by: str
    sent_at: datetime


def state_of(session: Session, contest: Contest, sealed: SealedAnswers, who: str) -> State:
    """Now."""
    now, file = clock(session), contest_queries.file_by_id(session, sealed.test_file_id)
    early = sealed.opens_at is not None and now < sealed.opens_at
    late = sealed.closes_at is not None and now >= sealed.closes_at
    private_rows = sealed.rows - sealed.public_rows
    return State(
        contest=contest.slug,
        metric=contest.metric,
        test_file_id=file.id,
        test_file=file.name,
        rows=sealed.rows,
        public_rows=sealed.public_rows,
        private_rows=private_rows,
        few=min(sealed.public_rows, private_rows) < FEW_ROWS,
        terms=Terms.model_validate({name: getattr(sealed, name) for name in Terms.model_fields}),
        owner=sealed.made_by,
        sealed_at=sealed.created_at,
        is_open=not early and not late,
        is_closed=late,
        revealed_at=sealed.revealed_at,
        left_today=receiving.left_today(session, sealed, who, now),
        next_day_at=day_of(now, sealed.time_zone).next_begins,
        waiting_runs=queries.count_runs_to_score(session, sealed) if sealed.runs_a_day else 0,
    )


def line_of(row: SealedUpload, sealed: SealedAnswers) -> Line:
    """A line of the history as it may be shown now."""
    shown = {name: getattr(row, name) for name in Line.__dataclass_fields__ if name != "private_score"}
    return Line(**shown, private_score=row.private_score if sealed.revealed_at is not None else None)
