"""The comparison table: experiment | train | valid | online. A query, never a second table."""

import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, case, exists, extract, func, literal, or_, select
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.db import clock
from app.errors import FieldError, Refused
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment, Score
from app.language import gettext as _
from app.leaderboard.filter_queries import condition
from app.leaderboard.models import Trashed
from app.leaderboard.search import Term, terms
from app.leaderboard.view import PAGE_SIZE
from app.runs.models import Artifact, Attempt, ExperimentRun, Run
from app.runs.predictions import FILE
from ml.contract.scores import METRICS

SPLITS = ("train", "valid", "online")
SORT_KEYS = ("name", "train", "valid", "online", "gap", "deviation", "hours", "status", "by", "created", "id")


@dataclass(frozen=True)
class ShownScore:
    """A score as the table shows it; `count` is how many stand behind it (online: the latest of several).

    `low` and `high` are its 95% interval; `mean` and `deviation` those of the folds or members behind it, `members`
    how many these are. `board`: that an online score stands on; `best`: the best of those behind it, if it is another.
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
    board: str = ""
    best: float | None = None


@dataclass(frozen=True)
class Row:
    """An experiment with its scores in the contest's metric. `progress` is the last one of the run at work; `hours`
    those of workers, over all attempts of its runs. `audit`: what the leak audit found of its split."""

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
    verdict: str = ""
    audit: str = ""

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
    """One page of the table, how many rows the search finds, how many there are in all, how many more lie in the
    archive (of the archive's table: how many don't), and how many in the trash."""

    rows: list[Row]
    total: int
    everything: int
    elsewhere: int
    trashed: int


def with_predictions(session: Session, contest_id: int, limit: int) -> Sequence[Experiment]:
    """The newest experiments of the table that held rows out and predicted them."""
    predicted = select(ExperimentRun.experiment_id).join(Artifact, Artifact.run_id == ExperimentRun.run_id)
    query = select(Experiment).where(
        Experiment.contest_id == contest_id,
        Experiment.archived_at.is_(None),
        Experiment.id.in_(predicted.where(Artifact.name == FILE)),
    )
    return session.scalars(query.order_by(Experiment.id.desc()).limit(limit)).all()


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
    asked = terms(search)
    thrown = select(func.count()).select_from(Trashed).where(Trashed.contest_id == contest.id).scalar_subquery()
    counts = select(func.count(), func.count(Experiment.archived_at), thrown).where(Experiment.contest_id == contest.id)
    rows, away, trashed = session.execute(counts).one()
    everything, elsewhere = (away - trashed, rows - away) if archived else (rows - away, away - trashed)
    keys = {part.strip().removeprefix("-") for part in (sort or "-id").split(",")}
    query, columns = table(contest, asked, archived=archived, ids=ids, also=keys)
    query = query.order_by(*_order(sort, columns)).limit(limit).offset(offset)
    found = session.execute(query.add_columns(func.count().over()) if asked else query).all()
    total = everything
    if asked:
        total = found[0][1] if found else _count(session, contest, asked, archived=archived, ids=ids, offset=offset)
    return Ranking(_rows(session, contest, [row[0] for row in found]), total, everything, elsewhere, trashed)


def _count(
    session: Session, contest: Contest, asked: list[Term], *, archived: bool, ids: list[int] | None, offset: int
) -> int:
    """How many rows a search finds, of which none is on this page."""
    if not offset:
        return 0
    query, _ = table(contest, asked, archived=archived, ids=ids)
    return session.scalar(query.with_only_columns(func.count(), maintain_column_froms=True)) or 0


def table(
    contest: Contest, asked: list[Term], *, archived: bool, ids: list[int] | None, also: Collection[str] = ()
) -> tuple[Select[Any], dict[str, ColumnElement[Any]]]:
    """The ids of the rows that a search finds as a query, and its columns; those that are a join with everything only
    if the search needs them or they are asked for in `also`. For ranked, and for group_queries."""
    needed = {term.name for term in asked} | set(also)
    query = select(Experiment.id).where(Experiment.contest_id == contest.id)
    columns: dict[str, ColumnElement[Any]] = {
        "name": Experiment.name.expression,
        "by": Experiment.made_by.expression,
        "created": Experiment.created_at.expression,
        "id": Experiment.id.expression,
        "train": Experiment.shown_train.expression,
        "valid": Experiment.shown_valid.expression,
        "online": Experiment.shown_online.expression,
        "deviation": Experiment.shown_deviation.expression,
        "gap": Experiment.shown_train - Experiment.shown_valid,
    }
    if "hours" in needed:
        spent = _seconds().subquery()
        query = query.outerjoin(spent, spent.c.experiment_id == Experiment.id)
        columns["hours"] = spent.c.seconds
    if "status" in needed:
        unfinished = _unfinished().subquery()
        query = query.outerjoin(unfinished, unfinished.c.experiment_id == Experiment.id)
        ended = or_(Experiment.origin == "external", exists().where(ExperimentRun.experiment_id == Experiment.id))
        columns["status"] = func.coalesce(unfinished.c.status, case((ended, "finished"), else_="queued"))
    if ids is not None:
        query = query.where(Experiment.id.in_(ids))
    elif archived:
        thrown = select(Trashed.experiment_id).where(Trashed.contest_id == contest.id)
        query = query.where(Experiment.archived_at.is_not(None), Experiment.id.not_in(thrown))
    else:
        query = query.where(Experiment.archived_at.is_(None))
    for term in asked:
        query = query.where(condition(term, contest, columns))
    return query, columns


#: read as plain rows: ten times as quick as objects that a session keeps watch of
_SHOWN_OF_EXPERIMENT = (
    Experiment.id,
    Experiment.name,
    Experiment.note,
    Experiment.origin,
    Experiment.created_at,
    Experiment.marks,
    Experiment.made_by,
    Experiment.archived_at,
    Experiment.verdict,
    Experiment.audit,
)
_SHOWN_OF_SCORE = (
    Score.experiment_id,
    Score.split,
    Score.latest,
    Score.value,
    Score.text,
    Score.uncertain,
    Score.note,
    Score.low,
    Score.high,
    Score.members,
    Score.deviation,
    Score.board,
)


def _rows(session: Session, contest: Contest, ids: list[int]) -> list[Row]:
    """These experiments with all that is shown of them, in this order."""
    found = session.execute(select(*_SHOWN_OF_EXPERIMENT).where(Experiment.id.in_(ids)))
    experiments = {item.id: item for item in found}
    runs_of = _runs_of(session, ids)
    unfinished = {number: state for number, mine in runs_of.items() if (state := _state(mine))}
    runs = _runs(session, [run_id for state in unfinished.values() for run_id in state[1:] if run_id])
    scores = _scores(session, contest, ids)
    hours, tags = _hours(session, ids), experiment_queries.tags_of(session, ids)
    return [
        _row(experiments[number], number in runs_of, unfinished.get(number), runs, scores, hours, tags)
        for number in ids
    ]


#: the score that is shown, how many there are, and the best of them
Standing = tuple[Any, int, float]


def _scores(session: Session, contest: Contest, ids: list[int]) -> dict[tuple[int, str], Standing]:
    """By experiment and split: the latest score, how many there are, and the best value; what was corrected is none."""
    found: dict[tuple[int, str], Standing] = {}
    better = max if METRICS[contest.metric].higher_is_better else min
    query = select(*_SHOWN_OF_SCORE).where(Score.experiment_id.in_(ids), Score.metric == contest.metric, Score.counts)
    for score in session.execute(query.order_by(Score.id)):
        key = (score.experiment_id, score.split)
        before = found.get(key)
        if before is None:
            found[key] = (score, 1, score.value)
        else:
            found[key] = (score if score.latest else before[0], before[1] + 1, better(before[2], score.value))
    return found


def check_sort(sort: str) -> None:
    """Raise Refused that names a key by which the table can't be ordered."""
    for part in sort.split(",") if sort else ():
        key = part.strip().removeprefix("-")
        if key not in SORT_KEYS:
            message = _(
                "sort=%(sort)s: %(key)s is not a column: choose one of %(keys)s, with - before it for descending; "
                "several are divided by commas",
                sort=repr(sort),
                key=repr(key),
                keys=", ".join(SORT_KEYS),
            )
            raise Refused(message, [FieldError("sort", message, sort)])


