"""HTML: what a blend of ticked rows would gain, and the click that makes its row."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, FieldError, Refused
from app.language import gettext as _
from app.runs import fusing
from app.runs.placement import Placement
from app.security import Actor, member
from app.significance.blend_api import Ids
from app.significance.blend_numbers import Matrix
from app.significance.blending import NAMES, Blend, blend
from app.web import SessionDep, SettingsDep, StorageDep, page
from ml.contract.fusion_config import METHODS, MOST_MEMBERS, Method
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
HEATS = 5


@dataclass(frozen=True)
class Alike:
    """A table of correlations. `cells`: by pair its value as text, and from 1 to HEATS how alike they are among all
    pairs (0: a row with itself); `most` and `least`: the ids of two and their correlation; None where there is none."""

    cells: list[list[tuple[str, int]]]
    most: tuple[int, int, float] | None
    least: tuple[int, int, float] | None


@dataclass(frozen=True)
class BlendPage:
    """significance/blend.html. `blend`: None when the rows do not fit together, for the reasons `problems`; `fitting`:
    those that do. `made`: by method the row that there is already; `refused`: why none can be made."""

    contest: Contest
    metric: Metric
    most: int
    ids: str
    blend: Blend | None
    names: dict[Method, str]
    errors: Alike | None
    ranks: Alike | None
    problems: list[str]
    fitting: list[int]
    made: dict[Method, int]
    refused: str


@router.get("/contests/{slug}/blend")
def show(request: Request, slug: str, session: SessionDep, storage: StorageDep, ids: Ids) -> Response:
    """By method the gain over the best of these rows, and how alike their errors are."""
    contest = contest_queries.contest(session, slug)
    numbers = sorted({int(part) for part in ids.split(",")})
    try:
        found = blend(session, storage, contest, numbers)
    except Refused as error:
        problems = [field.message for field in error.fields] or [error.message]
        fitting = error.detail["fitting"] if isinstance(error.detail, dict) else []
        context = _page(contest, numbers, problems=problems, fitting=fitting)
        return page(request, "significance/blend.html", context, error.status)
    made, refused = _made(session, contest, numbers)
    return page(request, "significance/blend.html", _page(contest, numbers, found, made=made, refused=refused))


@router.post("/contests/{slug}/blend")
def make(
    slug: str,
    session: SessionDep,
    settings: SettingsDep,
    who: Annotated[Actor, Depends(member)],
    ids: Annotated[str, Form(pattern=r"^\d{1,18}(,\d{1,18})*$", max_length=2000)],
    method: Annotated[str, Form()],
) -> Response:
    """Queue the fusion by this method, and show its page; clicked twice it is one row."""
    known = next((item for item in METHODS if item == method), None)
    if known is None:
        message = _("method %(method)s is none of %(methods)s", method=repr(method[:30]), methods=", ".join(METHODS))
        raise Refused(message, [FieldError("method", message, method[:30])])
    contest, placement = contest_queries.contest(session, slug), Placement().on(settings.queue)
    numbers = [int(part) for part in ids.split(",")]
    row, _new = fusing.make(session, contest, numbers, known, placement, who.name)
    return RedirectResponse(f"/experiments/{row.id}", 303)


def _made(session: Session, contest: Contest, numbers: list[int]) -> tuple[dict[Method, int], str]:
    try:
        return fusing.made(session, contest, numbers), ""
    except AppError as error:
        return {}, error.message


def _page(
    contest: Contest,
    numbers: list[int],
    found: Blend | None = None,
    *,
    problems: list[str] | None = None,
    fitting: list[int] | None = None,
    made: dict[Method, int] | None = None,
    refused: str = "",
) -> BlendPage:
    return BlendPage(
        contest=contest,
        metric=METRICS[contest.metric],
        most=MOST_MEMBERS,
        ids=",".join(map(str, numbers)),
        blend=found,
        names={method: _(name) for method, name in NAMES.items()},
        errors=_alike(found.errors, numbers) if found else None,
        ranks=_alike(found.ranks, numbers) if found else None,
        problems=problems or [],
        fitting=fitting or [],
        made=made or {},
        refused=refused,
    )


def _alike(matrix: Matrix, numbers: list[int]) -> Alike:
    """`numbers`: the experiments, in the order of the matrix."""
    pairs = [
        (numbers[one], numbers[other], value)
        for one, row in enumerate(matrix)
        for other, value in enumerate(row)
        if one < other and value is not None
    ]
    most, least = (pick(pairs, key=lambda pair: pair[2], default=None) for pick in (max, min))
    low, span = (least[2], max(most[2] - least[2], 1e-12)) if least and most else (0.0, 1.0)

    def cell(one: int, other: int, value: float | None) -> tuple[str, int]:
        if value is None or one == other:
            return "–" if value is None else "1", 0
        return f"{value:.3f}", 1 + min(HEATS - 1, int((value - low) / span * HEATS))

    cells = [[cell(one, other, value) for other, value in enumerate(row)] for one, row in enumerate(matrix)]
    return Alike(cells, most, least)
