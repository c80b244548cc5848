"""What must hold for scores after any history of faults: in their rows, and in the table that people look at."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.experiments.models import Experiment, Score
from app.leaderboard.queries import ranked
from app.leaderboard.row_queries import Row
from app.runs.models import ExperimentRun, Run

SCORES_OF_AN_EXPERIMENT = 8  # four metrics, of train and of valid
PAGE = 50

Key = tuple[int, float]  # experiment id, value


@dataclass
class Sent:
    """Online scores that people sent, in their order. `unsure`: no answer ever came; they may stand, once."""

    accepted: list[Key] = field(default_factory=list)
    unsure: list[Key] = field(default_factory=list)


def scores_stand_once(session: Session, sent: Sent) -> Iterator[str]:
    """Every online score that was taken, once, and none that nobody sent; an experiment's own scores, once each."""
    online = select(Score.experiment_id, Score.value).where(Score.split == "online")
    stored = Counter((number, value) for number, value in session.execute(online))
    accepted, unsure = Counter(sent.accepted), Counter(sent.unsure)
    for key in accepted | unsure | stored:
        if not accepted[key] <= stored[key] <= accepted[key] + unsure[key]:
            yield f"online score {key} was taken {accepted[key]} times and stands {stored[key]} times"
    own = Counter(
        (number, split, metric)
        for number, split, metric in session.execute(
            select(Score.experiment_id, Score.split, Score.metric).where(Score.split != "online")
        )
    )
    for own_key, count in own.items():
        if count != 1:
            yield f"score {own_key} stands {count} times"
    for experiment in session.scalars(select(Experiment)):
        have = sum(1 for own_key in own if own_key[0] == experiment.id)
        if _finished(session, experiment.id) and have != SCORES_OF_AN_EXPERIMENT:
            yield f"experiment {experiment.id} finished with {have} scores"


def leaderboard_tells_all(session: Session, sent: Sent) -> Iterator[str]:
    """The same by the table's own query, page by page and sorted in two ways: each experiment is one row, that counts
    each accepted score once and shows the last; a finished one shows train and valid."""
    for contest in session.scalars(select(Contest)):
        numbers = set(session.scalars(select(Experiment.id).where(Experiment.contest_id == contest.id)))
        for sort in ("", "-online"):
            rows = list(_rows(session, contest, sort))
            shown = Counter(row.id for row in rows)
            if set(shown) != numbers or set(shown.values()) - {1}:
                yield f"the table sorted by {sort!r} shows rows {shown}, the experiments are {sorted(numbers)}"
            for row in rows:
                yield from _row_tells_all(session, row, sent)


def _rows(session: Session, contest: Contest, sort: str) -> Iterator[Row]:
    offset, total = 0, 1
    while offset < total:
        page = ranked(session, contest, sort=sort, limit=PAGE, offset=offset)
        yield from page.rows
        offset, total = offset + PAGE, page.total


def _row_tells_all(session: Session, row: Row, sent: Sent) -> Iterator[str]:
    accepted = [value for number, value in sent.accepted if number == row.id]
    unsure = [value for number, value in sent.unsure if number == row.id]
    count = row.online.count if row.online else 0
    if not len(accepted) <= count <= len(accepted) + len(unsure):
        yield f"the table counts {count} online scores of experiment {row.id}, {len(accepted)} were taken"
    if row.online and row.online.value not in {*accepted[-1:], *unsure}:
        yield f"the table shows {row.online.value} for experiment {row.id}, the last one taken is {accepted[-1:]}"
    if _finished(session, row.id) and (row.train is None or row.valid is None):
        yield f"the table shows no train or valid score of experiment {row.id}, which finished"


def _finished(session: Session, experiment_id: int) -> bool:
    runs = select(Run.status).join(ExperimentRun).where(ExperimentRun.experiment_id == experiment_id)
    return set(session.scalars(runs)) == {"finished"}