def _order(sort: str, columns: dict[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    check_sort(sort)
    order: list[ColumnElement[Any]] = []
    for part in (sort or "-id").split(","):
        column, descending = columns[part.strip().removeprefix("-")], part.strip().startswith("-")
        if not _always_there(column):  # or an index in this order could not be read
            order.append(column.is_(None))
        order.append(column.desc() if descending else column.asc())
    first_falls = (sort or "-id").startswith("-")
    return [*order, Experiment.id.desc() if first_falls else Experiment.id.asc()]


def _always_there(column: ColumnElement[Any]) -> bool:
    return isinstance(column, Column) and not column.nullable


def _seconds() -> Select[Any]:
    """By experiment, about: of workers over all attempts that ended, for the order alone."""
    lasted = extract("epoch", Attempt.ended_at) - extract("epoch", Attempt.claimed_at)
    columns: list[Any] = [ExperimentRun.experiment_id, func.sum(lasted).label("seconds")]
    query = select(*columns).join(Attempt, Attempt.run_id == ExperimentRun.run_id)
    return query.group_by(ExperimentRun.experiment_id)


#: what an experiment is called whose runs have not all finished: the worst that happened, else what goes on
_WORST_FIRST = ("failed", "cancelled", "running", "queued")


def _unfinished() -> Select[Any]:
    """The state of every experiment with a run that has not finished. Few have one."""
    happened = [(func.max(case((Run.status == status, 1), else_=0)) == 1, literal(status)) for status in _WORST_FIRST]
    query = (
        select(ExperimentRun.experiment_id, case(*happened).label("status"))
        # + 0: SQLite does not know that few of all runs are unfinished, and would look each run of each experiment up
        .join(Run, Run.id + 0 == ExperimentRun.run_id)
        .where(Run.status.in_(_WORST_FIRST))
    )
    return query.group_by(ExperimentRun.experiment_id)


#: the state of an experiment, its run that goes on, and the first other one that has not finished
State = tuple[str, int | None, int | None]


def _runs_of(session: Session, ids: list[int]) -> dict[int, dict[int, str]]:
    """By experiment: the status of each of its runs."""
    query = select(ExperimentRun.experiment_id, Run.id, Run.status).join(Run, Run.id == ExperimentRun.run_id)
    found: dict[int, dict[int, str]] = {}
    for number, run_id, status in session.execute(query.where(ExperimentRun.experiment_id.in_(ids))):
        found.setdefault(number, {})[run_id] = status
    return found


def _state(runs: dict[int, str]) -> State | None:
    """As `_unfinished` has it; none if all have finished."""
    happened = set(runs.values())
    worst = next((status for status in _WORST_FIRST if status in happened), None)
    if worst is None:
        return None
    running = max((run_id for run_id, status in runs.items() if status == "running"), default=None)
    others = (run_id for run_id, status in runs.items() if status != "running" and status in _WORST_FIRST)
    return worst, running, min(others, default=None)


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


def _row(
    experiment: Any,
    has_runs: bool,
    state: State | None,
    runs: dict[int, Run],
    scores: dict[tuple[int, str], Standing],
    hours: dict[int, float],
    tags: dict[int, list[str]],
) -> Row:
    status, running_id, waiting_id = state or (
        "finished" if has_runs or experiment.origin == "external" else "queued",
        None,
        None,
    )
    running = runs.get(running_id) if running_id else None
    waiting = runs.get(waiting_id) if waiting_id else None
    train, valid, online = (_shown(*scores.get((experiment.id, split), (None, 0, 0.0))) for split in SPLITS)
    return Row(
        id=experiment.id,
        name=experiment.name,
        note=experiment.note,
        origin=experiment.origin,
        created_at=experiment.created_at,
        status=status,
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
        verdict=experiment.verdict,
        audit=experiment.audit,
    )


def _shown(score: Any, count: int, best: float) -> ShownScore | None:
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
        score.deviation,
        score.board,
        None if best == score.value else best,
    )
