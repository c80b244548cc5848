"""What queueing an experiment would do, before it is queued: already run, a pretrain that exists, time and memory."""

from dataclasses import dataclass
from statistics import median
from typing import Any, Unpack

from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.experiments import queries as experiment_queries
from app.experiments import service as experiments
from app.runs import graph, queries, queue_queries, waiting
from app.runs.models import Run
from app.runs.placement import likeness_of, passes_of
from ml.contract.experiment import upgrade


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


def preview(session: Session, contest: Contest, **asked: Unpack[experiments.Asked]) -> Preview:
    """`asked`: as experiments.service.create takes it. Raises Refused as queueing it would; adds nothing."""
    experiment = experiments.prepared(session, contest, **asked)
    shared, new = graph.foreseen(session, experiment)
    config = upgrade(experiment.config or {})
    files = (experiment.train_file_id, experiment.test_file_id, experiment.unlabelled_file_id)
    alike = {kind: likeness_of(config, kind, files) for kind in dict.fromkeys(new)}
    measured = queue_queries.seconds_a_pass(session, set(alike.values()), waiting.NEWEST)
    takes = {kind: median(measured[key]) * passes_of(config, kind) for kind, key in alike.items() if key in measured}
    likenesses = {*alike.values(), *([shared.likeness] if shared else [])}
    fingerprint = experiment.fingerprint or ""
    return Preview(
        fingerprint=fingerprint,
        same_as=experiment_queries.same_fingerprint(session, contest.id, fingerprint),
        shared=_shared(session, shared) if shared else None,
        new_runs=len(new),
        seconds=sum(takes.get(kind, 0) for kind in new),
        unmeasured=sum(kind not in takes and kind != "blend" for kind in new),
        memory_bytes=queue_queries.most_memory(session, likenesses),
        marks=dict(experiment.marks),
    )


def _shared(session: Session, run: Run) -> SharedPretrain:
    seconds = waiting.durations(session, [run]).get(run.id)
    if run.status == "finished" and run.started_at and run.ended_at:
        seconds = (run.ended_at - run.started_at).total_seconds()
    return SharedPretrain(run.id, run.status, queries.experiment_ids_of(session, run.id), seconds)
