"""REST of runs: what workers call (claim, events, heartbeat, artifacts, inputs), and what people read and cancel."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.accounts.service import digest
from app.answers import of_bytes
from app.contests import queries as contest_queries
from app.db import clock
from app.errors import Forbidden, NotFound, NotSignedIn
from app.language import gettext as _
from app.metrics import EVENT_LAG_SECONDS
from app.runs import intake, queries, service
from app.runs.jobs import job_of
from app.runs.models import Attempt, Run
from app.runs.placement import Placement, placement_of_run
from app.security import attempt, bearer, member, worker
from app.significance import standing
from app.storage import Storage
from app.submissions import remembering
from app.web import SessionDep, SettingsDep, StorageDep
from ml.contract.events import EventAnswer, EventBatch, Finished
from ml.contract.job import Job

router = APIRouter(prefix="/api/v1", tags=["runs"])
ARTIFACT_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
ArtifactName = Annotated[str, Path(pattern=ARTIFACT_NAME)]
WORKER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@:-]{0,99}$"
#: what /openapi.json says of `stored_file`
FILE = of_bytes("application/octet-stream", "its bytes", X_Content_SHA256="their hash")


class Strict(BaseModel):
    """Bodies of workers: unknown fields refused."""

    model_config = ConfigDict(extra="forbid")


class ClaimBody(Strict):
    """Who claims."""

    worker: str = Field(pattern=WORKER_NAME)
    boot_id: str = Field(min_length=8, max_length=64)


class ClaimOut(BaseModel):
    """The job, and the token for this attempt alone."""

    job: Job
    token: str
    lease_seconds: float


class ArtifactOut(BaseModel):
    """A file of a run."""

    name: str
    sha256: str
    size: int


class NeedOut(BaseModel):
    """A run that this one waits for and reads."""

    run_id: int
    role: str


class AttemptOut(BaseModel):
    """A try at a run."""

    number: int
    worker: str
    claimed_at: datetime
    heartbeat_at: datetime
    outcome: str
    reason: str
    ended_at: datetime | None


class RunOut(BaseModel):
    """A run, its attempts and its files."""

    id: int
    kind: str
    status: str
    reason: str
    fingerprint: str
    fold: int | None
    repeat: int
    needs: list["NeedOut"]
    cancel_requested: bool
    placement: Placement
    progress: dict[str, Any] | None
    summary: dict[str, Any] | None
    queued_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    attempts: list[AttemptOut]
    artifacts: list[ArtifactOut]


@dataclass(frozen=True)
class Held:
    """The run and attempt of an attempt token, locked for this transaction."""

    run: Run
    attempt: Attempt


def held(run_id: int, request: Request, session: SessionDep) -> Held:
    """The attempt whose token was sent; it reaches its own run alone."""
    return require_held(session, run_id, bearer(request))


def require_held(session: Session, run_id: int, token: str | None) -> Held:
    """The same by the token itself. Raises NotSignedIn for an unknown one, Forbidden for that of another run."""
    if token is None:
        raise NotSignedIn("send Authorization: Bearer <attempt token>, as answered to the claim")
    found = queries.attempt_by_token(session, digest(token))
    if found is None:
        raise NotSignedIn("this attempt token is not known")
    if found.run_id != run_id:
        raise Forbidden(f"this token is of an attempt at run {found.run_id}, not {run_id}")
    run = queries.run(session, run_id, lock=True)
    session.refresh(found)
    return Held(run, found)


HeldDep = Annotated[Held, Depends(held)]


@router.post("/runs/{run_id}/claim", dependencies=[Depends(worker)])
def claim_run(run_id: int, body: ClaimBody, session: SessionDep, settings: SettingsDep) -> ClaimOut:
    """Take this run, whatever the queue's order. 409 when another has it, it ended, or it waits for another run.

    What goes first is had by POST /api/v1/workers/claim.
    """
    lease = timedelta(seconds=settings.lease_seconds)
    claimed = service.claim(session, run_id, worker=body.worker, boot_id=body.boot_id, lease=lease)
    return ClaimOut(job=claimed.job, token=claimed.token, lease_seconds=settings.lease_seconds)


@router.post("/runs/{run_id}/events", dependencies=[Depends(attempt)])
def send_events(
    request: Request,
    batch: EventBatch,
    holder: HeldDep,
    session: SessionDep,
    settings: SettingsDep,
    background: BackgroundTasks,
) -> EventAnswer:
    """Consecutive events, numbered from 1 per attempt; replays are ignored. The answer says go on or stop."""
    lease = timedelta(seconds=settings.lease_seconds)
    EVENT_LAG_SECONDS.observe(batch.waited_seconds)
    if any(isinstance(event, Finished) for event in batch.events):
        contest_id = contest_queries.file_by_id(session, holder.run.train_file_id).contest_id
        database, storage = request.app.state.database, request.app.state.storage
        background.add_task(standing.judge, database, storage, contest_id)
        background.add_task(remembering.remember_run, database, storage, holder.run.id)
    return intake.store(session, holder.run, holder.attempt, batch, lease, clock(session))


@router.post("/runs/{run_id}/heartbeat", dependencies=[Depends(attempt)])
def heartbeat(holder: HeldDep, session: SessionDep, settings: SettingsDep) -> EventAnswer:
    """Extends the lease while ml is silent."""
    lease = timedelta(seconds=settings.lease_seconds)
    return intake.heartbeat(session, holder.run, holder.attempt, lease, clock(session))


@router.get(
    "/runs/{run_id}/inputs/{sha256}", dependencies=[Depends(attempt)], response_class=FileResponse, responses=FILE
)
def read_input(sha256: str, holder: HeldDep, session: SessionDep, storage: StorageDep) -> FileResponse:
    """A file that the run's job names, by its hash."""
    for item in job_of(session, holder.run).inputs:
        if item.sha256 == sha256:
            return stored_file(storage, sha256, item.name)
    raise NotFound(f"run {holder.run.id} has no input {sha256[:12]}…")


