"""HTML: the leaderboard, its moving rows, and its downloads."""

from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.leaderboard import exporting
from app.leaderboard.exporting import Line
from app.leaderboard.queries import Row, ranked
from app.leaderboard.view import MORE, View
from app.leaderboard.view_api import ViewDep
from app.runs import queries as run_queries
from app.runs.worker_service import WORKER_AWAY
from app.security import member
from app.web import SessionDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(dependencies=[Depends(member)])


@dataclass(frozen=True)
class LeaderboardPage:
    """leaderboard/page.html and leaderboard/_rows.html. `workers` is how many reported lately; `more` are the columns
    that can be shown beside the scores; `total` rows were found of `everything`."""

    contest: Contest
    metric: Metric
    lines: list[Line]
    total: int
    everything: int
    view: View
    against: Row | None
    more: dict[str, tuple[str, str, str]]
    workers: int


@router.get("/contests/{slug}")
def show(request: Request, slug: str, session: SessionDep, view: ViewDep) -> Response:
    """The comparison table."""
    return page(request, "leaderboard/page.html", _context(session, slug, view))


@router.get("/contests/{slug}/rows")
def rows(request: Request, slug: str, session: SessionDep, view: ViewDep) -> Response:
    """The table's rows alone, for live.js."""
    return page(request, "leaderboard/_rows.html", _context(session, slug, view))


def _context(session: Session, slug: str, view: View) -> LeaderboardPage:
    contest = contest_queries.contest(session, slug)
    ranking = ranked(session, contest, sort=view.sort, search=view.search, limit=view.limit, offset=view.offset)
    against = exporting.baseline(session, contest, view)
    return LeaderboardPage(
        contest=contest,
        metric=METRICS[contest.metric],
        lines=exporting.lines(contest, ranking.rows, against),
        total=ranking.total,
        everything=ranking.everything,
        view=view,
        against=against,
        more=MORE,
        workers=len(run_queries.workers_seen(session, clock(session) - WORKER_AWAY)),
    )


@router.get("/contests/{slug}/leaderboard.csv")
def as_csv(slug: str, session: SessionDep, view: ViewDep) -> Response:
    """Every row that is found, for a spreadsheet."""
    contest = contest_queries.contest(session, slug)
    return _download(exporting.csv(session, contest, view), "text/csv", f"{slug}.csv")


@router.get("/contests/{slug}/leaderboard.md")
def as_markdown(slug: str, session: SessionDep, view: ViewDep) -> Response:
    """Every row that is found, as Markdown."""
    contest = contest_queries.contest(session, slug)
    return _download(exporting.markdown(session, contest, view), "text/markdown", f"{slug}.md")


@router.get("/contests/{slug}/leaderboard.tex")
def as_latex(slug: str, session: SessionDep, view: ViewDep) -> Response:
    """Every row that is found, as LaTeX."""
    contest = contest_queries.contest(session, slug)
    return _download(exporting.latex(session, contest, view), "application/x-tex", f"{slug}.tex")


def _download(text: str, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type=f"{media_type}; charset=utf-8", headers=headers)
