"""Reads of the trash, and what of files and runs its rows hold alone; deletions of such rows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from app.contests.models import ContestFile
from app.experiments.models import (
    Experiment,
    ExperimentField,
    ExperimentTag,
    RemovedExperiment,
    Score,
)
from app.leaderboard.models import SavedView, Trashed
from app.runs.models import Artifact, Attempt, CurvePiece, ExperimentRun, Run, RunEvent, RunNeed
from app.submissions.models import Submission, WrittenFile

#: stands for a data file of the contest among the holders of a file's bytes
CONTEST = 0


@dataclass(frozen=True)
class Holdings:
    """Of some experiments: their runs; of these the experiments that they stand in, those that build on them, and the
    files; of each file (hash) the runs that name its bytes."""

    runs: dict[int, set[int]] = field(default_factory=dict)
    users: dict[int, set[int]] = field(default_factory=dict)
    needers: dict[int, set[int]] = field(default_factory=dict)
    files: dict[int, dict[str, int]] = field(default_factory=dict)
    holders: dict[str, set[int]] = field(default_factory=dict)

    def going(self, experiments: Collection[int]) -> set[int]:
        """The runs that go with these experiments: nobody else has or needs them."""
        own = {run for number in experiments for run in self.runs.get(number, ())}
        gone = set(experiments)
        return {run for run in own if self.users[run] <= gone and self.needers.get(run, set()) <= gone}

    def frees(self, experiments: Collection[int]) -> dict[str, int]:
        """Hash and size of the files that go with them: no other run and no contest names the bytes."""
        going = self.going(experiments)
        found = {sha256: size for run in going for sha256, size in self.files.get(run, {}).items()}
        return {sha256: size for sha256, size in found.items() if self.holders[sha256] <= going}


def holdings(session: Session, experiments: Collection[int]) -> Holdings:
    """Of these experiments."""
    found = Holdings()
    query = select(ExperimentRun.experiment_id, ExperimentRun.run_id)
    for number, run in session.execute(query.where(ExperimentRun.experiment_id.in_(experiments))):
        found.runs.setdefault(number, set()).add(run)
    runs = {run for own in found.runs.values() for run in own}
    for number, run in session.execute(query.where(ExperimentRun.run_id.in_(runs))):
        found.users.setdefault(run, set()).add(number)
    needing = select(RunNeed.needs_run_id, ExperimentRun.experiment_id).join(
        ExperimentRun, ExperimentRun.run_id == RunNeed.run_id
    )
    for run, number in session.execute(needing.where(RunNeed.needs_run_id.in_(runs))):
        found.needers.setdefault(run, set()).add(number)
    files = select(Artifact.run_id, Artifact.sha256, Artifact.size).where(Artifact.run_id.in_(runs))
    for run, sha256, size in session.execute(files):
        found.files.setdefault(run, {})[sha256] = size
    hashes = select(Artifact.sha256).where(Artifact.run_id.in_(runs))
    for sha256, run in session.execute(select(Artifact.sha256, Artifact.run_id).where(Artifact.sha256.in_(hashes))):
        found.holders.setdefault(sha256, set()).add(run)
    for sha256 in session.scalars(select(ContestFile.sha256).where(ContestFile.sha256.in_(hashes))):
        found.holders.setdefault(sha256, set()).add(CONTEST)
    return found


def trashed(session: Session, contest_id: int) -> Sequence[Trashed]:
    """What lies in the trash, thrown last first."""
    query = select(Trashed).where(Trashed.contest_id == contest_id)
    return session.scalars(query.order_by(Trashed.thrown_at.desc(), Trashed.experiment_id.desc())).all()


def count(session: Session, contest_id: int) -> int:
    """How many rows lie there."""
    return session.scalar(select(func.count()).select_from(Trashed).where(Trashed.contest_id == contest_id)) or 0


def in_trash(session: Session, ids: Collection[int]) -> set[int]:
    """Which of these experiments lie there."""
    return set(session.scalars(select(Trashed.experiment_id).where(Trashed.experiment_id.in_(ids))))


def locked(session: Session, experiment_id: int) -> tuple[Experiment, Trashed] | None:
    """A row of the trash that nobody changes until the commit; None when it was taken out, or removed, meanwhile."""
    thrown = session.get(Trashed, experiment_id, with_for_update=True, populate_existing=True)
    found = session.get(Experiment, experiment_id, with_for_update=True, populate_existing=True) if thrown else None
    return None if found is None or thrown is None else (found, thrown)


def lock_runs(session: Session, experiment_id: int) -> None:
    """From here on nobody can come to share or to need them unseen."""
    own = select(ExperimentRun.run_id).where(ExperimentRun.experiment_id == experiment_id)
    session.execute(select(Run.id).where(Run.id.in_(own)).order_by(Run.id).with_for_update()).all()


def names_of(session: Session, ids: Collection[int]) -> dict[int, str]:
    """Of these experiments."""
    query = select(Experiment.id, Experiment.name).where(Experiment.id.in_(ids))
    return {row.id: row.name for row in session.execute(query)}


def children_of(session: Session, ids: Collection[int]) -> dict[int, list[int]]:
    """By parent: the experiments that were cloned from it."""
    query = select(Experiment.parent_id, Experiment.id).where(Experiment.parent_id.in_(ids)).order_by(Experiment.id)
    found: dict[int, list[int]] = {}
    for row in session.execute(query).all():
        parent: Any = row[0]
        found.setdefault(parent, []).append(row[1])
    return found


def views_against(session: Session, contest_id: int, ids: Collection[int]) -> dict[int, list[str]]:
    """By baseline: names of the saved views that compare with it."""
    found: dict[int, list[str]] = {}
    for view in session.scalars(select(SavedView).where(SavedView.contest_id == contest_id).order_by(SavedView.name)):
        against: Any = view.view.get("against")
        if against in ids:
            found.setdefault(against, []).append(view.name)
    return found


def online_scores(session: Session, ids: Collection[int]) -> dict[int, list[Score]]:
    """By experiment: what the contest said of it."""
    query = select(Score).where(Score.experiment_id.in_(ids), Score.split == "online").order_by(Score.id)
    found: dict[int, list[Score]] = {}
    for score in session.scalars(query):
        found.setdefault(score.experiment_id, []).append(score)
    return found


def removed(session: Session, contest_id: int) -> Sequence[RemovedExperiment]:
    """What is left of the contest's removed experiments, removed last first."""
    query = select(RemovedExperiment).where(RemovedExperiment.contest_id == contest_id)
    return session.scalars(query.order_by(RemovedExperiment.removed_at.desc(), RemovedExperiment.id.desc())).all()


