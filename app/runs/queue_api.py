"""REST of the queue: what waits and why, and what people do about it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from app.runs import queue_queries, queue_service, waiting
from app.runs.api import RunOut, Strict, run_out
from app.runs.placement import QueueName
from app.runs.queue_service import Direction
from app.security import Actor, member
from app.web import SessionDep

router = APIRouter(prefix="/api/v1", tags=["queue"])
InPath = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,60}$")]
Member = Annotated[Actor, Depends(member)]


class WaitingOut(BaseModel):
    """A queued run. `starts_in_seconds` is an estimate from measured speed; null when nobody can say."""

    run_id: int
    kind: str
    experiments: list[int]
    queue: str
    priority: int
    position: int
    reason: str
    starts_in_seconds: float | None
    takes_seconds: float | None


class RunningOut(BaseModel):
    """A run under way."""

    run_id: int
    kind: str
    experiments: list[int]
    queue: str
    attempt: int
    started_at: datetime | None
    seconds_left: float | None


class PausedOut(BaseModel):
    """A queue from which nothing is handed out."""

    name: str
    reason: str
    paused_by: str
    paused_at: datetime


class QueueOut(BaseModel):
    """Everything that waits, in the order in which it goes, and everything that works."""

    waiting: list[WaitingOut]
    running: list[RunningOut]
    paused: list[PausedOut]


class MoveBody(Strict):
    """Where to."""

    to: Direction


class PlacementChange(Strict):
    """What is to be another; what is left out stays. null takes a limit away."""

    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    max_hours: float | None = None
    gpu_memory_gb: float | None = None


class PauseBody(Strict):
    """Why, for those who wait."""

    reason: str = Field("", max_length=500)


class CancelBody(Strict):
    """null: of every queue."""

    queue: QueueName | None = None


class CancelOut(BaseModel):
    """How many runs were cancelled, or told to stop."""

    runs: int


@router.get("/queue", dependencies=[Depends(member)])
def read_queue(session: SessionDep) -> QueueOut:
    """What waits and why, and what works."""
    line = waiting.line(session)
    ids = [item.run.id for item in line.waiting] + [run.id for run in line.running]
    names = queue_queries.experiments_of(session, ids)

    def experiments(run_id: int) -> list[int]:
        return [number for number, _ in names.get(run_id, [])]

    return QueueOut(
        waiting=[
            WaitingOut(
                run_id=item.run.id,
                kind=item.run.kind,
                experiments=experiments(item.run.id),
                queue=item.run.queue,
                priority=item.run.priority,
                position=item.position,
                reason=item.reason,
                starts_in_seconds=item.starts_in,
                takes_seconds=item.takes,
            )
            for item in line.waiting
        ],
        running=[
            RunningOut(
                run_id=run.id,
                kind=run.kind,
                experiments=experiments(run.id),
                queue=run.queue,
                attempt=run.attempt,
                started_at=run.started_at,
                seconds_left=line.left.get(run.id),
            )
            for run in line.running
        ],
        paused=[PausedOut.model_validate(row, from_attributes=True) for row in line.paused.values()],
    )


@router.post("/queue/cancel", dependencies=[Depends(member)])
def cancel_all(body: CancelBody, session: SessionDep) -> CancelOut:
    """Cancel everything that waits or runs, of one queue or of all."""
    return CancelOut(runs=queue_service.cancel_all(session, body.queue))


@router.put("/queues/{name}/pause", status_code=204)
def pause(name: InPath, body: PauseBody, session: SessionDep, who: Member) -> None:
    """Hand out nothing of this queue until it is resumed; what runs goes on."""
    queue_service.pause(session, name, body.reason, who.name)


@router.delete("/queues/{name}/pause", status_code=204, dependencies=[Depends(member)])
def resume(name: InPath, session: SessionDep) -> None:
    """Hand out again."""
    queue_service.resume(session, name)


@router.post("/runs/{run_id}/move", dependencies=[Depends(member)])
def move(run_id: int, body: MoveBody, session: SessionDep) -> RunOut:
    """Put a waiting run elsewhere in its queue."""
    return run_out(session, queue_service.move(session, run_id, body.to))


@router.patch("/runs/{run_id}", dependencies=[Depends(member)])
def change(run_id: int, body: PlacementChange, session: SessionDep) -> RunOut:
    """Another queue, priority or limit for a run that waits or works."""
    values: dict[str, Any] = body.model_dump(exclude_unset=True)
    return run_out(session, queue_service.change(session, run_id, values))
