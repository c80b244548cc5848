"""Reads of submissions and of the online scores that they got."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from app.accounts import access
from app.contests.models import Contest
from app.errors import NotFound
from app.experiments.models import Experiment, RemovedExperiment, Score
from app.language import gettext as _
from app.runs.models import Artifact, Attempt, ExperimentRun, Run
from app.submissions.models import Submission, WrittenFile


def lock_contest(session: Session, contest: Contest) -> None:
    """One writer of its submissions at a time, until the commit; rows may name it meanwhile. Locked before any
    experiment of it, or two could wait for each other."""
    session.refresh(contest, with_for_update={"key_share": True})


def lock_experiment(session: Session, experiment: Experiment) -> None:
    """One writer of its scores at a time. Raises NotFound when it was removed for good meanwhile."""
    if session.get(Experiment, experiment.id, with_for_update=True, populate_existing=True) is None:
        raise NotFound(_("there is no experiment %(id)s", id=experiment.id))


def submission(session: Session, submission_id: int) -> Submission:
    """The submission of this id. Raises NotFound, and Forbidden as access.lets does."""
    found = session.get(Submission, submission_id)
    if found is None or not access.lets(found.contest_id):
        raise NotFound(_("there is no submission %(id)s", id=submission_id))
    return found


def of_contest(session: Session, contest_id: int, limit: int | None = None, offset: int = 0) -> Sequence[Submission]:
    """The newest first; every one unless a limit is given."""
    query = select(Submission).where(Submission.contest_id == contest_id).order_by(Submission.id.desc())
    return session.scalars(query.limit(limit).offset(offset) if limit is not None else query).all()


def count(session: Session, contest_id: int) -> int:
    """How many there are."""
    query = select(func.count()).select_from(Submission).where(Submission.contest_id == contest_id)
    return session.scalar(query) or 0


def of_experiment(session: Session, experiment_id: int) -> Sequence[Submission]:
    """Every one, the newest first."""
    query = select(Submission).where(Submission.experiment_id == experiment_id)
    return session.scalars(query.order_by(Submission.id.desc())).all()


def sent(session: Session, contest_id: int) -> Sequence[Submission]:
    """What the contest took, the newest first."""
    query = select(Submission).where(Submission.contest_id == contest_id, Submission.sent_at.is_not(None))
    return session.scalars(query.where(Submission.withdrawn_at.is_(None)).order_by(Submission.id.desc())).all()


def ended_badly() -> ColumnElement[bool]:
    """Whether a run of the submission's experiment failed or was cancelled: it will have no file."""
    runs = select(ExperimentRun.run_id).join(Run, Run.id == ExperimentRun.run_id)
    broken = runs.where(
        ExperimentRun.experiment_id == Submission.experiment_id, Run.status.in_(("failed", "cancelled"))
    )
    return exists(broken.correlate(Submission))


def used_on(session: Session, contest_id: int, day: date) -> int:
    """How many the contest took on its day."""
    query = select(func.count()).select_from(Submission).where(*_of_day(contest_id, day))
    return session.scalar(query.where(Submission.sent_at.is_not(None))) or 0


def planned_on(session: Session, contest_id: int, day: date) -> int:
    """How many are planned for it; one whose job failed is none."""
    query = select(func.count()).select_from(Submission).where(*_of_day(contest_id, day))
    return session.scalar(query.where(Submission.sent_at.is_(None), ~ended_badly())) or 0


def _of_day(contest_id: int, day: date) -> tuple[ColumnElement[bool], ...]:
    return (
        Submission.contest_id == contest_id,
        Submission.contest_day == day,
        Submission.withdrawn_at.is_(None),
    )


def without_file(session: Session, submission_ids: Sequence[int]) -> set[int]:
    """Which of these plans have an experiment that failed or was cancelled."""
    return set(session.scalars(select(Submission.id).where(Submission.id.in_(submission_ids), ended_badly())))


def statuses(session: Session, experiment_id: int) -> set[str]:
    """Of the experiment's runs; none where it was trained elsewhere."""
    query = select(Run.status).join(ExperimentRun, ExperimentRun.run_id == Run.id).where(Run.kind != "elsewhere")
    return set(session.scalars(query.where(ExperimentRun.experiment_id == experiment_id)))


def score(session: Session, score_id: int) -> Score | None:
    """The score of this id."""
    return session.get(Score, score_id)


def online_scores(session: Session, experiment_id: int, metric: str) -> Sequence[Score]:
    """What the contest said of it, oldest first; corrected ones, too."""
    query = select(Score).where(Score.experiment_id == experiment_id, Score.split == "online", Score.metric == metric)
    return session.scalars(query.order_by(Score.id)).all()


def scores_of(session: Session, submission_ids: Sequence[int]) -> dict[int, list[Score]]:
    """By submission: what it got, oldest first; corrected ones, too."""
    found: dict[int, list[Score]] = {}
    for row in session.scalars(select(Score).where(Score.submission_id.in_(submission_ids)).order_by(Score.id)):
        found.setdefault(row.submission_id or 0, []).append(row)
    return found


