"""REST of workers: what they report and ask for, and what people do with them."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, Field

from app.db import clock
from app.runs import queries, queue_service, worker_service
from app.runs.api import WORKER_NAME, ClaimOut, Strict
from app.runs.placement import QueueName
from app.security import member, worker
from app.web import SessionDep, SettingsDep
from ml.contract.hardware import WorkerMachine

router = APIRouter(prefix="/api/v1/workers", tags=["workers"])
WorkerName = Annotated[str, Path(pattern=WORKER_NAME)]


class WorkerBody(Strict):
    """A worker reports itself. Without `queues` it listens on the app's own."""

    worker: str = Field(pattern=WORKER_NAME)
    boot_id: str = Field(min_length=8, max_length=64)
    busy_run_id: int | None = None
    queues: list[QueueName] | None = Field(None, min_length=1, max_length=50)
    machine: WorkerMachine | None = None


class WorkerAnswer(BaseModel):
    """`draining`: end what you do and take nothing new."""

    ok: bool
    draining: bool


class WorkerOut(BaseModel):
    """A worker as it last reported itself; `away` when that is a while ago."""

    name: str
    busy_run_id: int | None
    queues: list[str]
    draining: bool
    away: bool
    last_seen_at: datetime
    started_at: datetime | None
    machine: WorkerMachine | None


class DrainBody(Strict):
    """Whether it is to take nothing new."""

    draining: bool


@router.post("/heartbeat", dependencies=[Depends(worker)])
def heartbeat(body: WorkerBody, session: SessionDep, settings: SettingsDep) -> WorkerAnswer:
    """A worker lives, idle or busy. With a new boot id, what it held before is queued again at once."""
    row = worker_service.worker_seen(
        session,
        body.worker,
        body.boot_id,
        body.busy_run_id,
        queues=body.queues or [settings.queue],
        machine=body.machine,
    )
    return WorkerAnswer(ok=True, draining=row.draining)


@router.post("/claim", dependencies=[Depends(worker)], responses={204: {"description": "nothing for it to do"}})
def claim(body: WorkerBody, session: SessionDep, settings: SettingsDep) -> ClaimOut:
    """Take what goes first of the worker's queues: the highest priority, then the order in which people put it."""
    row = worker_service.worker_seen(
        session, body.worker, body.boot_id, None, queues=body.queues or [settings.queue], machine=body.machine
    )
    claimed = queue_service.claim_next(session, row, timedelta(seconds=settings.lease_seconds))
    if claimed is None:
        return Response(status_code=204)  # type: ignore[return-value]  # FastAPI takes a response as it is
    return ClaimOut(job=claimed.job, token=claimed.token, lease_seconds=settings.lease_seconds)


@router.get("", dependencies=[Depends(member)])
def read_workers(session: SessionDep) -> list[WorkerOut]:
    """Every worker that ever reported, by name."""
    now = clock(session)
    return [
        WorkerOut(
            name=row.name,
            busy_run_id=row.busy_run_id,
            queues=row.queues,
            draining=row.draining,
            away=now - row.last_seen_at > worker_service.WORKER_AWAY,
            last_seen_at=row.last_seen_at,
            started_at=row.started_at,
            machine=WorkerMachine.model_validate(row.machine) if row.machine else None,
        )
        for row in queries.workers(session)
    ]


@router.patch("/{name}", dependencies=[Depends(member)])
def drain(name: WorkerName, body: DrainBody, session: SessionDep) -> WorkerAnswer:
    """Have it end what it does and take nothing new, or take work again."""
    row = worker_service.drain(session, name, draining=body.draining)
    return WorkerAnswer(ok=True, draining=row.draining)


@router.delete("/{name}", status_code=204, dependencies=[Depends(member)])
def forget(name: WorkerName, session: SessionDep) -> None:
    """Take a worker that is away off the list."""
    worker_service.forget(session, name)
