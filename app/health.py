"""GET /health: does this process reach what it needs. For load balancers, docker compose and people; and /metrics.

/health/live: the process answers; else start it anew. /health/ready: it can work; else send it no requests.
"""

from importlib.metadata import version

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from app import metrics
from app.answers import of_bytes
from app.db import Database
from app.errors import Away
from app.language import gettext as _
from app.queue import Doorbell
from app.runs import queries, queue_queries
from app.runs.worker_service import WORKER_AWAY
from app.security import anyone, needs
from app.web import SettingsDep

#: read once: the package's metadata is a file
_VERSION = version("pairboard")
router = APIRouter(tags=["health"], dependencies=[Depends(anyone)])


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
            workers = len(queries.workers_seen(session, WORKER_AWAY))
            queued = queue_queries.queued_count(session)
        state = "ok"
    except SQLAlchemyError as error:
        state = f"unreachable ({type(error).__name__})"
        response.status_code = 503
    return Health(
        ok=state == "ok",
        version=_VERSION,
        database=state,
        broker="ok" if doorbell.answers() else "unreachable",
        workers=workers,
        queued_runs=queued,
    )


class Alive(BaseModel):
    """The process answers."""

    ok: bool = True


@router.get("/health/live")
def live() -> Alive:
    """Asks nothing of anybody: a database that is away is no reason to start this process anew."""
    return Alive()


@router.get("/health/ready")
def ready(request: Request) -> Alive:
    """Whether requests can be served: the database is read. The broker may be away, the app works without it."""
    database: Database = request.app.state.database
    try:
        with database.reading() as session:
            queue_queries.queued_count(session)
    except SQLAlchemyError as error:
        raise Away(_("the database can't be read (%(error)s)", error=type(error).__name__)) from error
    return Alive()


@router.get(
    "/metrics",
    dependencies=[Depends(needs("read"))],
    response_class=Response,
    responses=of_bytes("text/plain", "in Prometheus's text format"),
)
def read_metrics(request: Request, settings: SettingsDep) -> Response:
    """In Prometheus's text format. Prometheus sends a member's token as its `authorization: credentials`."""
    text = metrics.exposition(settings, request.app.state.database)
    return Response(text, media_type=metrics.CONTENT_TYPE)
