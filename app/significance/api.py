"""REST: which rows differ by more than noise, and two of them in detail; what pages ask for where rows stand."""

import time
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.experiments import queries as experiment_queries
from app.security import member
from app.significance import standing
from app.significance.noise import noise, paired
from app.significance.standing import Standing
from app.web import SessionDep, StorageDep

#: a contest is looked at for news again at most this often, whatever asks
LOOKED_AFTER_S = 3.0
router = APIRouter(prefix="/api/v1/contests/{slug}/significance", tags=["significance"], dependencies=[Depends(member)])
Ids = Annotated[str, Query(pattern=r"^\d{1,18}(,\d{1,18})*$", max_length=2000, description="ids of experiments: 3,7")]
RowId = Annotated[int, Query(ge=0, lt=1 << 62)]


def standing_of(request: Request, background: BackgroundTasks, session: Session, contest_id: int) -> Standing | None:
    """Where the contest's best rows stand, as it is known; what is new is counted after the answer has left."""
    looked: dict[int, float] = request.app.state.looked
    if time.monotonic() - looked.get(contest_id, -LOOKED_AFTER_S) >= LOOKED_AFTER_S:
        looked[contest_id] = time.monotonic()
        background.add_task(standing.judge, request.app.state.database, request.app.state.storage, contest_id)
    return standing.standing(session, contest_id)


@router.get("/standing")
def read_standing(request: Request, background: BackgroundTasks, slug: str, session: SessionDep) -> Standing | None:
    """The contest's best rows by split, as the leaderboard shows them: tiers, how many rows the split has chosen among,
    and by how much the best is expected to flatter. Counted after the answer has left: null before the first time."""
    return standing_of(request, background, session, contest_queries.contest(session, slug).id)


@router.get("")
def read_noise(slug: str, session: SessionDep, storage: StorageDep, ids: Ids) -> dict[str, Any]:
    """Experiments that held out the same rows beside each other, by split: AUC with its 95% interval, the tier in which
    rows can't be told apart (paired DeLong over components, Holm), and by how much the best is expected to flatter."""
    contest = contest_queries.contest(session, slug)
    numbers = list(dict.fromkeys(int(part) for part in ids.split(",")))
    found = asdict(noise(session, storage, experiment_queries.chosen(session, contest.id, numbers)))
    return found | {"left": [{"id": number, "why": why} for number, why in found["left"].items()]}


@router.get("/paired")
def read_paired(slug: str, session: SessionDep, storage: StorageDep, first: RowId, second: RowId) -> dict[str, Any]:
    """Two experiments on the pairs that both held out: the difference of their AUCs with interval and p-value (DeLong
    over components; resampling of components), and McNemar's test of their accuracies."""
    contest = contest_queries.contest(session, slug)
    one, two = (experiment_queries.chosen(session, contest.id, [number])[0] for number in (first, second))
    found = paired(session, storage, one, two)
    return asdict(found) | {"is_noise": found.is_noise}
