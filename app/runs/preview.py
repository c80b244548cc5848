"""What queueing an experiment would do, before it is queued: already run, a pretrain that exists, time and memory.

It is really queued, by the very code, and then undone: so the preview can't say anything else than what comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.experiments import queries as experiment_queries
from app.experiments import service as experiments
from app.runs import graph, queries, queue_queries, waiting
from app.runs.models import Run
from app.runs.placement import Placement


@dataclass(frozen=True)
class SharedPretrain:
    """A pretrain that the experiment would share. `saved_seconds` of work: None where nothing like it was measured."""

    run_id: int
    status: str
    experiment_ids: list[int]
    saved_seconds: float | None


@dataclass(frozen=True)
class Preview:
    """`same_as`: experiments that asked for exactly this. `seconds` of workers for the `new_runs`, as far as runs like
    them were measured; `unmeasured` of them are not in it. `memory_bytes`: the most that one like them took."""

    fingerprint: str
    same_as: list[int]
    shared: SharedPretrain | None
    new_runs: int
    seconds: float
    unmeasured: int
    memory_bytes: int | None
    marks: dict[str, Any]


def preview(session: Session, contest: Contest, placement: Placement | None = None, **asked: Any) -> Preview:
    """`asked`: as experiments.service.create takes it. Raises Refused as queueing it would. Needs a writing session, in
    which it leaves nothing."""
    undo = session.begin_nested()
    try:
        experiment = experiments.create(session, contest, **asked)
        runs = graph.make_runs(session, experiment, placement or Placement())
        known = queries.experiment_ids_of_many(session, [run.id for run in runs])
        shared = [run for run in runs if known[run.id] != [experiment.id]]
        new = [run for run in runs if run not in shared]
        takes = waiting.durations(session, new)
        same = experiment_queries.same_fingerprint(session, contest.id, experiment.fingerprint or "")
        return Preview(
            fingerprint=experiment.fingerprint or "",
            same_as=[number for number in same if number != experiment.id],
            shared=_shared(session, shared, known, experiment.id),
            new_runs=len(new),
            seconds=sum(takes.values()),
            unmeasured=sum(run.id not in takes and run.kind != "blend" for run in new),
            memory_bytes=queue_queries.most_memory(session, {run.likeness for run in runs}),
            marks=dict(experiment.marks),
        )
    finally:
        undo.rollback()


def _shared(session: Session, shared: Sequence[Run], known: dict[int, list[int]], own: int) -> SharedPretrain | None:
    if not shared:
        return None
    run = shared[0]
    seconds = waiting.durations(session, [run]).get(run.id)
    if run.status == "finished" and run.started_at and run.ended_at:
        seconds = (run.ended_at - run.started_at).total_seconds()
    return SharedPretrain(run.id, run.status, [item for item in known[run.id] if item != own], seconds)
