"""HTML: the queue and the workers, and what people do about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.db import clock
from app.errors import Refused
from app.language import gettext as _
from app.runs import queries, queue_queries, queue_service, service, waiting, worker_service
from app.runs.models import Attempt, PausedQueue, Run, Worker
from app.runs.placement import PRIORITIES
from app.runs.queue_service import Direction
from app.runs.waiting import Waiting
from app.runs.worker_api import WorkerName
from app.security import Actor, member
from app.web import SessionDep, SettingsDep, page
from ml.contract.hardware import WorkerMachine

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
SHOWN = 200
Member = Annotated[Actor, Depends(member)]
QueuePath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,60}$")]


@dataclass(frozen=True)
class RunningView:
    """A run under way. `silent`: its worker was not heard of for a while, in seconds."""

    run: Run
    attempt: Attempt | None
    left: float | None
    silent: float | None


@dataclass(frozen=True)
class QueueView:
    """One queue: who listens on it, what it holds, and whether it is paused."""

    name: str
    listening: Sequence[Worker]
    waiting: int
    running: int
    paused: PausedQueue | None


@dataclass(frozen=True)
class QueuePage:
    """runs/queue.html and runs/_queue.html. `hidden` waiting runs are not shown."""

    now: datetime
    queues: list[QueueView]
    running: list[RunningView]
    waiting: list[Waiting]
    hidden: int
    experiments: Mapping[int, list[tuple[int, str]]]
    priorities: Mapping[str, int]


@dataclass(frozen=True)
class WorkerView:
    """A worker. `machine` is None for one that never told."""

    worker: Worker
    machine: WorkerMachine | None
    away: bool


@dataclass(frozen=True)
class WorkersPage:
    """runs/workers.html and runs/_workers.html."""

    workers: list[WorkerView]
    experiments: Mapping[int, list[tuple[int, str]]]


def _queue_page(session: Session, own_queue: str) -> QueuePage:
    line = waiting.line(session)
    shown = line.waiting[:SHOWN]
    ids = [item.run.id for item in shown] + [run.id for run in line.running]
    names = {own_queue, *line.paused, *(item.run.queue for item in line.waiting), *(run.queue for run in line.running)}
    names |= {name for worker in line.workers for name in worker.queues}
    return QueuePage(
        now=line.now,
        queues=[
            QueueView(
                name,
                [worker for worker in line.workers if name in worker.queues],
                sum(item.run.queue == name for item in line.waiting),
                sum(run.queue == name for run in line.running),
                line.paused.get(name),
            )
            for name in sorted(names)
        ],
        running=[_running(session, run, line.left.get(run.id), line.now) for run in line.running],
        waiting=shown,
        hidden=len(line.waiting) - len(shown),
        experiments=queue_queries.experiments_of(session, ids),
        priorities=PRIORITIES,
    )


def _running(session: Session, run: Run, left: float | None, now: datetime) -> RunningView:
    attempt = queries.current_attempt(session, run)
    return RunningView(run, attempt, left, worker_service.silent_for(attempt, now))


@router.get("/queue")
def show_queue(request: Request, session: SessionDep, settings: SettingsDep) -> Response:
    """What runs, what waits and why."""
    return page(request, "runs/queue.html", _queue_page(session, settings.queue))


@router.get("/queue/rows")
def queue_rows(request: Request, session: SessionDep, settings: SettingsDep) -> Response:
    """The part that moves, for live.js."""
    return page(request, "runs/_queue.html", _queue_page(session, settings.queue))


@router.post("/queue/cancel")
def cancel_all(session: SessionDep, queue: Annotated[str, Form()] = "") -> Response:
    """Cancel everything of a queue, or of all."""
    queue_service.cancel_all(session, queue or None)
    return RedirectResponse("/queue", 303)


@router.post("/queues/{name}/pause")
def pause(name: QueuePath, session: SessionDep, who: Member, reason: Annotated[str, Form()] = "") -> Response:
    """Hand out nothing of it."""
    queue_service.pause(session, name, reason, who.name)
    return RedirectResponse("/queue", 303)


@router.post("/queues/{name}/resume")
def resume(name: QueuePath, session: SessionDep) -> Response:
    """Hand out again."""
    queue_service.resume(session, name)
    return RedirectResponse("/queue", 303)


@router.post("/runs/{run_id}/move")
def move(run_id: int, session: SessionDep, to: Annotated[Direction, Form()]) -> Response:
    """Another place in the queue."""
    queue_service.move(session, run_id, to)
    return RedirectResponse("/queue", 303)


@router.post("/runs/{run_id}/priority")
def set_priority(run_id: int, session: SessionDep, priority: Annotated[str, Form()]) -> Response:
    """Another priority, by its name."""
    if priority not in PRIORITIES:
        told = {"priority": priority[:30], "priorities": ", ".join(PRIORITIES)}
        raise Refused(_("there is no priority %(priority)r: choose %(priorities)s", **told))
    queue_service.change(session, run_id, {"priority": PRIORITIES[priority]})
    return RedirectResponse("/queue", 303)


@router.post("/runs/{run_id}/cancel")
def cancel(run_id: int, session: SessionDep) -> Response:
    """Cancel a run and what waits for it."""
    service.cancel_run(session, run_id)
    return RedirectResponse("/queue", 303)


def _workers_page(session: Session) -> WorkersPage:
    now = clock(session)
    rows = queries.workers(session)
    return WorkersPage(
        [
            WorkerView(
                worker,
                WorkerMachine.model_validate(worker.machine) if worker.machine else None,
                now - worker.last_seen_at > worker_service.WORKER_AWAY,
            )
            for worker in rows
        ],
        queue_queries.experiments_of(session, [row.busy_run_id for row in rows if row.busy_run_id is not None]),
    )


@router.get("/workers")
def show_workers(request: Request, session: SessionDep) -> Response:
    """Every worker, what it has and what it does."""
    return page(request, "runs/workers.html", _workers_page(session))


@router.get("/workers/rows")
def worker_rows(request: Request, session: SessionDep) -> Response:
    """The part that moves, for live.js."""
    return page(request, "runs/_workers.html", _workers_page(session))


@router.post("/workers/{name}/drain")
def drain(name: WorkerName, session: SessionDep, draining: Annotated[bool, Form()]) -> Response:
    """End what it does and take nothing new, or take work again."""
    worker_service.drain(session, name, draining=draining)
    return RedirectResponse("/workers", 303)


@router.post("/workers/{name}/forget")
def forget(name: WorkerName, session: SessionDep) -> Response:
    """Take a worker that is away off the list."""
    worker_service.forget(session, name)
    return RedirectResponse("/workers", 303)
