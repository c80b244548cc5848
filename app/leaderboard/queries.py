"""The comparison table: experiment | train | valid | online. A query, never a second table."""

import statistics
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, func, literal, select
from sqlalchemy.orm import Session, aliased

from app.contests.models import Contest
from app.db import clock
from app.errors import FieldError, Refused
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment, Score
from app.leaderboard.filter_queries import condition
from app.leaderboard.search import terms
from app.leaderboard.view import PAGE_SIZE
from app.runs.models import Attempt, ExperimentRun, Run

SPLITS = ("train", "valid", "online")
SORT_KEYS = ("name", "train", "valid", "online", "gap", "status", "by", "created", "id")


@dataclass(frozen=True)
class ShownScore:
    """A score as the table shows it; `count` is how many stand behind it (online: the latest of several).

    `low` and `high` are its 95% interval; `mean` and `deviation` those of the folds or members behind it, `members`
    how many these are.
    """

    value: float
    text: str
    uncertain: bool
    note: str
    count: int
    low: float | None = None
    high: float | None = None
    members: int = 0
    mean: float | None = None
    deviation: float | None = None


@dataclass(frozen=True)
class Row:
    """An experiment with its scores in the contest's metric. `progress` is the last one of the run at work; `hours`
    those of workers, over all attempts of its runs."""

    id: int
    name: str
    note: str
    origin: str
    created_at: datetime
    status: str
    progress: dict[str, Any] | None
    reason: str
    cancelling: bool
    train: ShownScore | None
    valid: ShownScore | None
    online: ShownScore | None
    marks: dict[str, str]
    made_by: str = ""
    archived_at: datetime | None = None
    tags: tuple[str, ...] = ()
    hours: float = 0.0

    @property
    def gap(self) -> float | None:
        """Train minus valid: how much it has learnt by heart."""
        return self.train.value - self.valid.value if self.train and self.valid else None

    @property
    def active(self) -> bool:
        """Whether it still changes by itself."""
        return self.status in {"queued", "running"}


@dataclass(frozen=True)
class Ranking:
    """One page of the table, how many rows the search finds, how many there are in all, and how many more lie in the
    archive (of the archive's table: how many don't)."""

    rows: list[Row]
    total: int
    everything: int
    elsewhere: int


def ranked(
    session: Session,
    contest: Contest,
    *,
    sort: str = "",
    search: str = "",
    limit: int = PAGE_SIZE,
    offset: int = 0,
    ids: list[int] | None = None,
    archived: bool = False,
) -> Ranking:
    """The contest's rows. `sort`: keys of SORT_KEYS divided by commas, `-` before one for descending; empty: newest
    first. `search`: see search.terms. `archived`: those of the archive instead; with `ids` those and no others,
    wherever they are.

    Rows without the value always come last. Raises Refused for an unknown key or term.
    """
    query, columns, asked = table(contest, search, archived=archived, ids=ids)
    away = Experiment.archived_at.is_not(None)
    of_contest = select(away, func.count()).where(Experiment.contest_id == contest.id).group_by(away)
    counts = {bool(key): count for key, count in session.execute(of_contest)}
    everything = counts.get(archived, 0)
    counted = query.with_only_columns(func.count(), maintain_column_froms=True)
    total = (session.scalar(counted) or 0) if asked else everything
    found = session.execute(query.order_by(*_order(sort, columns)).limit(limit).offset(offset)).all()
    runs = _runs(session, [item for row in found for item in (row.running_id, row.ended_badly_id) if item])
    shown_ids = [row[0].id for row in found]
    hours, tags = _hours(session, shown_ids), experiment_queries.tags_of(session, shown_ids)
    rows = [_row(list(row), runs, hours, tags) for row in found]
    return Ranking(rows, total, everything, counts.get(not archived, 0))


def table(
    contest: Contest, search: str, *, archived: bool, ids: list[int] | None
) -> tuple[Select[Any], dict[str, ColumnElement[Any]], bool]:
    """The rows as a query, the columns that can be sorted by, and whether the search asks for anything. For ranked, and
    for group_queries."""
    states = _states().subquery()
    shown = {split: _latest(contest.metric, split).subquery(split) for split in SPLITS}
    status = case((Experiment.origin == "external", literal("finished")), else_=states.c.status)
    query = (
        select(Experiment, status.label("status"), states.c.running_id, states.c.ended_badly_id)
        .outerjoin(states, states.c.experiment_id == Experiment.id)
        .where(Experiment.contest_id == contest.id)
    )
    scores = {}
    for split, latest in shown.items():
        scores[split] = aliased(Score, name=f"{split}_score")
        query = query.outerjoin(latest, latest.c.experiment_id == Experiment.id)
        query = query.outerjoin(scores[split], scores[split].id == latest.c.score_id)
        query = query.add_columns(scores[split], func.coalesce(latest.c.count, 0))
    away = Experiment.archived_at.is_not(None)
    query = query.where(Experiment.id.in_(ids) if ids is not None else away == archived)
    columns: dict[str, ColumnElement[Any]] = {
        "name": Experiment.name.expression,
        "status": status,
        "by": Experiment.made_by.expression,
        "created": Experiment.created_at.expression,
        "id": Experiment.id.expression,
        **{split: score.value.expression for split, score in scores.items()},
    }
    columns["gap"] = columns["train"] - columns["valid"]
    asked = terms(search)
    for term in asked:
        query = query.where(condition(term, columns))
    return query, columns, bool(asked)


