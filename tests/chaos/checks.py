"""What must hold after any history of faults, read from the database and the files. Each finding is a line of text."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.runs.models import Artifact, Attempt, ExperimentRun, Run, RunEvent
from app.storage import Storage
from tests.chaos.score_checks import Sent, leaderboard_tells_all, scores_stand_once

#: how a run may end as failed in a world where disks fill up; anything else is a finding
MAY_FAIL = ("disk", "No space left", "was lost", "database or disk is full")


def violations(session: Session, storage: Storage, sent: Sent, made: Iterable[int]) -> list[str]:
    """All findings. `made`: ids of experiments that were taken with a 2xx."""
    return [
        *experiments_are_there(session, made),
        *every_run_ended(session),
        *attempts_follow_each_other(session),
        *events_have_no_gap(session),
        *steps_rise(session),
        *scores_stand_once(session, sent),
        *leaderboard_tells_all(session, sent),
        *artifacts_are_whole(session, storage),
        *nothing_was_paid_twice(session),
    ]


def experiments_are_there(session: Session, made: Iterable[int]) -> Iterator[str]:
    """What was taken is kept, with at least one run."""
    known = set(session.scalars(select(ExperimentRun.experiment_id)))
    for number in set(made) - known:
        yield f"experiment {number} was taken and is gone, or has no run"


def every_run_ended(session: Session) -> Iterator[str]:
    """And failed only for what the bench did to it."""
    for run in session.scalars(select(Run).order_by(Run.id)):
        if run.status in {"queued", "running"}:
            yield f"run {run.id} is still {run.status}: {run.reason}"
        if run.status == "failed" and not any(text in run.reason + run.detail for text in MAY_FAIL):
            yield f"run {run.id} failed: {run.reason} {run.detail[-1500:]}"
        if run.status != "running" and run.ended_at is None and run.status != "queued":
            yield f"run {run.id} is {run.status} but has no end"


def attempts_follow_each_other(session: Session) -> Iterator[str]:
    """One holds the run at a time; what it wrote, it wrote while it held it."""
    before: Attempt | None = None
    for attempt in session.scalars(select(Attempt).order_by(Attempt.run_id, Attempt.number)):
        name = f"attempt {attempt.number} of run {attempt.run_id}"
        if attempt.outcome == "" or attempt.ended_at is None:
            yield f"{name} never ended"
        if before is not None and before.run_id == attempt.run_id:
            if attempt.number != before.number + 1:
                yield f"{name} follows number {before.number}"
            if before.ended_at is not None and before.ended_at > attempt.claimed_at:
                yield f"{name} began before the one before had ended"
        before = attempt
    late = select(RunEvent.attempt_id, RunEvent.number).join(Attempt, Attempt.id == RunEvent.attempt_id)
    for attempt_id, number in session.execute(late.where(RunEvent.received_at > Attempt.ended_at)):
        yield f"event {number} of attempt row {attempt_id} came after its end"
    files = select(Artifact.name, Attempt.id).join(Attempt, Attempt.id == Artifact.attempt_id)
    for name, attempt_id in session.execute(files.where(Artifact.created_at > Attempt.ended_at)):
        yield f"file {name} of attempt row {attempt_id} came after its end"
    finished = select(Run.id, Attempt.outcome, Attempt.number).join(
        Attempt, (Attempt.run_id == Run.id) & (Attempt.number == Run.attempt)
    )
    for run_id, outcome, number in session.execute(finished.where(Run.status == "finished")):
        if outcome != "finished":
            yield f"run {run_id} finished, but its attempt {number} is {outcome}"


def events_have_no_gap(session: Session) -> Iterator[str]:
    """Numbered from 1 on, each once, as many as the attempt counts."""
    numbers: dict[int, list[int]] = {}
    for attempt_id, number in session.execute(select(RunEvent.attempt_id, RunEvent.number)):
        numbers.setdefault(attempt_id, []).append(number)
    for attempt in session.scalars(select(Attempt)):
        found = sorted(numbers.get(attempt.id, []))
        if found != list(range(1, attempt.stored_events + 1)):
            yield f"attempt {attempt.number} of run {attempt.run_id} counts {attempt.stored_events}, has {found[:9]}..."


def steps_rise(session: Session) -> Iterator[str]:
    """Within an attempt the curve goes on, from where it was taken up."""
    query = select(RunEvent).where(RunEvent.type.in_(("progress", "resumed")))
    last: dict[int, int] = {}
    for event in session.scalars(query.order_by(RunEvent.attempt_id, RunEvent.number)):
        step = int(event.body["step"])
        before = last.get(event.attempt_id, 0)
        if step <= before and not (event.type == "progress" and step == before == event.body["total_steps"]):
            yield f"attempt row {event.attempt_id} tells step {step} after step {before}"
        last[event.attempt_id] = step


def artifacts_are_whole(session: Session, storage: Storage) -> Iterator[str]:
    """The bytes of every file of a finished run are what their hash says."""
    query = select(Artifact).join(Run, Run.id == Artifact.run_id).join(Attempt, Attempt.id == Artifact.attempt_id)
    seen: set[str] = set()
    for artifact in session.scalars(query.where(Run.status == "finished", Attempt.number == Run.attempt)):
        if artifact.sha256 in seen:
            continue
        seen.add(artifact.sha256)
        path = storage.path(artifact.sha256)
        if not path.is_file():
            if not artifact.name.startswith("checkpoint-"):
                yield f"{artifact.name} of run {artifact.run_id} is gone"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != artifact.sha256:
            yield f"{artifact.name} of run {artifact.run_id} is not what its hash says"
    runs = select(Run.id).where(Run.status == "finished", Run.kind == "finetune")
    named = select(Artifact.run_id).where(Artifact.name == "model.safetensors")
    for run_id in session.scalars(runs.where(Run.id.not_in(named))):
        yield f"run {run_id} finished without a model"


def nothing_was_paid_twice(session: Session) -> Iterator[str]:
    """A pretrain of one fingerprint ends well once."""
    done = Counter(session.scalars(select(Run.fingerprint).where(Run.kind == "pretrain", Run.status == "finished")))
    for fingerprint, count in done.items():
        if count > 1:
            yield f"pretrain {fingerprint[:12]} was trained {count} times"


def left_over(folder: Path) -> Iterator[str]:
    """Processes of the bench that outlived it."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "environ").read_bytes()
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if str(folder).encode() in line and state != "Z":
            yield f"process {entry.name} is left: {(entry / 'cmdline').read_bytes()[:200]!r}"
