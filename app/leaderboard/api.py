"""REST: the comparison table, and what is done to many of its rows at once."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from app.contests import queries as contest_queries
from app.experiments import queries as experiment_queries
from app.leaderboard import selection
from app.leaderboard.checks import checks
from app.leaderboard.compare_api import Ids, numbers
from app.leaderboard.exporting import page_of
from app.leaderboard.group_queries import grouped
from app.leaderboard.row_queries import SPLITS, Row
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
    board: str = Field(description="that an online score stands on")
    best: float | None = Field(description="the best of those behind it; null where this one is it")


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
    made_by: str
    archived_at: datetime | None
    tags: list[str]
    hours: float
    verdict: str
    audit: str
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


@router.get("/contests/{slug}/leaderboard", response_model=LeaderboardOut)
def leaderboard(slug: str, session: SessionDep, view: ViewDep) -> Response:
    """The contest's rows in the contest's metric; rows without the sorted value come last."""
    contest = contest_queries.contest(session, slug)
    ranking = page_of(session, contest, view, limit=view.limit, offset=view.offset)
    answer = {
        "contest": contest.slug,
        "metric": contest.metric,
        "sort": view.sort,
        "total": ranking.total,
        "everything": ranking.everything,
        "offset": view.offset,
        "rows": [_fields(row) for row in ranking.rows],
    }
    return Response(to_json(answer, inf_nan_mode="null"), media_type="application/json")


def _fields(row: Row) -> dict[str, Any]:
    """As RowOut has it; making 100 of these, only to write them, took a third of the answer's time."""
    fields = {name: getattr(row, name) for name in RowOut.model_fields}
    for split in SPLITS:
        if fields[split]:
            fields[split] = fields[split]._asdict()
    return fields


class CheckOut(BaseModel):
    """What is known of a row in one respect."""

    key: str = Field(description="reloaded, swap, data, code or seeds")
    state: str = Field(description="good, differs, or told: a number to be judged")
    text: str
    why: str


@router.get("/contests/{slug}/leaderboard/checks")
def read_checks(
    slug: str, session: SessionDep, ids: Ids, against: selection.RowId | None = None
) -> dict[int, list[CheckOut]]:
    """By experiment what speaks for its numbers: its model reloads to the bit, what exchanging the sides of pairs
    changes, whether data and code are those of `against` (or else of most of the table's newest 500 rows), and the
    spread over rows that differ by their seed alone. What is not known is left out."""
    contest = contest_queries.contest(session, slug)
    asked = numbers(ids)
    experiment_queries.chosen(session, contest.id, asked + ([against] if against is not None else []))
    found = checks(session, contest, asked, against)
    return {
        number: [CheckOut.model_validate(check, from_attributes=True) for check in each]
        for number, each in found.items()
    }


class MeanOut(BaseModel):
    """Of a column's values in a group."""

    value: float
    count: int
    deviation: float | None


class GroupOut(BaseModel):
    """Rows with one value in a field of the config; null where it has none."""

    value: bool | int | float | str | None
    rows: int
    train: MeanOut | None
    valid: MeanOut | None
    online: MeanOut | None


@router.get("/contests/{slug}/leaderboard/groups")
def groups(slug: str, session: SessionDep, view: ViewDep) -> list[GroupOut]:
    """The rows that `search` finds, by the value of the field `group` of their config: how many, mean and deviation."""
    contest = contest_queries.contest(session, slug)
    found = grouped(session, contest, view.group, search=view.search, archived=view.archived)
    return [GroupOut.model_validate(group, from_attributes=True) for group in found]


class SelectionBody(BaseModel):
    """Rows, and what to do to each."""

    model_config = ConfigDict(extra="forbid")

    ids: list[selection.RowId] = Field(min_length=1, max_length=1000, examples=[[3, 7]])
    action: selection.Action
    tag: str = Field("", examples=["send"], description="for tag and untag")


class SelectionOut(BaseModel):
    """What became of each row."""

    done: list[int]
    left: dict[int, str] = Field(description="rows that stay as they are, and why")


@router.post("/contests/{slug}/selection")
def act_on_many(slug: str, body: SelectionBody, session: SessionDep) -> SelectionOut:
    """Tag, untag, archive, restore, cancel or retry many experiments; one that can't be done does not hinder others."""
    outcome = selection.apply(session, contest_queries.contest(session, slug), body.ids, body.action, body.tag)
    return SelectionOut(done=outcome.done, left=outcome.left)
