"""Rows of the comparison table with all that is shown of them. Called by queries, which chooses and orders them."""

import statistics
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, case, func, literal, select
from sqlalchemy.orm import Session

from app.among import among
from app.contests.models import Contest
from app.db import clock
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment, Score
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
    runs_of, hours = _work_on(session, ids)
    open_runs = {number: state for number, mine in runs_of.items() if (state := _state(mine))}
    runs = _runs(session, [run_id for state in open_runs.values() for run_id in state[1:] if run_id])
    scores = _scores(session, contest, ids)
    tags = experiment_queries.tags_of(session, ids)
    return [
        _row(experiments[number], number in runs_of, open_runs.get(number), runs, scores, hours, tags) for number in ids
    ]


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


def unfinished() -> Select[Any]:
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


def _work_on(session: Session, ids: list[int]) -> tuple[dict[int, dict[int, str]], dict[int, float]]:
    """By experiment: the status of each of its runs; and the hours that workers spent on it, attempts under way counted
    until now."""
    of, run, attempt = ExperimentRun.__table__.c, Run.__table__.c, Attempt.__table__.c
    query = (
        select(of.experiment_id, run.id, run.status, attempt.claimed_at, attempt.ended_at)
        .join(Run.__table__, run.id == of.run_id)
        .outerjoin(Attempt.__table__, attempt.run_id == run.id)
    )
    now: datetime | None = None
    runs_of, hours = dict[int, dict[int, str]](), dict[int, float]()
    for number, run_id, status, begin, end in session.execute(query.where(among(of.experiment_id, ids))).all():
        runs_of.setdefault(number, {})[run_id] = status
        if begin is not None:
            end = end or (now := now or clock(session))
            hours[number] = hours.get(number, 0.0) + (end - begin).total_seconds() / 3600
    return runs_of, hours


def _state(runs: dict[int, str]) -> State | None:
    """As `unfinished` has it; none if all have finished."""
    happened = set(runs.values())
    worst = next((status for status in _WORST_FIRST if status in happened), None)
    if worst is None:
        return None
    running = max((run_id for run_id, status in runs.items() if status == "running"), default=None)
    others = (run_id for run_id, status in runs.items() if status != "running" and status in _WORST_FIRST)
    return worst, running, min(others, default=None)


def _runs(session: Session, ids: list[int]) -> dict[int, Run]:
    return {run.id: run for run in session.scalars(select(Run).where(Run.id.in_(ids)))} if ids else {}


def _row(
    experiment: Any,
    has_runs: bool,
    state: State | None,
    runs: dict[int, Run],
    scores: dict[tuple[int, str], Standing],
    hours: dict[int, float],
    tags: dict[int, list[str]],
) -> Row:
    ended = "finished" if has_runs or experiment.origin == "external" else "queued"
    status, running_id, waiting_id = state or (ended, None, None)
    running = runs.get(running_id) if running_id else None
    waiting = runs.get(waiting_id) if waiting_id else None
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
        tags=tuple(tags.get(experiment.id, ())),
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