def _order(sort: str, columns: dict[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    order: list[ColumnElement[Any]] = []
    for part in (sort or "-id").split(","):
        key = part.strip().removeprefix("-")
        if key not in columns:
            message = (
                f"sort={sort!r}: {key!r} is not a column: choose one of {', '.join(SORT_KEYS)}, with - before it for "
                "descending; several are divided by commas"
            )
            raise Refused(message, [FieldError("sort", message, sort)])
        column, descending = columns[key], part.strip().startswith("-")
        order += [column.is_(None), column.desc() if descending else column.asc()]
    first_falls = (sort or "-id").startswith("-")
    return [*order, Experiment.id.desc() if first_falls else Experiment.id.asc()]


def _states() -> Select[Any]:
    """An experiment's status from its runs': the worst that happened, else what goes on, else finished."""

    def any_of(status: str) -> ColumnElement[int]:
        return func.max(case((Run.status == status, 1), else_=0))

    status = case(
        (any_of("failed") == 1, literal("failed")),
        (any_of("cancelled") == 1, literal("cancelled")),
        (any_of("running") == 1, literal("running")),
        (any_of("queued") == 1, literal("queued")),
        else_=literal("finished"),
    )
    return (
        select(
            ExperimentRun.experiment_id,
            status.label("status"),
            func.max(case((Run.status == "running", Run.id))).label("running_id"),
            func.min(case((Run.status.in_(("failed", "cancelled", "queued")), Run.id))).label("ended_badly_id"),
        )
        .join(Run, Run.id == ExperimentRun.run_id)
        .group_by(ExperimentRun.experiment_id)
    )


def _latest(metric: str, split: str) -> Select[int, int, int]:
    """Of each experiment the latest score of a split: online is append-only, a correction is a later one."""
    return (
        select(Score.experiment_id, func.max(Score.id).label("score_id"), func.count().label("count"))
        .where(and_(Score.metric == metric, Score.split == split))
        .group_by(Score.experiment_id)
    )


def _runs(session: Session, ids: list[int]) -> dict[int, Run]:
    return {run.id: run for run in session.scalars(select(Run).where(Run.id.in_(ids)))} if ids else {}


def _hours(session: Session, ids: list[int]) -> dict[int, float]:
    """Hours that workers spent on these experiments, attempts under way counted until now."""
    query = (
        select(ExperimentRun.experiment_id, Attempt.claimed_at, Attempt.ended_at)
        .join(Attempt, Attempt.run_id == ExperimentRun.run_id)
        .where(ExperimentRun.experiment_id.in_(ids))
    )
    now, hours = clock(session), dict[int, float]()
    for number, begin, end in session.execute(query):
        hours[number] = hours.get(number, 0.0) + ((end or now) - begin).total_seconds() / 3600
    return hours


def _row(found: list[Any], runs: dict[int, Run], hours: dict[int, float], tags: dict[int, list[str]]) -> Row:
    experiment, status, running_id, waiting_id, *pairs = found
    running, waiting = runs.get(running_id), runs.get(waiting_id)
    train, valid, online = (_shown(score, count) for score, count in zip(pairs[::2], pairs[1::2], strict=True))
    return Row(
        id=experiment.id,
        name=experiment.name,
        note=experiment.note,
        origin=experiment.origin,
        created_at=experiment.created_at,
        status=status or "queued",
        progress=running.progress if running else None,
        reason=waiting.reason if waiting else "",
        cancelling=bool(running and running.cancel_requested),
        train=train,
        valid=valid,
        online=online,
        marks=experiment.marks,
        made_by=experiment.made_by,
        archived_at=experiment.archived_at,
        tags=tuple(tags.get(experiment.id, ())),
        hours=hours.get(experiment.id, 0.0),
    )


def _shown(score: Score | None, count: int) -> ShownScore | None:
    if score is None:
        return None
    each = score.members or []
    return ShownScore(
        score.value,
        score.text,
        score.uncertain,
        score.note,
        count,
        score.low,
        score.high,
        len(each),
        statistics.fmean(each) if each else None,
        statistics.stdev(each) if len(each) > 1 else None,
    )
