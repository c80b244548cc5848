"""REST: the trash of a contest, what it would free, and what is left of removed experiments."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from app.contests import queries as contest_queries
from app.leaderboard import trash, trash_queries
from app.leaderboard.selection import RowId
from app.leaderboard.trash import Weighed, Weighing
from app.security import Actor, member
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1/contests/{slug}/trash", tags=["leaderboard"], dependencies=[Depends(member)])
Ids = Annotated[list[RowId], Field(min_length=1, max_length=1000, examples=[[3, 7]])]
Who = Annotated[Actor, Depends(member)]


class RowsBody(BaseModel):
    """Experiments by their numbers."""

    model_config = ConfigDict(extra="forbid")

    ids: Ids


class EmptyBody(BaseModel):
    """What may go for good."""

    model_config = ConfigDict(extra="forbid")

    with_scores: list[RowId] = Field(
        default_factory=list, max_length=100_000, description="experiments that may go although they have online scores"
    )


class WeighedOut(BaseModel):
    """An experiment, and what goes and stays with it."""

    id: int
    name: str
    bytes: int = Field(description="of files that this experiment alone holds")
    blocked: str = Field(description="why it can't go; empty: it can")
    remarks: list[str]
    online_scores: list[float]
    thrown_by: str
    thrown_at: datetime | None


class WeighingOut(BaseModel):
    """Experiments, and what goes with those of them that can go, together: files that they share count here, too."""

    bytes: int
    rows: list[WeighedOut]


class EmptiedOut(BaseModel):
    """What is gone, what is left and why, the bytes that this freed, and the files that wait for an upload or a backup
    until `pairboard gc` removes them."""

    done: list[int]
    left: dict[int, str]
    bytes: int
    waiting_files: int


class RemovedOut(BaseModel):
    """What is left of a removed experiment."""

    id: int
    name: str
    note: str
    verdict: str
    config: dict[str, Any] | None
    scores: list[dict[str, Any]]
    made_by: str
    created_at: datetime
    removed_by: str
    removed_at: datetime


@router.get("")
def read_trash(slug: str, session: SessionDep) -> WeighingOut:
    """What lies in the trash, and what emptying it would free."""
    contest = contest_queries.contest(session, slug)
    ids = [item.experiment_id for item in trash_queries.trashed(session, contest.id)]
    return _weighing(trash.weigh(session, contest, ids, emptying=True))


@router.post("/weigh")
def weigh(slug: str, body: RowsBody, session: SessionDep) -> WeighingOut:
    """What throwing these away would free; nothing is changed."""
    return _weighing(trash.weigh(session, contest_queries.contest(session, slug), body.ids))


@router.post("")
def throw(slug: str, body: RowsBody, session: SessionDep, who: Who) -> WeighingOut:
    """Put archived experiments into the trash; those that are `blocked` stay where they are."""
    return _weighing(trash.throw(session, contest_queries.contest(session, slug), body.ids, who.name))


@router.post("/undo")
def undo(slug: str, body: RowsBody, session: SessionDep) -> dict[str, list[int]]:
    """Take them out again, into the archive."""
    return {"done": trash.take_out(session, contest_queries.contest(session, slug), body.ids)}


@router.post("/empty")
def empty(slug: str, body: EmptyBody, request: Request, storage: StorageDep, who: Who) -> EmptiedOut:
    """Remove everything in the trash for good: rows, runs, events, files. What they scored is kept under /removed."""
    found = trash.empty(request.app.state.database, storage, slug, who.name, with_scores=set(body.with_scores))
    return EmptiedOut(done=found.done, left=found.left, bytes=found.size, waiting_files=found.waiting)


@router.get("/removed")
def read_removed(slug: str, session: SessionDep) -> list[RemovedOut]:
    """What is left of removed experiments: who made them, their config, and every score."""
    contest = contest_queries.contest(session, slug)
    return [RemovedOut.model_validate(row, from_attributes=True) for row in trash_queries.removed(session, contest.id)]


def _weighing(found: Weighing) -> WeighingOut:
    return WeighingOut(bytes=found.size, rows=[_weighed(row) for row in found.rows])


def _weighed(row: Weighed) -> WeighedOut:
    return WeighedOut(
        id=row.experiment.id,
        name=row.experiment.name,
        bytes=row.size,
        blocked=row.blocked,
        remarks=row.remarks,
        online_scores=[score.value for score in row.online],
        thrown_by=row.thrown.thrown_by if row.thrown else "",
        thrown_at=row.thrown.thrown_at if row.thrown else None,
    )
