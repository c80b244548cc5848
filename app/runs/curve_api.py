"""REST of curves: a window of any of them for any runs, and only what is new since a page last asked."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.errors import FieldError, Refused
from app.language import gettext as _
from app.runs import curve_service, queries
from app.runs.curve_service import Curve
from app.runs.models import Run
from app.security import member
from app.web import SessionDep

router = APIRouter(prefix="/api/v1/curves", tags=["curves"], dependencies=[Depends(member)])
_SEEN = re.compile(r"(\d{1,18}):(\d{1,9}):(\d{1,9})", re.ASCII)
RunId = Annotated[int, Field(ge=1, lt=1 << 63)]
Runs = Annotated[list[RunId], Query(min_length=1, max_length=200, description="ids of runs")]
Series = Annotated[list[str], Query(min_length=1, max_length=20, description="loss, learning_rate, valid_roc_auc, ...")]


class CurveOut(BaseModel):
    """Points of one curve of one run. `total`: how many were read for it, before they were made fewer."""

    run: int
    series: str
    x: list[float]
    y: list[float]
    total: int


class CurvesOut(BaseModel):
    """`active`: one of the runs may still tell more. `cursor`: send it as `after` to get only what is new."""

    axis: str
    curves: list[CurveOut]
    active: bool
    cursor: str


@router.get("", response_model=CurvesOut)
def read_curves(
    session: SessionDep,
    run: Runs,
    series: Series,
    x: str = "step",
    low: Annotated[float | None, Query(alias="from", allow_inf_nan=False)] = None,
    high: Annotated[float | None, Query(alias="to", allow_inf_nan=False)] = None,
    points: Annotated[int, Query(ge=10, le=20_000, description="about so many a curve")] = 1000,
) -> Response:
    """Curves over `x` (step, epoch, rows, or time in hours), from one value of it to another. Of many points the lowest
    and the highest of each stretch are given: no peak is lost."""
    runs = [queries.run(session, number) for number in dict.fromkeys(run)]
    found = {item: curve_service.curves(session, item, series, x=x, low=low, high=high, most=points) for item in runs}
    return _answer(session, x, found)


@router.get("/new", response_model=CurvesOut)
def read_new_points(session: SessionDep, series: Series, after: str, x: str = "step") -> Response:
    """The points that came after `after`, the cursor of an answer before. Where they begin at a smaller x than is
    known already, the run was taken up anew from there: forget what is known beyond it."""
    seen = _seen(after)
    runs = {number: queries.run(session, number) for number in seen}
    found = {runs[number]: curve_service.news(session, runs[number], series, at, x) for number, at in seen.items()}
    return _answer(session, x, found)


def _answer(session: Session, axis: str, found: dict[Run, dict[str, Curve]]) -> Response:
    seen = {run.id: curve_service.cursor(session, run) for run in found}
    out = CurvesOut(
        axis=axis,
        curves=[
            CurveOut.model_construct(run=run.id, series=name, x=curve.x, y=curve.y, total=curve.total)
            for run, curves in found.items()
            for name, curve in curves.items()
        ],
        active=any(run.status in {"queued", "running"} for run in found),
        cursor=",".join(f"{number}:{attempt}:{event}" for number, (attempt, event) in seen.items()),
    )
    return Response(out.model_dump_json(), media_type="application/json")


def _seen(after: str) -> dict[int, tuple[int, int]]:
    found = [_SEEN.fullmatch(part) for part in after.split(",")]
    if len(found) > 200 or not all(found):
        message = _("send the cursor of an answer before, as it was")
        raise Refused(f"after={after[:60]!r}: {message}", [FieldError("after", message, after[:60])])
    return {int(part[1]): (int(part[2]), int(part[3])) for part in found if part}
