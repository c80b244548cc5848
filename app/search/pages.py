"""HTML: search over everything."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from app.errors import Refused
from app.search.everything import SHOWN, Everything, everything
from app.security import member
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])


@dataclass(frozen=True)
class SearchPage:
    """search/page.html. `error`: why the search can't be understood; `most`: how many of a kind are shown."""

    sought: str
    found: Everything
    error: str
    most: int


@router.get("/search")
def search(request: Request, session: SessionDep, q: Annotated[str, Query(max_length=500)] = "") -> Response:
    """Experiments of every contest, contests, files, and what has this number."""
    try:
        return page(request, "search/page.html", SearchPage(q, everything(session, q), "", SHOWN))
    except Refused as error:
        return page(request, "search/page.html", SearchPage(q, Everything(), error.message, SHOWN), 422)
