"""The comparison table: experiment | train | valid | online. A query, never a second table."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, case, exists, func, or_, select
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.db import lasted
from app.errors import FieldError, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.leaderboard import check_queries
from app.leaderboard.filter_queries import condition
from app.leaderboard.models import Trashed
from app.leaderboard.row_queries import Row, rows_of, unfinished
from app.leaderboard.search import Term, terms
from app.leaderboard.view import PAGE_SIZE
from app.runs.models import Artifact, Attempt, ExperimentRun
from app.runs.predictions import FILE

SORT_KEYS = (
    *("name", "train", "valid", "online", "gap", "deviation", "hours", "status", "checks", "swap", "by", "created"),
    "id",
)


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
    archived: bool = False,
    against: int | None = None,
    total: int | None = None,
) -> Ranking:
    """The contest's rows. `sort`: keys of SORT_KEYS divided by commas, `-` before one for descending; empty: newest
    first. `search`: see search.terms. `archived`: those of the archive instead. `against`: the row whose data and code
    the checks compare with; None: see checks.checks. `total`: how many rows the search finds, if that is known.

    Rows without the value always come last. Raises Refused for an unknown key or term.
    """
    asked = terms(search)
    here, away, trashed = _counts(session, contest)
    everything, elsewhere = (away - trashed, here) if archived else (here, away - trashed)
    keys = {part.strip().removeprefix("-") for part in (sort or "-id").split(",")}
    query, columns = table(session, contest, asked, archived=archived, also=keys, against=against)
    query = query.order_by(*_order(sort, columns)).limit(limit).offset(offset)
    # counted beside the rows: by itself, the joins of most searches would be made twice
    counting = bool(asked) and total is None
    found = session.execute(query.add_columns(func.count().over()) if counting else query).all()
    if counting:
        total = found[0][1] if found else _count(session, query, offset)
    return Ranking(
        rows_of(session, contest, [row[0] for row in found]),
        everything if total is None else total,
        everything,
        elsewhere,
        trashed,
    )


def _counts(session: Session, contest: Contest) -> tuple[int, int, int]:
    """How many rows of the contest are in the table, how many are not, and how many of these in the trash."""
    mine = select(func.count()).where(Experiment.contest_id == contest.id)
    thrown = select(func.count()).where(Trashed.contest_id == contest.id)
    # each is a stretch of an index by itself: together they would be looked at one by one
    each = (mine.where(Experiment.archived_at.is_(None)), mine.where(Experiment.archived_at.is_not(None)), thrown)
    here, away, trashed = session.execute(select(*(query.scalar_subquery() for query in each))).one()
    return here, away, trashed


def _count(session: Session, query: Select[Any], offset: int) -> int:
    """How many rows a search finds, of which none is on this page."""
    whole = query.with_only_columns(func.count(), maintain_column_froms=True).order_by(None).limit(None).offset(None)
    return session.scalar(whole) or 0 if offset else 0


def table(
    session: Session,
    contest: Contest,
    asked: list[Term],
    *,
    archived: bool,
    also: Collection[str] = (),
    against: int | None = None,
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
        open_runs, state = unfinished()
        query = query.outerjoin(open_runs, open_runs.c.experiment_id == Experiment.id)
        ended = or_(Experiment.origin == "external", exists().where(ExperimentRun.experiment_id == Experiment.id))
        columns["unfinished"] = func.coalesce(state, "")
        columns["status"] = func.coalesce(state, case((ended, "finished"), else_="queued"))
    if needed & {"checks", "check", "swap"}:
        query, of_checks = check_queries.with_columns(session, contest, query, against)
        columns |= of_checks
    if archived:
        thrown = select(Trashed.experiment_id).where(Trashed.contest_id == contest.id)
        query = query.where(Experiment.archived_at.is_not(None), Experiment.id.not_in(thrown))
    else:
        query = query.where(Experiment.archived_at.is_(None))
    for term in asked:
        query = query.where(condition(term, contest, columns))
    return query, columns


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
        directed = column.desc() if descending else column.asc()
        # said only where it matters, or an index in this order could not be read
        order.append(directed if _always_there(column) else directed.nulls_last())
    first_falls = (sort or "-id").startswith("-")
    return [*order, Experiment.id.desc() if first_falls else Experiment.id.asc()]


def _always_there(column: ColumnElement[Any]) -> bool:
    return isinstance(column, Column) and not column.nullable


def _seconds() -> Select[Any]:
    """By experiment: of workers over all attempts that ended."""
    seconds = func.sum(lasted(Attempt.claimed_at, Attempt.ended_at))
    columns: list[Any] = [ExperimentRun.experiment_id, seconds.label("seconds")]
    query = select(*columns).join(Attempt, Attempt.run_id == ExperimentRun.run_id)
    return query.group_by(ExperimentRun.experiment_id)
