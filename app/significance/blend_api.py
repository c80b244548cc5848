"""REST: what a blend of rows of the table would gain, and the row that makes it."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.contests import queries as contest_queries
from app.experiments.api import ExperimentOut, experiment_out
from app.runs import fusing
from app.runs.placement import Placement
from app.security import Actor, member
from app.significance.blending import blend
from app.web import SessionDep, SettingsDep, StorageDep
from ml.contract.fusion_config import MOST_MEMBERS, Method

router = APIRouter(prefix="/api/v1/contests/{slug}/blend", tags=["significance"], dependencies=[Depends(member)])
Ids = Annotated[
    str, Query(pattern=r"^\d{1,18}(,\d{1,18})*$", max_length=2000, examples=["3,7"], description="ids of experiments")
]


class NewBlend(BaseModel):
    """Which rows, and how they become one."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Annotated[int, Field(ge=1, lt=1 << 63)]] = Field(
        min_length=2, max_length=MOST_MEMBERS, examples=[[3, 7, 9]]
    )
    method: Method
    placement: Placement = Field(default_factory=Placement)


@router.get("")
def read_blend(slug: str, session: SessionDep, storage: StorageDep, ids: Ids) -> dict[str, Any]:
    """2 to 50 experiments that held out the same rows: how alike their errors are (Pearson's correlation of label minus
    probability, Spearman's of the predictions, both in the order of `members`); by method the AUC, cross-fitted by
    component where weights are found, and its gain over the best member with 95% interval (DeLong over components); of
    each member its weights and what the mean of ranks loses without it. `optimism_of_method`: by how much the best
    method is expected to flatter, since it was chosen by these numbers; `optimism_of_member`: the best member."""
    contest = contest_queries.contest(session, slug)
    return asdict(blend(session, storage, contest, [int(part) for part in ids.split(",")]))


@router.post(
    "", status_code=201, responses={200: {"model": ExperimentOut, "description": "there is a row of this already"}}
)
def make_blend(
    slug: str,
    body: NewBlend,
    session: SessionDep,
    settings: SettingsDep,
    response: Response,
    who: Annotated[Actor, Depends(member)],
) -> ExperimentOut:
    """Queue the fusion of these rows by this method; its run writes its test file. Asked twice it is one row."""
    contest, placement = contest_queries.contest(session, slug), body.placement.on(settings.queue)
    row, new = fusing.make(session, contest, body.ids, body.method, placement, who.name)
    if not new:
        response.status_code = 200
    return experiment_out(session, row)
