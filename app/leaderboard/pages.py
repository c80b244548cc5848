"""HTML: the leaderboard, its moving rows, what is done to selected ones, and its downloads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import Refused
from app.experiments import queries as experiment_queries
from app.leaderboard import exporting, selection
from app.leaderboard.exporting import Line
from app.leaderboard.group_queries import Group, grouped
from app.leaderboard.queries import Row
from app.leaderboard.search import FIELDS
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
    that can be shown beside the scores; `total` rows were found of `everything`, `elsewhere` lie in the archive (in the
    archive: in the table). `told`: what became of the rows that were selected before; `groups`: sums of the found
    rows by view.group; `fields`: of the config, that they can be grouped by."""

    contest: Contest
    metric: Metric
    lines: list[Line]
    total: int
    everything: int
    elsewhere: int
    view: View
    against: Row | None
    more: dict[str, tuple[str, str, str]]
    workers: int
    tags: Sequence[str]
    told: str
    groups: list[Group]
    fields: Sequence[str]


@router.get("/contests/{slug}")
def show(request: Request, slug: str, session: SessionDep, view: ViewDep) -> Response:
    """The comparison table."""
    told = request.session.pop("told", "")
    return page(request, "leaderboard/page.html", _context(session, slug, view, told))


@router.get("/contests/{slug}/rows")
def rows(request: Request, slug: str, session: SessionDep, view: ViewDep) -> Response:
    """The table's rows alone, for live.js."""
    return page(request, "leaderboard/_rows.html", _context(session, slug, view, summed_up=False))


def _context(session: Session, slug: str, view: View, told: str = "", *, summed_up: bool = True) -> LeaderboardPage:
    contest = contest_queries.contest(session, slug)
    ranking = exporting.page_of(session, contest, view, limit=view.limit, offset=view.offset)
    against = exporting.baseline(session, contest, view)
    return LeaderboardPage(
        contest=contest,
        metric=METRICS[contest.metric],
        lines=exporting.lines(contest, ranking.rows, against),
        total=ranking.total,
        everything=ranking.everything,
        elsewhere=ranking.elsewhere,
        view=view,
        against=against,
        more=MORE,
        workers=len(run_queries.workers_seen(session, clock(session) - WORKER_AWAY)),
        tags=experiment_queries.tags_in(session, contest.id),
        told=told,
        groups=grouped(session, contest, view.group, search=view.search, archived=view.archived)
        if view.group and summed_up
        else [],
        fields=FIELDS,
    )


@router.post("/contests/{slug}/selection")
def act_on_many(
    request: Request,
    slug: str,
    session: SessionDep,
    view: ViewDep,
    action: Annotated[str, Form()] = "",
    ids: Annotated[list[selection.RowId] | None, Form()] = None,
    tag: Annotated[str, Form()] = "",
) -> Response:
    """Do it to the ticked rows, and show the same view again, with what became of them."""
    contest = contest_queries.contest(session, slug)
    back = view.query()
    if action == "compare" and ids:
        return RedirectResponse(f"/contests/{slug}/compare?ids={','.join(map(str, ids))}", 303)
    if action == "only" and ids:
        back = view.query(search=f"id:{','.join(map(str, ids))}", offset=0)
    else:
        try:
            request.session["told"] = _told(selection.apply(session, contest, ids or [], action, tag), action, tag)
        except Refused as error:
            request.session["told"] = error.message
    return RedirectResponse(f"/contests/{slug}?{back}", 303)


def _told(outcome: selection.Outcome, action: str, tag: str) -> str:
    """In a sentence; it goes by a cookie, so at most three reasons, and how many more there are."""
    word = selection.DONE[action] + (f" {tag.strip()}" if tag and action in {"tag", "untag"} else "")
    left = [f"{number}: {why}" for number, why in outcome.left.items()]
    more = f"; and {len(left) - 3} more" if len(left) > 3 else ""
    return f"{len(outcome.done)} {word}." + (f" Left as they are: {'; '.join(left[:3])}{more}." if left else "")


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
