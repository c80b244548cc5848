"""REST: the comparison table."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from app.contests import queries as contest_queries
from app.leaderboard.queries import PAGE_SIZE, ranked
from app.security import member
from app.web import SessionDep

router = APIRouter(prefix="/api/v1", tags=["leaderboard"], dependencies=[Depends(member)])


class ShownScoreOut(BaseModel):
    """A score as the table shows it."""

    value: float
    text: str
    uncertain: bool
    note: str
    count: int
    low: float | None
    high: float | None
    members: int
    mean: float | None
    deviation: float | None


class RowOut(BaseModel):
    """One experiment."""

    id: int
    name: str
    note: str
    origin: str
    created_at: datetime
    status: str
    progress: dict[str, Any] | None
    reason: str
    train: ShownScoreOut | None
    valid: ShownScoreOut | None
    online: ShownScoreOut | None
    marks: dict[str, str]


class LeaderboardOut(BaseModel):
    """A page of the table; `total` counts all rows."""

    contest: str
    metric: str
    sort: str
    total: int
    offset: int
    rows: list[RowOut]


@router.get("/contests/{slug}/leaderboard")
def leaderboard(
    slug: str,
    session: SessionDep,
    sort: Annotated[
        str, Query(examples=["-online"], description="name, train, valid, online, status, created, id")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE_SIZE,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> LeaderboardOut:
    """The contest's rows in the contest's metric; rows without the sorted value come last."""
    contest = contest_queries.contest(session, slug)
    ranking = ranked(session, contest, sort=sort, limit=limit, offset=offset)
    return LeaderboardOut(
        contest=contest.slug,
        metric=contest.metric,
        sort=sort,
        total=ranking.total,
        offset=offset,
        rows=[RowOut.model_validate(asdict(row)) for row in ranking.rows],
    )
