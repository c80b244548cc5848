"""Puts down the hash of each file that was made for the contest, so that a score which comes by that hash finds its
experiment, even when the contest's form has changed since.

`keep` is for whoever writes anyway; `remember` has a transaction of its own, after an answer has left: of a download, a
check, a page that shows the hash, and when a run has finished.
"""

import logging

from sqlalchemy.orm import Session

from app.db import Database, clock
from app.errors import AppError, NotFound
from app.experiments import queries as experiment_queries
from app.runs import queries as run_queries
from app.storage import Storage
from app.submissions import files, queries
from app.submissions.files import FileToSend
from app.submissions.models import WrittenFile

log = logging.getLogger(__name__)


def keep(session: Session, experiment_id: int, file: FileToSend) -> None:
    """Once, however often it is made. Raises NotFound when the experiment was removed for good meanwhile."""
    _keep(session, experiment_id, file, files.form_digest(file.form))


def keep_uploaded(session: Session, experiment_id: int, file: FileToSend) -> None:
    """A file that a person made of the experiment's predictions: several may be, so each is a form of its own."""
    if file.predictions_sha256:
        _keep(session, experiment_id, file, file.sha256)


def _keep(session: Session, experiment_id: int, file: FileToSend, form: str) -> None:
    # two at once: the second waits, and finds what the first wrote
    queries.lock_experiment(session, experiment_queries.experiment(session, experiment_id))
    if queries.written_file(session, experiment_id, file.predictions_sha256, form) is not None:
        return
    row = WrittenFile(experiment_id=experiment_id, predictions_sha256=file.predictions_sha256, form=form)
    row.sha256, row.size, row.created_at = file.sha256, file.size, clock(session)
    session.add(row)
    session.flush()


def remember(database: Database, storage: Storage, experiment_id: int) -> None:
    """The experiment's file in the contest's form of now, if it has one."""
    try:
        with database.reading() as session:
            experiment = experiment_queries.experiment(session, experiment_id)
            told = files.told_of(session, storage, experiment)
            if told is not None and told.kept:
                return
            file = files.file_of(session, storage, experiment)
        with database.writing() as session:
            keep(session, experiment_id, file)
    except NotFound:  # it has no predictions, or is gone
        return
    except (AppError, OSError) as error:
        log.warning("the file of experiment %s for its contest can't be made: %s", experiment_id, error)


def remember_run(database: Database, storage: Storage, run_id: int) -> None:
    """A run has finished: the files of the experiments that it speaks for."""
    with database.reading() as session:
        final = [
            number
            for number in run_queries.experiment_ids_of(session, run_id)
            if (run := run_queries.final_run(session, number)) is not None and run.id == run_id
        ]
    for number in final:
        remember(database, storage, number)
