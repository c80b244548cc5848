"""Submissions with their scores, as pages, REST and people see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.experiments.models import Experiment, Score
from app.submissions import queries
from app.submissions.checking import standing
from app.submissions.models import Submission


@dataclass(frozen=True)
class Sent:
    """A submission, whose experiment it is of (None: removed for good, `name` tells what it was called), and what it
    got, oldest first, corrected scores among them. `broken`: a plan whose job failed, which holds no place; `lapsed`:
    one whose day is over."""

    row: Submission
    experiment_id: int | None
    name: str
    scores: list[Score]
    broken: bool
    lapsed: bool

    @property
    def score(self) -> Score | None:
        """The last that counts."""
        return standing(self.scores)


def of_contest(session: Session, contest: Contest, today: date, limit: int, offset: int = 0) -> list[Sent]:
    """Some of a contest's, the newest first."""
    return _with_scores(session, queries.of_contest(session, contest.id, limit, offset), today)


def of_experiment(session: Session, experiment: Experiment, today: date) -> list[Sent]:
    """All of an experiment's, the newest first."""
    return _with_scores(session, queries.of_experiment(session, experiment.id), today)


def one(session: Session, row: Submission, today: date) -> Sent:
    """This one."""
    return _with_scores(session, [row], today)[0]


def _with_scores(session: Session, rows: Sequence[Submission], today: date) -> list[Sent]:
    scores = queries.scores_of(session, [row.id for row in rows])
    names = queries.names_of(session, [row.experiment_id for row in rows if row.experiment_id])
    gone = queries.removed(session, [row.removed_id for row in rows if row.removed_id])
    plans = [row for row in rows if row.state == "planned"]
    broken = queries.without_file(session, [row.id for row in plans])
    return [
        Sent(
            row,
            row.experiment_id,
            names.get(row.experiment_id or 0) or (gone[row.removed_id].name if row.removed_id in gone else ""),
            scores.get(row.id, []),
            broken=row.id in broken,
            lapsed=row.state == "planned" and row.contest_day < today,
        )
        for row in rows
    ]