def removed_count(session: Session, contest_id: int) -> int:
    """How many there are."""
    query = select(func.count()).select_from(RemovedExperiment).where(RemovedExperiment.contest_id == contest_id)
    return session.scalar(query) or 0


def forget_parent(session: Session, experiment_id: int) -> None:
    """Its clones stand by themselves from here on."""
    for child in session.scalars(select(Experiment).where(Experiment.parent_id == experiment_id)):
        child.parent_id = None
    session.flush()


def keep_submissions(session: Session, experiment_id: int) -> None:
    """What was sent was sent, and its quota used: it names what is left of the experiment from here on; a score of
    another experiment that corrects one of this one stands by itself."""
    for row in session.scalars(select(Submission).where(Submission.experiment_id == experiment_id)):
        row.experiment_id, row.removed_id = None, experiment_id
    own = select(Score.id).where(Score.experiment_id == experiment_id)
    elsewhere = select(Score).where(Score.corrects_id.in_(own), Score.experiment_id != experiment_id)
    for score in session.scalars(elsewhere):
        score.corrects_id = None
    session.flush()


def delete_rows(session: Session, experiment_id: int, runs: Collection[int]) -> None:
    """Every row of the experiment and of these runs, those that refer to others first."""
    attempts = select(Attempt.id).where(Attempt.run_id.in_(runs))
    of_runs: tuple[tuple[Any, Any], ...] = (
        (CurvePiece, CurvePiece.attempt_id.in_(attempts)),
        (RunEvent, RunEvent.attempt_id.in_(attempts)),
        (Artifact, Artifact.run_id.in_(runs)),
        (Attempt, Attempt.run_id.in_(runs)),
        (RunNeed, RunNeed.run_id.in_(runs)),
    )
    of_experiment: tuple[tuple[Any, Any], ...] = (
        (Score, or_(Score.experiment_id == experiment_id, Score.run_id.in_(runs))),
        (ExperimentTag, ExperimentTag.experiment_id == experiment_id),
        (ExperimentField, ExperimentField.experiment_id == experiment_id),
        (ExperimentRun, ExperimentRun.experiment_id == experiment_id),
        (WrittenFile, WrittenFile.experiment_id == experiment_id),
        (Trashed, Trashed.experiment_id == experiment_id),
    )
    last: tuple[tuple[Any, Any], ...] = ((Run, Run.id.in_(runs)), (Experiment, Experiment.id == experiment_id))
    for table, those in (*of_runs, *of_experiment, *last):
        session.execute(delete(table).where(those), execution_options={"synchronize_session": False})
