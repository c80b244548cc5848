"""Reads of runs, attempts, events, artifacts and workers."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session, aliased

from app.contests.models import ContestFile
from app.db import moment
from app.errors import NotFound
from app.language import gettext as _
from app.runs import access_queries
from app.runs.models import Artifact, Attempt, ExperimentRun, Run, RunEvent, RunNeed, Worker
from ml.contract.events import CHECKPOINT

CHECKPOINTS_KEPT = 2  # of a run: the newest, and the one before should it not do
_IS_CHECKPOINT = Artifact.name.startswith(CHECKPOINT, autoescape=True)


def run(session: Session, run_id: int, *, lock: bool = False) -> Run:
    """The run of this id, locked until the commit if asked (SQLite's writer is alone anyway). Raises NotFound, and
    Forbidden as access.lets does."""
    found = session.get(Run, run_id, with_for_update=lock or None)
    if found is None or not access_queries.lets_run(session, run_id):
        raise NotFound(_("there is no run %(run)s", run=run_id))
    return found


def runs_of(session: Session, experiment_id: int) -> Sequence[Run]:
    """The runs of an experiment, in the order in which they work."""
    query = select(Run).join(ExperimentRun).where(ExperimentRun.experiment_id == experiment_id)
    return session.scalars(query.order_by(Run.id)).all()


def audits_of(session: Session, experiment_id: int) -> list[str]:
    """The verdicts of the leak audits of an experiment's runs, as they stand in the database now."""
    query = select(Run.summary).join(ExperimentRun).where(ExperimentRun.experiment_id == experiment_id)
    return [summary["audited"]["verdict"] for summary in session.scalars(query) if summary and "audited" in summary]


def experiment_ids_of(session: Session, run_id: int) -> list[int]:
    """The experiments that a run works for."""
    query = select(ExperimentRun.experiment_id).where(ExperimentRun.run_id == run_id)
    return list(session.scalars(query.order_by(ExperimentRun.experiment_id)))


def shared_pretrain(session: Session, fingerprint: str, *, lock: bool = False) -> Run | None:
    """A pretrain of this fingerprint that is done or under way: nobody pays for it twice. Locked, it is not removed
    before the commit."""
    query = (
        select(Run)
        .where(
            Run.kind == "pretrain",
            Run.fingerprint == fingerprint,
            # a cancelled one that came to its end before its worker heard of it is as good as any
            or_(
                Run.status == "finished",
                and_(Run.status.in_(("queued", "running")), Run.cancel_requested.is_(False)),
            ),
        )
        .order_by(Run.id)
        .limit(1)
    )
    return session.scalar(query.with_for_update(read=True, key_share=True) if lock else query)


def twins_of(session: Session, run: Run, *statuses: str) -> Sequence[Run]:
    """Other pretrains of the same fingerprint in these states. There is one only where a cancelled one went on to its
    end before its worker heard of it."""
    same = (Run.kind == "pretrain", Run.fingerprint == run.fingerprint, Run.id != run.id, Run.status.in_(statuses))
    return session.scalars(select(Run).where(*same).order_by(Run.id)).all()


def needed_by_others(session: Session, run_id: int, experiment_id: int) -> bool:
    """Whether another experiment still has an unfinished run that waits for this one."""
    link = aliased(ExperimentRun)
    other = aliased(ExperimentRun)
    waiting = (
        select(link.experiment_id)
        .join(other, other.experiment_id == link.experiment_id)
        .join(Run, Run.id == other.run_id)
        .where(
            link.run_id == run_id,
            link.experiment_id != experiment_id,
            Run.id.in_(select(RunNeed.run_id).where(RunNeed.needs_run_id == run_id)),
            Run.status.in_(("queued", "running")),
            Run.cancel_requested.is_(False),
        )
    )
    return bool(session.scalar(select(exists(waiting))))


def waiting_for(session: Session, run_id: int) -> Sequence[Run]:
    """Queued runs that need this one."""
    needs = select(RunNeed.run_id).where(RunNeed.needs_run_id == run_id)
    return session.scalars(select(Run).where(Run.id.in_(needs), Run.status == "queued").order_by(Run.id)).all()


def needs_of(session: Session, run_id: int) -> list[tuple[RunNeed, Run]]:
    """What a run needs, in order, with the runs it needs it of."""
    query = select(RunNeed, Run).join(Run, Run.id == RunNeed.needs_run_id).where(RunNeed.run_id == run_id)
    return [(need, run) for need, run in session.execute(query.order_by(RunNeed.position, RunNeed.needs_run_id))]


def unmet_needs(session: Session, run_id: int) -> list[Run]:
    """Runs that this one waits for."""
    return [needed for _, needed in needs_of(session, run_id) if needed.status != "finished"]


def final_run(session: Session, experiment_id: int, *, lock: bool = False) -> Run | None:
    """The run whose predictions are the experiment's: its blend, or its only finetune. Locked, it is not removed before
    the commit."""
    query = select(Run).join(ExperimentRun).where(ExperimentRun.experiment_id == experiment_id, Run.kind != "pretrain")
    query = query.order_by(Run.id.desc()).limit(1)
    return session.scalar(query.with_for_update(read=True, key_share=True, of=Run) if lock else query)


def current_attempt(session: Session, run: Run) -> Attempt | None:
    """The attempt that holds the run, or the last one that did."""
    return session.scalar(select(Attempt).where(Attempt.run_id == run.id, Attempt.number == run.attempt))


def attempts_of(session: Session, run_id: int) -> Sequence[Attempt]:
    """Every attempt at a run, first to last."""
    return session.scalars(select(Attempt).where(Attempt.run_id == run_id).order_by(Attempt.number)).all()


def attempt_by_token(session: Session, digest: str) -> Attempt | None:
    """The attempt of this token's digest."""
    return session.scalar(select(Attempt).where(Attempt.token_digest == digest))


def open_attempts(
    session: Session, *, worker: str | None = None, expired_at: datetime | None = None
) -> Sequence[Attempt]:
    """Attempts that hold a run: those of one worker, or those whose lease ended before a moment."""
    query = select(Attempt).where(Attempt.outcome == "").order_by(Attempt.id)
    if worker is not None:
        query = query.where(Attempt.worker == worker)
    if expired_at is not None:
        query = query.where(Attempt.lease_until < expired_at)
    return session.scalars(query).all()


def lost_attempts(session: Session, run: Run) -> int:
    """How often a run lost its worker since it was last queued by a person."""
    query = select(func.count()).select_from(Attempt).where(Attempt.run_id == run.id, Attempt.outcome == "lost")
    return session.scalar(query.where(Attempt.number > run.tries_from)) or 0


def held_without_events(session: Session, worker: str, boot_id: str) -> Attempt | None:
    """An attempt of this worker that never said a word: the answer to its claim may have got lost."""
    query = select(Attempt).where(Attempt.worker == worker, Attempt.boot_id == boot_id, Attempt.outcome == "")
    return session.scalar(query.where(Attempt.stored_events == 0).order_by(Attempt.id).limit(1))


def last_words(session: Session, attempt: Attempt, limit: int) -> str:
    """The last events of an attempt as lines, for a person who looks for what killed it."""
    events = events_of(session, [attempt.id], limit=limit)
    lines = [f"#{event.number} {json.dumps(event.body, ensure_ascii=False)[:500]}" for event in events]
    return "\n".join([f"the last {len(lines)} events of attempt {attempt.number}:", *lines]) if lines else ""


def events_of(
    session: Session, attempt_ids: Sequence[int], *, limit: int, types: Sequence[str] = ()
) -> Sequence[RunEvent]:
    """The latest `limit` events of these attempts, in the order in which they were sent."""
    query = select(RunEvent).where(RunEvent.attempt_id.in_(attempt_ids))
    if types:
        query = query.where(RunEvent.type.in_(types))
    newest = session.scalars(query.order_by(RunEvent.attempt_id.desc(), RunEvent.number.desc()).limit(limit)).all()
    return list(reversed(newest))


def artifacts_of(session: Session, run: Run) -> Sequence[Artifact]:
    """The files of the run's latest attempt, by name; checkpoints are not among them."""
    query = select(Artifact).join(Attempt, Attempt.id == Artifact.attempt_id)
    query = query.where(Artifact.run_id == run.id, Attempt.number == run.attempt, ~_IS_CHECKPOINT)
    return session.scalars(query.order_by(Artifact.name)).all()


def checkpoints_of(session: Session, run_id: int) -> Sequence[Artifact]:
    """What a run can go on from, the newest first: the last states that its attempts sent."""
    query = select(Artifact).where(Artifact.run_id == run_id, _IS_CHECKPOINT).order_by(Artifact.id.desc())
    return session.scalars(query.limit(CHECKPOINTS_KEPT)).all()


def needless_checkpoints(session: Session) -> list[Artifact]:
    """Checkpoints of runs that ended, and of the others all that newer ones followed."""
    query = select(Artifact, Run.status).join(Run, Run.id == Artifact.run_id).where(_IS_CHECKPOINT)
    seen: Counter[int] = Counter()
    needless = []
    for artifact, status in session.execute(query.order_by(Artifact.id.desc())):
        seen[artifact.run_id] += 1
        if status not in ("queued", "running") or seen[artifact.run_id] > CHECKPOINTS_KEPT:
            needless.append(artifact)
    return needless


def is_artifact(session: Session, sha256: str) -> bool:
    """Whether a run made these bytes."""
    return bool(session.scalar(select(exists().where(Artifact.sha256 == sha256))))


def is_named(session: Session, sha256: str) -> bool:
    """Whether any row names these bytes."""
    rows = (exists().where(Artifact.sha256 == sha256), exists().where(ContestFile.sha256 == sha256))
    return bool(session.scalar(select(or_(*rows))))


def named_beside(session: Session, sha256: str, artifact_ids: set[int]) -> bool:
    """Whether a row other than these artifacts names the bytes, which are stored once."""
    rows = session.scalars(select(Artifact.id).where(Artifact.sha256 == sha256))
    if any(row not in artifact_ids for row in rows):
        return True
    return bool(session.scalar(select(exists().where(ContestFile.sha256 == sha256))))


def stored_hashes(session: Session) -> set[str]:
    """Of every file that a row names: uploads, and what runs made."""
    return {*session.scalars(select(Artifact.sha256)), *session.scalars(select(ContestFile.sha256))}


def attempt_artifact(session: Session, attempt_id: int, name: str) -> Artifact | None:
    """The file that an attempt sent under this name."""
    return session.scalar(select(Artifact).where(Artifact.attempt_id == attempt_id, Artifact.name == name))


def worker(session: Session, name: str) -> Worker | None:
    """The worker of this name, if it ever reported."""
    return session.get(Worker, name)


def workers_seen(session: Session, within: timedelta) -> Sequence[Worker]:
    """Workers that reported themselves within that time, by name."""
    seen = Worker.last_seen_at >= moment(session, within)
    return session.scalars(select(Worker).where(seen).order_by(Worker.name)).all()


def workers(session: Session) -> Sequence[Worker]:
    """Every worker that ever reported, by name."""
    return session.scalars(select(Worker).order_by(Worker.name)).all()
