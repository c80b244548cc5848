"""GET /health: does this process reach what it needs. For load balancers, docker compose and people."""

from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from app.db import Database, clock
from app.queue import Doorbell
from app.runs import queries, queue_queries
from app.runs.worker_service import WORKER_AWAY

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """`ok` is false, with status 503, when the database can't be read. Without broker or worker the app still works."""

    ok: bool
    version: str
    database: str
    broker: str
    workers: int
    queued_runs: int


@router.get("/health", responses={503: {"model": Health}})
@router.get("/api/v1/health", responses={503: {"model": Health}}, include_in_schema=False)
def health(request: Request, response: Response) -> Health:
    """State of the database and the broker, workers that reported lately, runs that wait."""
    database: Database = request.app.state.database
    doorbell: Doorbell = request.app.state.doorbell
    workers = queued = 0
    try:
        with database.reading() as session:
            workers = len(queries.workers_seen(session, clock(session) - WORKER_AWAY))
            queued = queue_queries.queued_count(session)
        state = "ok"
    except SQLAlchemyError as error:
        state = f"unreachable ({type(error).__name__})"
        response.status_code = 503
    return Health(
        ok=state == "ok",
        version=version("pairboard"),
        database=state,
        broker="ok" if doorbell.answers() else "unreachable",
        workers=workers,
        queued_runs=queued,
    )