def scored(session: Session, submission_id: int) -> bool:
    """Whether it has a score that counts."""
    return bool(session.scalar(select(exists().where(Score.submission_id == submission_id, Score.counts))))


def removed(session: Session, ids: Sequence[int]) -> dict[int, RemovedExperiment]:
    """What is left of these experiments."""
    return {row.id: row for row in session.scalars(select(RemovedExperiment).where(RemovedExperiment.id.in_(ids)))}


def names(session: Session, contest_id: int) -> dict[int, str]:
    """Of every experiment of the contest."""
    query = select(Experiment.id, Experiment.name).where(Experiment.contest_id == contest_id).order_by(Experiment.id)
    return {row.id: row.name for row in session.execute(query)}


def names_of(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """Of these experiments."""
    query = select(Experiment.id, Experiment.name).where(Experiment.id.in_(ids))
    return {row.id: row.name for row in session.execute(query)}


def named(session: Session, contest_id: int, name: str) -> list[int]:
    """The contest's experiments of exactly this name."""
    query = select(Experiment.id).where(Experiment.contest_id == contest_id, Experiment.name == name)
    return list(session.scalars(query.order_by(Experiment.id)))


def with_hash(session: Session, contest_id: int, begin: str, name: str) -> dict[str, set[int]]:
    """By hash: experiments of the contest that sent or plan a file whose hash begins so, for which such a file was
    made, or whose latest attempts left one under that name."""
    found: dict[str, set[int]] = {}
    for column in (Submission.sha256, Submission.predictions_sha256):
        query = select(column, Submission.experiment_id).where(Submission.contest_id == contest_id)
        query = query.where(Submission.experiment_id.is_not(None), _begins(column, begin))
        _gather(found, session.execute(query))
    files = select(WrittenFile.sha256, WrittenFile.experiment_id).join(
        Experiment, Experiment.id == WrittenFile.experiment_id
    )
    _gather(
        found, session.execute(files.where(Experiment.contest_id == contest_id, _begins(WrittenFile.sha256, begin)))
    )
    made = (
        select(Artifact.sha256, ExperimentRun.experiment_id)
        .join(ExperimentRun, ExperimentRun.run_id == Artifact.run_id)
        .join(Experiment, Experiment.id == ExperimentRun.experiment_id)
        .join(Run, Run.id == Artifact.run_id)
        .join(Attempt, Attempt.id == Artifact.attempt_id)
        .where(Experiment.contest_id == contest_id, Artifact.name == name, Attempt.number == Run.attempt)
    )
    _gather(found, session.execute(made.where(_begins(Artifact.sha256, begin))))
    return found


def written_file(session: Session, experiment_id: int, predictions_sha256: str, form: str) -> WrittenFile | None:
    """What was made of these predictions in the form of this digest."""
    return session.scalar(
        select(WrittenFile).where(
            WrittenFile.experiment_id == experiment_id,
            WrittenFile.predictions_sha256 == predictions_sha256,
            WrittenFile.form == form,
        )
    )


def predictions_of(session: Session, experiment_id: int, sha256: str) -> str:
    """The hash of the predictions that the experiment's file of this hash was made of; empty: nobody knows it."""
    query = select(WrittenFile.predictions_sha256).where(
        WrittenFile.experiment_id == experiment_id, WrittenFile.sha256 == sha256
    )
    return session.scalar(query.order_by(WrittenFile.id.desc()).limit(1)) or ""


def _begins(column: Any, begin: str) -> ColumnElement[bool]:
    equal: ColumnElement[bool] = column == begin
    return equal if len(begin) == 64 else column.startswith(begin, autoescape=True)


def _gather(found: dict[str, set[int]], rows: Any) -> None:
    for sha256, number in rows:
        found.setdefault(sha256, set()).add(number)


def same_file(session: Session, contest_id: int, sha256: str, predictions_sha256: str) -> Sequence[Submission]:
    """What was sent of exactly these bytes, or made of the same predictions, the newest first."""
    parts = [Submission.sha256 == sha256] if sha256 else []
    parts += [Submission.predictions_sha256 == predictions_sha256] if predictions_sha256 else []
    if not parts:
        return []
    query = select(Submission).where(
        Submission.contest_id == contest_id,
        or_(*parts),
        Submission.sent_at.is_not(None),
        Submission.withdrawn_at.is_(None),
    )
    return session.scalars(query.order_by(Submission.id.desc())).all()


def keys_elsewhere(session: Session, contest_id: int, experiment_id: int, key: str) -> list[int]:
    """Other experiments of the contest that have a score under this idempotency key."""
    query = (
        select(Score.experiment_id)
        .join(Experiment, Experiment.id == Score.experiment_id)
        .where(Experiment.contest_id == contest_id, Score.idempotency_key == key, Score.experiment_id != experiment_id)
    )
    return list(session.scalars(query.order_by(Score.experiment_id)))