@router.get("/runs/{run_id}", dependencies=[Depends(member)])
def read_run(run_id: int, session: SessionDep) -> RunOut:
    """A run, its attempts and files."""
    return run_out(session, queries.run(session, run_id))


@router.post("/runs/{run_id}/cancel", dependencies=[Depends(member)])
def cancel_run(run_id: int, session: SessionDep) -> RunOut:
    """Cancel a run and what waits for it; a running one stops within seconds."""
    return run_out(session, service.cancel_run(session, run_id))


@router.get(
    "/runs/{run_id}/artifacts/{name}", dependencies=[Depends(member)], response_class=FileResponse, responses=FILE
)
def read_artifact(run_id: int, name: ArtifactName, session: SessionDep, storage: StorageDep) -> FileResponse:
    """Download a file of the run's latest attempt; X-Content-SHA256 is its hash."""
    for artifact in queries.artifacts_of(session, queries.run(session, run_id)):
        if artifact.name == name:
            return stored_file(storage, artifact.sha256, name)
    raise NotFound(_("run %(run)s has no file %(file)r", run=run_id, file=name))


def stored_file(storage: Storage, sha256: str, name: str) -> FileResponse:
    """Its bytes, with their hash. Raises NotFound when they are gone."""
    path, headers = storage.existing(sha256, name), {"X-Content-SHA256": sha256}
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=headers)


def run_out(session: Session, run: Run) -> RunOut:
    """The JSON of a run."""
    plain = {
        name: getattr(run, name)
        for name in RunOut.model_fields
        if name not in {"attempts", "artifacts", "needs", "placement"}
    }
    return RunOut(
        **plain,
        placement=placement_of_run(run),
        needs=[NeedOut(run_id=run.id, role=need.role) for need, run in queries.needs_of(session, run.id)],
        attempts=[
            AttemptOut.model_validate(item, from_attributes=True) for item in queries.attempts_of(session, run.id)
        ],
        artifacts=[
            ArtifactOut.model_validate(item, from_attributes=True) for item in queries.artifacts_of(session, run)
        ],
    )
