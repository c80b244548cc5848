"""The view of the table that an address asks for: the same parameters for the page, its downloads and REST."""

from typing import Annotated

from fastapi import Depends, Query

from app.leaderboard.queries import SORT_KEYS
from app.leaderboard.view import MORE, PAGE_SIZE, View


async def _view(
    sort: Annotated[
        str,
        Query(
            examples=["-online,name"],
            description=f"{', '.join(SORT_KEYS)}; several divided by commas, `-` before one for descending",
        ),
    ] = "",
    search: Annotated[
        str,
        Query(
            max_length=10_000,  # room for the numbers of many rows
            examples=["n-gram valid>=0.95 status:finished encoder.model_type:bert"],
            description="words of name, verdict or note, bounds, status, mark, tag, by, id, fields of config: all hold",
        ),
    ] = "",
    show: Annotated[list[str] | None, Query(description=f"more columns: {', '.join(MORE)}")] = None,
    against: Annotated[int | None, Query(ge=1, description="id of the baseline that scores are compared with")] = None,
    archived: Annotated[bool, Query(description="the rows of the archive instead of the table's")] = False,
    group: Annotated[str, Query(max_length=100, examples=["encoder.model_type"], description="sum up by a field")] = "",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = PAGE_SIZE,
    saved: Annotated[
        bool, Query(description="leave out what is gone of a saved view", include_in_schema=False)
    ] = False,
) -> View:
    asked = {item for part in show or [] for item in part.split(",")}
    return View(
        sort,
        search.strip(),
        tuple(key for key in MORE if key in asked),
        against,
        archived,
        group.strip(),
        offset,
        limit,
        saved,
    )


ViewDep = Annotated[View, Depends(_view)]
