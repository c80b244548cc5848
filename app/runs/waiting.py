"""Why each queued run waits, its position, and when it is likely to start. Called by pages and the queue's API.

The forecast hands the runs out one by one in the queue's order, as workers do, each to the one that is free first; how
long a run takes is the median of what runs like it took a pass of their data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from sqlalchemy.orm import Session

from app.db import clock
from app.language import gettext as _
from app.language import ngettext
from app.runs import queries, queue_queries
from app.runs.models import PausedQueue, Run, Worker
from app.runs.worker_service import WORKER_AWAY
from ml.contract.hardware import WorkerMachine

NEWEST = 20  # runs of a likeness that its speed is measured from
_Needs = Mapping[int, Sequence[tuple[int, str, str]]]


@dataclass(frozen=True)
class Waiting:
    """A queued run: place 1 goes first in its queue. `starts_in`: seconds, None when nobody can say."""

    run: Run
    position: int
    reason: str
    starts_in: float | None
    takes: float | None


@dataclass(frozen=True)
class Line:
    """Everything that waits and works at one moment. `left`: seconds a running run is likely to need yet."""

    now: datetime
    waiting: list[Waiting]
    running: Sequence[Run]
    left: dict[int, float]
    workers: Sequence[Worker]
    paused: dict[str, PausedQueue]

    def of(self, run_id: int) -> Waiting | None:
        """The entry of a run, if it waits."""
        return next((item for item in self.waiting if item.run.id == run_id), None)


def line(session: Session) -> Line:
    """Look at the whole queue once."""
    now = clock(session)
    queued = list(session.scalars(queue_queries.in_order().options(*queue_queries.LIGHT)))
    running = queue_queries.running_runs(session)
    workers = queries.workers_seen(session, WORKER_AWAY)
    paused = queue_queries.paused_queues(session)
    needs = queue_queries.needs_of_queued(session)
    takes = durations(session, [*queued, *running])
    left = {run.id: seconds for run in running if (seconds := _left(run, takes, now)) is not None}
    starts = _forecast(queued, workers, paused, needs, takes, left, now)
    positions: dict[str, int] = {}
    waiting = []
    for run in queued:
        position = positions[run.queue] = positions.get(run.queue, 0) + 1
        reason = _reason(run, position, workers, paused.get(run.queue), needs.get(run.id, ()), now)
        waiting.append(Waiting(run, position, reason, starts.get(run.id), takes.get(run.id)))
    return Line(now, waiting, running, left, workers, paused)


def durations(session: Session, runs: Sequence[Run]) -> dict[int, float]:
    """Seconds that each run takes from start to end, where runs like it were measured."""
    measured = queue_queries.seconds_a_pass(session, {run.likeness for run in runs}, NEWEST)
    return {run.id: median(measured[run.likeness]) * run.passes for run in runs if run.likeness in measured}


def _left(run: Run, takes: Mapping[int, float], now: datetime) -> float | None:
    """What measured runs say, and without them what its own progress says of the stage it is in."""
    if run.id in takes and run.started_at is not None:
        return max(0.0, takes[run.id] - (now - run.started_at).total_seconds())
    return float(run.progress["seconds_left"]) if run.progress else None


def serves(worker: Worker, run: Run) -> bool:
    """Whether the worker would take such a run at all."""
    return run.queue in worker.queues and (run.gpu_memory_gb or 0) <= memory_gb(worker)


def memory_gb(worker: Worker) -> float:
    """Of its largest card."""
    return WorkerMachine.model_validate(worker.machine).gpu_memory_gb if worker.machine else 0.0


def _forecast(
    queued: Sequence[Run],
    workers: Sequence[Worker],
    paused: Mapping[str, PausedQueue],
    needs: _Needs,
    takes: Mapping[int, float],
    left: Mapping[int, float],
    now: datetime,
) -> dict[int, float]:
    """Seconds until each run starts; a run whose start nobody can say is missing, and so is what depends on it."""
    unknown = float("inf")
    free = {
        worker.name: 0.0 if worker.busy_run_id is None else left.get(worker.busy_run_id, unknown)
        for worker in workers
        if not worker.draining
    }
    ends: dict[int, float] = dict(left)
    starts: dict[int, float] = {}
    todo = [run for run in queued if run.queue not in paused]
    while todo:
        # the first in order whose needs have a known end; what waits for a later one comes in another round
        run = next((item for item in todo if all(need[0] in ends for need in needs.get(item.id, ()))), None)
        if run is None:
            break
        todo.remove(run)
        ready = max((ends[need[0]] for need in needs.get(run.id, ())), default=0.0)
        if run.not_before is not None:
            ready = max(ready, (run.not_before - now).total_seconds())
        able = [worker.name for worker in workers if worker.name in free and serves(worker, run)]
        name = min(able, key=lambda item: (max(free[item], ready), item), default=None)
        start = unknown if name is None else max(free[name], ready)
        if name is None or start == unknown:
            continue
        starts[run.id] = start
        end = start + takes.get(run.id, unknown)
        free[name] = end
        if end != unknown:
            ends[run.id] = end
    return starts


def _reason(
    run: Run,
    position: int,
    workers: Sequence[Worker],
    paused: PausedQueue | None,
    needs: Sequence[tuple[int, str, str]],
    now: datetime,
) -> str:
    """One sentence in the reader's language: the first thing that would have to change."""
    if paused is not None:
        told = {"queue": run.queue, "who": paused.paused_by, "why": paused.reason}
        if paused.reason:
            return _("queue %(queue)s is paused by %(who)s (%(why)s)", **told)
        return _("queue %(queue)s is paused by %(who)s", **told)
    if needs:
        return _needed(needs)
    if run.not_before is not None and run.not_before > now:
        return _(
            "attempt %(attempt)s of %(most)s failed: %(why)s; the next one is in %(seconds)s s",
            attempt=run.attempt - run.tries_from,
            most=run.max_attempts,
            why=run.reason,
            seconds=round((run.not_before - now).total_seconds()),
        )
    listening = [worker for worker in workers if run.queue in worker.queues]
    if not listening:
        return _nobody(run.queue, workers)
    if all(worker.draining for worker in listening):
        names = ", ".join(worker.name for worker in listening)
        return _("every worker on queue %(queue)s is draining: %(workers)s", queue=run.queue, workers=names)
    able = [worker for worker in listening if not worker.draining and serves(worker, run)]
    if not able:
        return _too_small(run, [worker for worker in listening if not worker.draining])
    if position > 1:
        return ngettext("%(num)d run is ahead of it", "%(num)d runs are ahead of it", position - 1)
    if all(worker.busy_run_id is not None for worker in able):
        return _all_busy(able)
    return _("next: a worker is about to take it")


