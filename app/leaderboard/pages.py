"""HTML: the leaderboard, its moving rows, and its downloads."""

from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import Refused
from app.leaderboard import exporting
from app.leaderboard.exporting import Line
from app.leaderboard.queries import PAGE_SIZE, ranked
from app.runs import queries as run_queries
from app.runs.worker_service import WORKER_AWAY
from app.security import member
from app.web import SessionDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(dependencies=[Depends(member)])


@dataclass(frozen=True)
class LeaderboardPage:
    """leaderboard/page.html and leaderboard/_rows.html. `workers` is how many reported lately."""

    contest: Contest
    metric: Metric
    lines: list[Line]
    total: int
    sort: str
    offset: int
    page_size: int
    workers: int


@router.get("/contests/{slug}")
def show(request: Request, slug: str, session: SessionDep, sort: str = "", offset: int = 0) -> Response:
    """The comparison table."""
    return page(request, "leaderboard/page.html", _context(session, slug, sort, offset))


@router.get("/contests/{slug}/rows")
def rows(request: Request, slug: str, session: SessionDep, sort: str = "", offset: int = 0) -> Response:
    """The table's rows alone, for live.js."""
    return page(request, "leaderboard/_rows.html", _context(session, slug, sort, offset))


def _context(session: Session, slug: str, sort: str, offset: int) -> LeaderboardPage:
    if offset < 0:
        raise Refused(f"offset={offset}: rows are counted from 0")
    contest = contest_queries.contest(session, slug)
    ranking = ranked(session, contest, sort=sort, offset=offset)
    return LeaderboardPage(
        contest=contest,
        metric=METRICS[contest.metric],
        lines=exporting.lines(contest, ranking.rows),
        total=ranking.total,
        sort=sort,
        offset=offset,
        page_size=PAGE_SIZE,
        workers=len(run_queries.workers_seen(session, clock(session) - WORKER_AWAY)),
    )


@router.get("/contests/{slug}/leaderboard.csv")
def as_csv(slug: str, session: SessionDep, sort: str = "") -> Response:
    """Every row for a spreadsheet."""
    contest = contest_queries.contest(session, slug)
    return _download(exporting.csv(session, contest, sort), "text/csv", f"{slug}.csv")


@router.get("/contests/{slug}/leaderboard.md")
def as_markdown(slug: str, session: SessionDep, sort: str = "") -> Response:
    """Every row as Markdown."""
    contest = contest_queries.contest(session, slug)
    return _download(exporting.markdown(session, contest, sort), "text/markdown", f"{slug}.md")


def _download(text: str, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type=f"{media_type}; charset=utf-8", headers=headers)
