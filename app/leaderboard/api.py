"""REST: the comparison table."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from app.contests import queries as contest_queries
from app.leaderboard.queries import ranked
from app.leaderboard.view_api import ViewDep
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
    hours: float
    gap: float | None


class LeaderboardOut(BaseModel):
    """A page of the table; `total` counts the rows that the search finds, `everything` all of the contest."""

    contest: str
    metric: str
    sort: str
    total: int
    everything: int
    offset: int
    rows: list[RowOut]


@router.get("/contests/{slug}/leaderboard")
def leaderboard(slug: str, session: SessionDep, view: ViewDep) -> LeaderboardOut:
    """The contest's rows in the contest's metric; rows without the sorted value come last."""
    contest = contest_queries.contest(session, slug)
    ranking = ranked(session, contest, sort=view.sort, search=view.search, limit=view.limit, offset=view.offset)
    return LeaderboardOut(
        contest=contest.slug,
        metric=contest.metric,
        sort=view.sort,
        total=ranking.total,
        everything=ranking.everything,
        offset=view.offset,
        rows=[RowOut.model_validate({**asdict(row), "gap": row.gap}) for row in ranking.rows],
    )
