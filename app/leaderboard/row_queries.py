"""Rows of the comparison table with all that is shown of them. Called by queries, which chooses and orders them."""

import statistics
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Subquery, case, func, select
from sqlalchemy.orm import Session

from app.among import among
from app.contests.models import Contest
from app.db import lasted, moment
from app.experiments.models import Experiment, ExperimentTag, Score
from app.runs.models import Attempt, ExperimentRun, Run
from ml.contract.scores import METRICS

SPLITS = ("train", "valid", "online")


class ShownScore(NamedTuple):
    """A score as the table shows it; `count` is how many stand behind it (online: the latest of several).

    `low` and `high` are its 95% interval; `mean` and `deviation` those of the folds or members behind it, `members`
    how many these are. `board`: that an online score stands on; `best`: the best of those behind it, if it is another.
    """

    value: float
    text: str
    uncertain: bool
    note: str
    count: int  # type: ignore[assignment]  # the field's name is older than the method of tuples it hides
    low: float | None = None
    high: float | None = None
    members: int = 0
    mean: float | None = None
    deviation: float | None = None
    board: str = ""
    best: float | None = None


class Row(NamedTuple):
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


#: read as plain rows of the tables themselves, and all at once (one by one costs more, too): ten times as quick as
#: objects that a session keeps watch of
_EXPERIMENT, _SCORE = Experiment.__table__.c, Score.__table__.c
_SHOWN_OF_EXPERIMENT = (
    _EXPERIMENT.id,
    _EXPERIMENT.name,
    _EXPERIMENT.note,
    _EXPERIMENT.origin,
    _EXPERIMENT.created_at,
    _EXPERIMENT.marks,
    _EXPERIMENT.made_by,
    _EXPERIMENT.archived_at,
    _EXPERIMENT.verdict,
    _EXPERIMENT.audit,
    select(func.aggregate_strings(ExperimentTag.tag, " "))
    .where(ExperimentTag.experiment_id == _EXPERIMENT.id)
    .scalar_subquery()
    .label("tags"),
)
_SHOWN_OF_SCORE = (
    _SCORE.experiment_id,
    _SCORE.split,
    _SCORE.latest,
    _SCORE.value,
    _SCORE.text,
    _SCORE.uncertain,
    _SCORE.note,
    _SCORE.low,
    _SCORE.high,
    _SCORE.members,
    _SCORE.deviation,
    _SCORE.board,
)


def rows_of(session: Session, contest: Contest, ids: list[int]) -> list[Row]:
    """Those of these experiments that are the contest's, with all that is shown of them, in this order."""
    found = select(*_SHOWN_OF_EXPERIMENT).where(among(_EXPERIMENT.id, ids), _EXPERIMENT.contest_id == contest.id)
    experiments = {item.id: item for item in session.execute(found).all()}
    ids = [number for number in ids if number in experiments]
    hours, open_ids = _work_on(session, ids)
    open_runs = _open_runs(session, open_ids) if open_ids else {}
    scores = _scores(session, contest, ids)
    return [_row(experiments[number], open_runs.get(number, ()), scores, hours) for number in ids]


#: the score that is shown, how many there are, and the best of them
Standing = tuple[Any, int, float]


def _scores(session: Session, contest: Contest, ids: list[int]) -> dict[tuple[int, str], Standing]:
    """By experiment and split: the latest score, how many there are, and the best value; what was corrected is none."""
    found: dict[tuple[int, str], Standing] = {}
    better = max if METRICS[contest.metric].higher_is_better else min
    query = select(*_SHOWN_OF_SCORE).where(among(_SCORE.experiment_id, ids), _SCORE.metric == contest.metric)
    for score in session.execute(query.where(_SCORE.counts).order_by(_SCORE.id)).all():
        number, split, latest, value, *_ = score
        before = found.get((number, split))
        if before is None:
            found[number, split] = (score, 1, value)
        else:
            found[number, split] = (score if latest else before[0], before[1] + 1, better(before[2], value))
    return found


#: what an experiment is called whose runs have not all finished: the worst that happened, else what goes on
_WORST_FIRST = ("failed", "cancelled", "running", "queued")


def unfinished() -> tuple[Subquery, ColumnElement[str | None]]:
    """A join for every experiment with a run that has not finished, and the state that such a one is in. Few are."""
    rank = case({status: number for number, status in enumerate(_WORST_FIRST)}, value=Run.status)
    query = (
        select(ExperimentRun.experiment_id, func.min(rank).label("rank"))
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(Run.status.in_(_WORST_FIRST))
    )
    found = query.group_by(ExperimentRun.experiment_id).subquery()
    return found, case(dict(enumerate(_WORST_FIRST)), value=found.c.rank)


def _work_on(session: Session, ids: list[int]) -> tuple[dict[int, float], list[int]]:
    """By experiment that has runs the hours that workers spent on it, attempts under way counted until now; and the
    experiments with a run that has not finished."""
    of, run, attempt = ExperimentRun.__table__.c, Run.__table__.c, Attempt.__table__.c
    seconds = lasted(attempt.claimed_at, func.coalesce(attempt.ended_at, moment(session)))
    query = (
        select(of.experiment_id, func.sum(seconds), func.max(case((run.status != "finished", 1), else_=0)))
        .join(Run.__table__, run.id == of.run_id)
        .outerjoin(Attempt.__table__, attempt.run_id == run.id)
        .where(among(of.experiment_id, ids))
    )
    found = session.execute(query.group_by(of.experiment_id)).all()
    return (
        {number: (spent or 0.0) / 3600 for number, spent, _open in found},
        [number for number, _spent, is_open in found if is_open],
    )


def _open_runs(session: Session, ids: list[int]) -> dict[int, list[Any]]:
    """The runs of each of these experiments that have not finished, the first one first."""
    of, run = ExperimentRun.__table__.c, Run.__table__.c
    query = (
        select(of.experiment_id, run.status, run.progress, run.reason, run.cancel_requested)
        .join(Run.__table__, run.id == of.run_id)
        .where(among(of.experiment_id, ids), run.status.in_(_WORST_FIRST))
    )
    found: dict[int, list[Any]] = {}
    for item in session.execute(query.order_by(run.id)).all():
        found.setdefault(item.experiment_id, []).append(item)
    return found


def _row(
    experiment: Any, open_runs: Sequence[Any], scores: dict[tuple[int, str], Standing], hours: dict[int, float]
) -> Row:
    happened = {run.status for run in open_runs}
    ended = "finished" if experiment.id in hours or experiment.origin == "external" else "queued"
    status = next((status for status in _WORST_FIRST if status in happened), ended)
    running = next((run for run in reversed(open_runs) if run.status == "running"), None)
    waiting = next((run for run in open_runs if run.status != "running"), None)
    train, valid, online = (_shown(scores.get((experiment.id, split))) for split in SPLITS)
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
        tags=tuple(sorted(experiment.tags.split())) if experiment.tags else (),
        hours=hours.get(experiment.id, 0.0),
        verdict=experiment.verdict,
        audit=experiment.audit,
    )


def _shown(standing: Standing | None) -> ShownScore | None:
    if standing is None:
        return None
    score, count, best = standing
    _number, split, _latest, value, text, uncertain, note, low, high, members, deviation, board = score
    each = members or ()
    return ShownScore(
        value,
        text,
        uncertain,
        note,
        count,
        low,
        high,
        len(each),
        statistics.fmean(each) if each else None,
        deviation,
        board,
        # only a contest's answers are tries of which one is the best; what is new of other splits replaces
        best if split == "online" and best != value else None,
    )
