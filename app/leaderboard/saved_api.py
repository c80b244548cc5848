"""REST: views of the table that are saved by name."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.contests import queries as contest_queries
from app.leaderboard import saved, saved_queries
from app.leaderboard.models import SavedView
from app.leaderboard.view import MORE, View
from app.security import Actor, member
from app.web import SessionDep

router = APIRouter(prefix="/api/v1/contests/{slug}/views", tags=["leaderboard"], dependencies=[Depends(member)])
Name = Annotated[str, Path(examples=["to be sent"], description="1 to 60 characters, one view a name")]


class ViewBody(BaseModel):
    """What the view asks of the table, and how it is called from now on."""

    model_config = ConfigDict(extra="forbid")

    sort: str = Field("", max_length=200, examples=["-online,name"])
    search: str = Field("", max_length=10_000, examples=["valid>=0.95 tag:send"])
    show: list[str] = Field(default_factory=list, description=f"more columns: {', '.join(MORE)}")
    against: int | None = Field(None, ge=1, lt=1 << 63)
    group: str = Field("", max_length=100)
    archived: bool = False
    default: bool | None = Field(None, description="the contest's table without a question; null: as it was")
    rename: str | None = Field(None, description="another name for it")


class ViewOut(BaseModel):
    """A saved view; `query` opens it on the page, as the parameters of /leaderboard do in REST."""

    name: str
    sort: str
    search: str
    show: list[str]
    against: int | None
    group: str
    archived: bool
    default: bool
    made_by: str = Field(description="who saved it last")
    changed_at: datetime
    query: str


@router.get("")
def list_views(slug: str, session: SessionDep) -> list[ViewOut]:
    """The contest's views, by name."""
    contest = contest_queries.contest(session, slug)
    return [_out(view) for view in saved_queries.views_of(session, contest.id)]


@router.put("/{name:path}")
def put_view(
    slug: str, name: Name, body: ViewBody, session: SessionDep, who: Annotated[Actor, Depends(member)]
) -> ViewOut:
    """Save the view under this name, in the place of what it held before."""
    contest = contest_queries.contest(session, slug)
    shown = tuple(key for key in MORE if key in body.show)
    view = View(body.sort, body.search.strip(), shown, body.against, body.archived, body.group.strip())
    found = saved.save(session, contest, name, view, who.name, default=body.default, overwrite=True)
    if body.rename is not None:
        saved.rename(session, contest, found, body.rename)
    return _out(found)


@router.delete("/{name:path}", status_code=204)
def delete_view(slug: str, name: Name, session: SessionDep) -> Response:
    """Forget the view; rows stay as they are."""
    saved.delete(session, saved.find(session, contest_queries.contest(session, slug), name))
    return Response(status_code=204)


def _out(view: SavedView) -> ViewOut:
    held = saved.held(saved.view_of(view))
    return ViewOut(
        name=view.name,
        **held,
        default=view.is_default,
        made_by=view.made_by,
        changed_at=view.changed_at,
        query=saved.view_of(view).query(),
    )
