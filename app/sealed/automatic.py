"""The worker's test predictions get their online score without a person: called again and again by scorer.py.

Whatever finished is found in the rows, however the app was stopped meanwhile, and each run is scored once.
"""

import logging
from pathlib import Path

from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.db import Database, clock
from app.errors import AppError
from app.experiments.models import Experiment
from app.runs import queries as run_queries
from app.runs.models import Run
from app.sealed import queries
from app.sealed.answers import Scored
from app.sealed.models import SealedAnswers, SealedUpload
from app.sealed.receiving import Task, add_scored, scored_by
from app.sealed.terms import day_of
from app.storage import Storage
from app.submissions.format import SubmissionFormat
from app.submissions.malformed import Malformed
from app.submissions.reading import read_predictions
from app.submissions.stored import PREDICTIONS_OF_TEST

log = logging.getLogger(__name__)
#: looks for so many at once, that a sweep is short; the next one goes on
AT_ONCE = 20


def score_finished(database: Database, storage: Storage, folder: Path) -> int:
    """Score what has finished and has no score yet; how many there were."""
    with database.reading() as session:
        found = [
            (answers, experiment, run)
            for answers in queries.all_sealed(session)
            for experiment, run in _due(session, answers)
        ]
    for answers, experiment, run in found:
        _score(database, storage, folder, answers, experiment, run)
    return len(found)


def stand(session: Session) -> tuple[object, ...]:
    """What can make something due. While it is the same, a look that found nothing need not be taken again; it costs
    a fraction of one, where there are thousands of experiments."""
    now, rules = clock(session), []
    for answers in queries.all_sealed(session):
        is_open = answers.opens_at is None or now >= answers.opens_at
        rules.append((answers.id, answers.runs_a_day, answers.closes_at, is_open, day_of(now, answers.time_zone)))
    return (*queries.finished_counts(session), *rules) if rules else ()


def _due(session: Session, answers: SealedAnswers) -> list[tuple[Experiment, Run]]:
    """What the day still allows, the earliest finished first."""
    now = clock(session)
    if answers.opens_at is not None and now < answers.opens_at:
        return []
    left = runs_left(session, answers)
    return list(queries.runs_to_score(session, answers, min(left, AT_ONCE))) if left else []


def runs_left(session: Session, answers: SealedAnswers) -> int:
    """How many more are scored before the next day begins."""
    day = day_of(clock(session), answers.time_zone)
    return max(0, answers.runs_a_day - queries.scored_count(session, answers.id, "run", day.begins, day.next_begins))


def _score(
    database: Database, storage: Storage, folder: Path, answers: SealedAnswers, experiment: Experiment, run: Run
) -> None:
    with database.reading() as session:
        contest = contest_queries.contest_by_id(session, answers.contest_id)
        files = {item.name: item for item in run_queries.artifacts_of(session, run)}
    artifact, task = files.get(PREDICTIONS_OF_TEST), Task(answers, contest.metric)
    row = SealedUpload(kind="run", file_name=PREDICTIONS_OF_TEST, sha256="", size=0, run_id=run.id)
    row.experiment_id, row.made_by = experiment.id, experiment.made_by or "local"
    scored, remarks, wrong = None, "", f"run {run.id} left no {PREDICTIONS_OF_TEST}"
    if artifact is not None:
        row.sha256, row.size = artifact.sha256, artifact.size
        try:
            scored, remarks = _of_file(storage.path(artifact.sha256), folder, task)
        except (Malformed, OSError) as error:
            wrong = str(error)
        except AppError as error:  # the answers: it is not the run's fault, and they may come back
            log.error("run %s is not scored yet: %s", run.id, error.message, extra={"run": run.id})
            return
    _write(database, row, answers, scored, remarks, wrong)


def _of_file(path: Path, folder: Path, task: Task) -> tuple[Scored, str]:
    with path.open("rb") as file:
        read = read_predictions(file, PREDICTIONS_OF_TEST, SubmissionFormat(), task.sealed.rows)
    return scored_by(folder, task, read.values), "\n".join(read.remarks)


def _write(
    database: Database, row: SealedUpload, answers: SealedAnswers, scored: Scored | None, remarks: str, wrong: str
) -> None:
    """Unless another process was faster, or the day is used up by now."""
    with database.writing() as session:
        sealed = queries.locked(session, answers.id)
        if sealed is None or queries.upload_of_run(session, row.run_id or 0) is not None:
            return
        if session.get(Experiment, row.experiment_id) is None:
            return  # removed for good meanwhile
        row.sealed_id, row.sent_at = sealed.id, clock(session)
        if scored is None:
            row.status, row.fault, row.message = "refused", "run", wrong
            session.add(row)
        elif runs_left(session, sealed):
            add_scored(session, row, scored, remarks)
            log.info("scored %s by sealed answers", scored.public, extra={"run": row.run_id})
