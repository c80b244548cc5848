"""REST: what valid says about online, and what to send to the contest today."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from app.contests import queries as contest_queries
from app.security import member
from app.significance.findings import findings
from app.significance.sending import SHOWN, Candidate, sending
from app.significance.sending_words import reason
from app.significance.settling import settling
from app.significance.valid_online import Placed, Regime, Scored, Study, study
from app.significance.valid_online_words import reading, split_name, verdict
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1/contests/{slug}/valid-online", tags=["significance"], dependencies=[Depends(member)])


@router.get("")
def read_valid_online(
    slug: str, session: SessionDep, storage: StorageDep, limit: Annotated[int, Query(ge=1, le=10_000)] = SHOWN
) -> dict[str, Any]:
    """Rows by what their valid means: the robust line of each group, rank correlations, every row's residual with its
    reading, what rows not sent are expected to get, how many scores would settle the first places, and the first
    `limit` candidates of `send` with the reason in words."""
    contest = contest_queries.contest(session, slug)
    found = study(session, contest)
    settled, asked = settling(session, found), sending(session, storage, contest, found, limit)
    return {
        "metric": found.metric,
        "findings": findings(found),
        "best": _row(found.best) if found.best else None,
        "without_valid": [_row(row) for row in found.without_valid],
        "groups": [_group(found, regime) for regime in found.regimes],
        "settling": {
            "contenders": [item.row.id for item in settled.contenders],
            "cannot_come_first": settled.others,
            "unknown": settled.unknown,
            "neighbours": [
                asdict(item) | {"first": item.first.id, "second": item.second.id} for item in settled.neighbours
            ],
        },
        "send": {
            "total": asked.total,
            "without_file": asked.without_file,
            "candidates": [_candidate(found, item) for item in asked.candidates],
        },
    }


def _row(row: Scored) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "valid": row.valid,
        "online": row.online,
        "leaking": row.leaking,
        "uncertain": row.uncertain,
    }


def _group(found: Study, regime: Regime) -> dict[str, Any]:
    line = regime.line
    return {
        "split": split_name(regime),
        "verdict": verdict(regime),
        "change": asdict(regime.change) | {"from": regime.sent[0].row.id} if regime.change else None,
        "agreement": asdict(regime.agreement) if regime.agreement else None,
        "line": {"slope": line.slope, "height": line.height, "deviation": line.deviation} if line else None,
        "noise_share": regime.noise_share,
        "sent": [_placed(found, item) for item in regime.sent],
        "unsent": [_placed(found, item) for item in regime.unsent],
    }


def _placed(found: Study, item: Placed) -> dict[str, Any]:
    expected = asdict(item.expected) if item.expected else None
    told = _row(item.row) | {"expected": expected, "by_line": item.by_line}
    if item.row.online is not None:
        told |= {"residual": item.residual, "p": item.p, "reading": reading(found, item)}
    return told


def _candidate(found: Study, item: Candidate) -> dict[str, Any]:
    nearest = {"id": item.twin.id, "same": item.twin.same, "likeness": item.twin.likeness} if item.twin else None
    return {
        "id": item.row.id,
        "name": item.row.name,
        "gain": item.gain,
        "chance": item.chance,
        "expected": asdict(item.placed.expected) if item.placed.expected else None,
        "nearest_sent": nearest,
        "reason": reason(found, item),
    }
