"""REST: search over everything."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from app.search.everything import SHOWN, everything
from app.security import member
from app.web import SessionDep

router = APIRouter(prefix="/api/v1", tags=["search"], dependencies=[Depends(member)])


@router.get("/search")
def search(session: SessionDep, q: Annotated[str, Query(max_length=500, examples=["nezha"])]) -> dict[str, Any]:
    """What the leaderboard's search finds in each contest (the newest 10 of `total`), contests and files by name, and
    the experiments of a number (`31`, `run 12`)."""
    found = everything(session, q)
    inside = [
        {
            "contest": item.contest.slug,
            "total": item.total,
            "archived": item.archived,
            "experiments": [
                {"id": found.row.id, "name": found.row.name, "settings": found.settings} for found in item.rows
            ],
        }
        for item in found.inside
    ]
    return {
        "numbered": [{"id": item.id, "name": item.name} for item in found.numbered],
        "contests": [{"slug": item.slug, "name": item.name} for item in found.contests],
        "contest_total": found.contest_total,
        "files": [{"id": file.id, "name": file.name, "contest": contest.slug} for file, contest in found.files],
        "file_total": found.file_total,
        "inside": inside,
        "shown_of_each": SHOWN,
    }
