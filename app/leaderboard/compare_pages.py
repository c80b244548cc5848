"""HTML: experiments beside each other, and the pairs that two of them judge differently."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import Refused
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.gate import CHARTS_CSP
from app.leaderboard import flips as flipping
from app.leaderboard.compare_api import SHOWN_PAIRS, Ids, numbers, two_of
from app.leaderboard.comparing import Comparison, chart_data, compare
from app.leaderboard.flips import Flips
from app.leaderboard.selection import RowId
from app.runs import queries as run_queries
from app.runs.curve_pages import ChartGroup, chart_groups
from app.runs.models import Run
from app.security import member
from app.significance.noise import Noise, Paired, noise, paired
from app.web import SessionDep, StorageDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])


@dataclass(frozen=True)
class ComparePage:
    """leaderboard/compare.html. `everything`: fields that are the same in all are shown, too. `data`: what
    compare.js draws."""

    contest: Contest
    metric: Metric
    comparison: Comparison
    ids: str
    everything: bool
    same: int
    charts: list[ChartGroup]
    data: dict[str, Any]
    noise: Noise


@dataclass(frozen=True)
class PairsPage:
    """leaderboard/pairs.html. `paired`: why not, when their pairs can't tell anything (one label alone)."""

    contest: Contest
    first: Experiment
    second: Experiment
    flips: Flips
    paired: Paired | str
    offset: int
    limit: int
    others: Sequence[Experiment]


@router.get("/contests/{slug}/compare")
def show(
    request: Request, slug: str, session: SessionDep, storage: StorageDep, ids: Ids, everything: bool = False
) -> Response:
    """Any number of experiments: what differs, curves over each other, and fields against scores."""
    contest = contest_queries.contest(session, slug)
    metric = METRICS[contest.metric]
    comparison = compare(session, contest, numbers(ids), higher_is_better=metric.higher_is_better)
    runs: dict[int, Run] = {}
    labels: dict[int, list[str]] = {}
    for experiment in comparison.experiments:
        for run in run_queries.runs_of(session, experiment.id):
            runs[run.id] = run
            labels.setdefault(run.id, []).append(experiment.name)
    charts = chart_groups(list(runs.values()), labels)
    context = ComparePage(
        contest=contest,
        metric=metric,
        comparison=comparison,
        ids=ids,
        everything=everything,
        same=sum(not field.differs for field in comparison.fields),
        charts=charts,
        data=chart_data(comparison),
        noise=noise(session, storage, comparison.experiments),
    )
    return page(request, "leaderboard/compare.html", context, headers={"Content-Security-Policy": CHARTS_CSP})


@router.get("/contests/{slug}/compare/pairs")
def show_pairs(
    request: Request,
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    first: RowId,
    second: RowId,
    ids: Annotated[str, Query(pattern=r"^(\d{1,18}(,\d{1,18})*)?$")] = "",
    offset: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
) -> Response:
    """The pairs that flip between two experiments, worst first, and slices of the valid part."""
    contest = contest_queries.contest(session, slug)
    one, two = two_of(session, contest, first, second)
    found = flipping.flips(session, storage, one, two, limit=SHOWN_PAIRS, offset=offset)
    others = experiment_queries.chosen(session, contest.id, numbers(ids)) if ids else [one, two]
    judged: Paired | str
    try:
        judged = paired(session, storage, one, two)
    except Refused as error:
        judged = error.message
    context = PairsPage(contest, one, two, found, judged, offset, SHOWN_PAIRS, others)
    return page(request, "leaderboard/pairs.html", context)