def _needed(needs: Sequence[tuple[int, str, str]]) -> str:
    number, kind, status = needs[0]
    told = {"kind": _(kind), "run": number, "status": _(status), "more": len(needs) - 1}
    if len(needs) > 1:
        return _("waits for %(kind)s run %(run)s, which is %(status)s and %(more)s more", **told)
    return _("waits for %(kind)s run %(run)s, which is %(status)s", **told)


def _too_small(run: Run, working: Sequence[Worker]) -> str:
    told = {"wanted": run.gpu_memory_gb, "largest": max(map(memory_gb, working))}
    if told["largest"]:
        return _("needs %(wanted)g GB of GPU memory; the largest card there has %(largest).3g", **told)
    return _("needs %(wanted)g GB of GPU memory; no worker there has a GPU", **told)


def _all_busy(able: Sequence[Worker]) -> str:
    where = ", ".join(_("run %(run)s on %(worker)s", run=item.busy_run_id, worker=item.name) for item in able[:3])
    if len(able) == 1:
        return _("next: the worker is busy (%(where)s)", where=where)
    return _("next: all %(count)s workers are busy (%(where)s)", count=len(able), where=where)


def _nobody(name: str, workers: Sequence[Worker]) -> str:
    if not workers:
        return _("no worker is connected: start one with `pairboard worker`")
    others = sorted({queue for worker in workers for queue in worker.queues})
    return _(
        "no worker listens on queue %(queue)s (those connected listen on %(others)s): start one with "
        "`pairboard worker --queues %(queue)s`",
        queue=name,
        others=", ".join(others) or _("none"),
    )
