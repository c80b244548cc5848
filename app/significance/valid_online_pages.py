"""HTML: what valid says about online, and what to send to the contest today."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.gate import CHARTS_CSP
from app.security import member
from app.significance import sending_words, valid_online_words
from app.significance.findings import findings
from app.significance.robust_line import LEAST
from app.significance.sending import BESIDE, SHOWN, Candidate, Sending, sending
from app.significance.settling import Settling, settling
from app.significance.valid_online import Placed, Regime, Study, study
from app.significance.valid_online_chart import chart_data
from app.web import SessionDep, StorageDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
#: rows not sent, and candidates: how many of each are shown
Limit = Annotated[int, Query(ge=1, le=10_000, description="of candidates, and of rows that were not sent")]


@dataclass(frozen=True)
class ValidOnlinePage:
    """significance/valid_online.html. `findings`: what the page says by itself; `unsent`: the first `limit` rows
    without an online score, by what is expected of them, of `waiting`; `number`: the group of each row that was not
    sent, as a reader counts; `data`: what valid_online.js draws. The last five say a thing in words."""

    contest: Contest
    metric: Metric
    study: Study
    findings: list[str]
    settling: Settling
    sending: Sending
    unsent: list[Placed]
    waiting: int
    limit: int
    least: int
    beside: int
    data: dict[str, Any]
    number: dict[int, int]
    reading: Callable[[Study, Placed], str]
    reason: Callable[[Study, Candidate], list[str]]
    split_name: Callable[[Regime], str]
    verdict: Callable[[Regime], str]
    p_value: Callable[[float], str]


@router.get("/contests/{slug}/valid-online")
def show(request: Request, slug: str, session: SessionDep, storage: StorageDep, limit: Limit = SHOWN) -> Response:
    """Each row's valid beside its online score, lines with intervals, and the rows to send."""
    contest = contest_queries.contest(session, slug)
    found = study(session, contest)
    unsent = by_expectation(found)
    context = ValidOnlinePage(
        contest=contest,
        metric=METRICS[contest.metric],
        study=found,
        findings=findings(found),
        settling=settling(session, found),
        sending=sending(session, storage, contest, found, limit),
        unsent=unsent[:limit],
        waiting=len(unsent),
        limit=limit,
        least=LEAST,
        beside=BESIDE,
        data=chart_data(found, unsent[:limit]),
        number={item.row.id: place for place, regime in enumerate(found.regimes, 1) for item in regime.unsent},
        reading=valid_online_words.reading,
        reason=sending_words.reason,
        split_name=valid_online_words.split_name,
        verdict=valid_online_words.verdict,
        p_value=valid_online_words.p_value,
    )
    return page(request, "significance/valid_online.html", context, headers={"Content-Security-Policy": CHARTS_CSP})


def by_expectation(found: Study) -> list[Placed]:
    """Rows that were not sent, the most promising first; those of which nothing can be expected last, newest first."""

    def order(item: Placed) -> tuple[bool, float, int]:
        return item.expected is None, -found.better * (item.expected.value if item.expected else 0.0), -item.row.id

    return sorted(found.unsent, key=order)
