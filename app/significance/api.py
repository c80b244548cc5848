"""REST: which rows differ by more than noise, and two of them in detail."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from app.contests import queries as contest_queries
from app.experiments import queries as experiment_queries
from app.security import member
from app.significance.noise import noise, paired
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1/contests/{slug}/significance", tags=["significance"], dependencies=[Depends(member)])
Ids = Annotated[str, Query(pattern=r"^\d{1,18}(,\d{1,18})*$", max_length=2000, description="ids of experiments: 3,7")]
RowId = Annotated[int, Query(ge=0, lt=1 << 62)]


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
