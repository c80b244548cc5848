"""Reads of sealed contests and of what was sent in to them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.contests.models import Contest
from app.errors import NotFound
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs.models import ExperimentRun, Run
from app.sealed.models import SealedAnswers, SealedUpload


def find_sealed(session: Session, contest_id: int) -> SealedAnswers | None:
    """The contest's sealed answers, if it has any."""
    return session.scalar(select(SealedAnswers).where(SealedAnswers.contest_id == contest_id))


def sealed(session: Session, contest: Contest) -> SealedAnswers:
    """The same. Raises NotFound."""
    found = find_sealed(session, contest.id)
    if found is None:
        raise NotFound(_("contest %(slug)s has no sealed answers: nothing is scored here", slug=repr(contest.slug)))
    return found


def all_sealed(session: Session) -> Sequence[SealedAnswers]:
    """Of every contest."""
    return session.scalars(select(SealedAnswers).order_by(SealedAnswers.id)).all()


def locked(session: Session, sealed_id: int) -> SealedAnswers | None:
    """Waits until nobody else holds it, and holds it until the commit; read anew. None: it was taken away."""
    query = select(SealedAnswers).where(SealedAnswers.id == sealed_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def scored_count(
    session: Session, sealed_id: int, kind: str, begins: datetime, ends: datetime, made_by: str | None = None
) -> int:
    """How many were scored between two moments: of one member, or of all."""
    query = select(func.count()).where(
        SealedUpload.sealed_id == sealed_id,
        SealedUpload.kind == kind,
        SealedUpload.status == "scored",
        SealedUpload.sent_at >= begins,
        SealedUpload.sent_at < ends,
    )
    if made_by is not None:
        query = query.where(SealedUpload.made_by == made_by)
    return session.scalar(query) or 0


def any_scored(session: Session, sealed_id: int) -> bool:
    """Whether anything was."""
    query = select(SealedUpload.id).where(SealedUpload.sealed_id == sealed_id, SealedUpload.status == "scored")
    return session.scalar(query.limit(1)) is not None


def same_upload(
    session: Session, sealed_id: int, made_by: str, sha256: str, experiment_id: int | None
) -> SealedUpload | None:
    """The very file, sent and scored before for the same."""
    query = select(SealedUpload).where(
        SealedUpload.sealed_id == sealed_id,
        SealedUpload.kind == "upload",
        SealedUpload.status == "scored",
        SealedUpload.made_by == made_by,
        SealedUpload.sha256 == sha256,
        SealedUpload.experiment_id == experiment_id
        if experiment_id is not None
        else SealedUpload.experiment_id.is_(None),
    )
    return session.scalar(query.order_by(SealedUpload.id).limit(1))


def same_bytes(session: Session, sealed_id: int, sha256: str) -> Sequence[SealedUpload]:
    """What was scored of exactly these bytes, whoever sent them, the newest first."""
    query = select(SealedUpload).where(
        SealedUpload.sealed_id == sealed_id,
        SealedUpload.kind == "upload",
        SealedUpload.status == "scored",
        SealedUpload.sha256 == sha256,
    )
    return session.scalars(query.order_by(SealedUpload.id.desc())).all()


def uploads(
    session: Session, sealed_id: int, made_by: str | None, *, limit: int, offset: int = 0
) -> Sequence[SealedUpload]:
    """What came in, the newest first: of one member, or of all."""
    query = select(SealedUpload).where(SealedUpload.sealed_id == sealed_id)
    if made_by is not None:
        query = query.where(SealedUpload.made_by == made_by)
    return session.scalars(query.order_by(SealedUpload.id.desc()).limit(limit).offset(offset)).all()


def upload_count(session: Session, sealed_id: int, made_by: str | None) -> int:
    """How many these are."""
    query = select(func.count()).where(SealedUpload.sealed_id == sealed_id)
    return session.scalar(query.where(SealedUpload.made_by == made_by) if made_by is not None else query) or 0


def scored(session: Session, sealed_id: int) -> Sequence[SealedUpload]:
    """Everything that has a score, the earliest first."""
    query = select(SealedUpload).where(SealedUpload.sealed_id == sealed_id, SealedUpload.status == "scored")
    return session.scalars(query.order_by(SealedUpload.id)).all()


def experiment_names(session: Session, ids: Sequence[int]) -> dict[int, str]:
    """Of those that still are."""
    return {row.id: row.name for row in session.scalars(select(Experiment).where(Experiment.id.in_(ids)))}


def upload_of_run(session: Session, run_id: int) -> SealedUpload | None:
    """What a run's predictions were scored as."""
    return session.scalar(select(SealedUpload).where(SealedUpload.run_id == run_id))


def runs_to_score(session: Session, answers: SealedAnswers, limit: int) -> Sequence[tuple[Experiment, Run]]:
    """Finished experiments of the contest on the sealed test file that have no score yet, by the run that speaks for
    each; those that finished after the closing have come too late."""
    pairs = session.execute(_unscored(answers).order_by(Run.id).limit(limit)).all()
    return [(session.get_one(Experiment, experiment), session.get_one(Run, run)) for experiment, run in pairs]


def count_runs_to_score(session: Session, answers: SealedAnswers) -> int:
    """How many these are."""
    return session.scalar(select(func.count()).select_from(_unscored(answers).subquery())) or 0


def _unscored(answers: SealedAnswers) -> Select[Any]:
    """Ids of experiments and runs. An experiment's last run, found by its key, speaks for it. What somebody brought of
    a training elsewhere is none: or a member could send more than a day's files."""
    link, own = aliased(ExperimentRun), aliased(Run)
    last = (
        select(func.max(link.run_id))
        .join(own, own.id == link.run_id)
        .where(link.experiment_id == Experiment.id, own.kind != "pretrain")
        .scalar_subquery()
    )
    of_contest = (
        select(Experiment.id, last.label("run_id"))
        .where(Experiment.contest_id == answers.contest_id, Experiment.test_file_id == answers.test_file_id)
        .cte("spoken")
    )
    query = (
        select(of_contest.c.id, of_contest.c.run_id)
        .join(Run, Run.id == of_contest.c.run_id)
        .where(
            Run.status == "finished",
            Run.kind != "elsewhere",
            ~exists().where(SealedUpload.run_id == of_contest.c.run_id),
        )
    )
    if answers.closes_at is not None:
        query = query.where(or_(Run.ended_at.is_(None), Run.ended_at <= answers.closes_at))
    return query


def finished_counts(session: Session) -> tuple[int, int]:
    """How many trainings and blends have finished: read from an index alone, to tell whether to look closer."""
    counts = [
        session.scalar(select(func.count()).where(Run.status == "finished", Run.kind == kind)) or 0
        for kind in ("finetune", "blend")
    ]
    return counts[0], counts[1]
