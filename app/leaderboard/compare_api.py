"""REST: experiments beside each other, and the pairs that two of them judge differently."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.leaderboard.comparing import compare
from app.leaderboard.flips import flips
from app.leaderboard.selection import RowId
from app.security import member
from app.web import SessionDep, StorageDep
from ml.contract.scores import METRICS

router = APIRouter(prefix="/api/v1/contests/{slug}", tags=["leaderboard"], dependencies=[Depends(member)])
Ids = Annotated[str, Query(pattern=r"^\d{1,18}(,\d{1,18})*$", examples=["3,7"], description="ids of experiments")]
SHOWN_PAIRS = 50


def numbers(ids: str) -> list[int]:
    """`3,7` as numbers, each once."""
    return list(dict.fromkeys(int(part) for part in ids.split(",")))


def two_of(session: Session, contest: Contest, first: int, second: int) -> tuple[Experiment, Experiment]:
    """Two of the contest's experiments, perhaps the same. Raises NotFound."""
    one = experiment_queries.chosen(session, contest.id, [first])[0]
    return one, experiment_queries.chosen(session, contest.id, [second])[0]


@router.get("/compare")
def read_comparison(slug: str, session: SessionDep, ids: Ids, everything: bool = False) -> dict[str, Any]:
    """Experiments beside each other: by field its value in each, in the order of `ids`; `everything`: fields that are
    the same in all, too."""
    contest = contest_queries.contest(session, slug)
    better = METRICS[contest.metric].higher_is_better
    found = compare(session, contest, numbers(ids), higher_is_better=better)
    fields = {field.name: field.values for field in found.fields if field.differs or everything}
    scores = {
        split: [score.value if (score := getattr(row, split)) else None for row in found.rows]
        for split in ("train", "valid", "online")
    }
    names = [{"id": item.id, "name": item.name} for item in found.experiments]
    return {"experiments": names, "scores": scores, "fields": fields}


@router.get("/compare/pairs")
def read_pairs(
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    first: RowId,
    second: RowId,
    offset: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = SHOWN_PAIRS,
) -> dict[str, Any]:
    """The pairs that flip between two experiments, worst first: of `total` those from `offset` on; and slices."""
    contest = contest_queries.contest(session, slug)
    return asdict(flips(session, storage, *two_of(session, contest, first, second), limit=limit, offset=offset))
