"""HTML: the leaderboard, its moving rows, what is done to selected ones, and its downloads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, Refused
from app.experiments import queries as experiment_queries
from app.language import gettext as _
from app.leaderboard import columns, exporting, saved, saved_queries, selection
from app.leaderboard.drawn_rows import DrawnRows
from app.leaderboard.exporting import Line
from app.leaderboard.group_queries import Group, grouped
from app.leaderboard.models import SavedView
from app.leaderboard.queries import SORT_KEYS
from app.leaderboard.row_queries import Row
from app.leaderboard.search import CHECKS, FIELDS, STATES
from app.leaderboard.view import MORE, SORTED_AS, View
from app.leaderboard.view_api import ViewDep
from app.runs import fusing
from app.runs import queries as run_queries
from app.runs.worker_service import WORKER_AWAY
from app.security import member
from app.significance.api import standing_of
from app.significance.standing import Standing
from app.web import SessionDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
_DRAWN = DrawnRows()


@dataclass(frozen=True)
class NamedView:
    """A saved view as a link: the address that opens it, and whether it is what the page shows."""

    saved: SavedView
    address: str
    current: bool


@dataclass(frozen=True)
class LeaderboardPage:
    """leaderboard/page.html and leaderboard/_rows.html. `workers` is how many reported lately; `more` are the columns
    that can be shown beside the scores; `total` rows were found of `everything`, `elsewhere` lie in the archive (in the
    archive: in the table), `trashed` in the trash. `told`: what became of the rows that were selected before;
    `groups`: sums of the found rows by view.group; `fields`: of the config, that they can be grouped by. `typed`: a
    name that a view could not be saved under, for the reason `problem`; `filters`: the search by its columns;
    `check_words`: what it can ask of a row's checks.
    `standing`: which rows can't be told apart, None before it is known. `drawn`: rows as they were drawn before."""

    contest: Contest
    metric: Metric
    lines: list[Line]
    total: int
    everything: int
    elsewhere: int
    trashed: int
    view: View
    against: Row | None
    more: dict[str, tuple[str, str]]
    sorted_as: dict[str, str]
    sort_keys: Sequence[str]
    workers: int
    tags: Sequence[str]
    told: str
    groups: list[Group]
    fields: Sequence[str]
    views: Sequence[NamedView]
    problem: str
    typed: str
    filters: dict[str, str]
    states: dict[str, str]
    check_words: Sequence[str]
    standing: Standing | None
    drawn: DrawnRows


@router.get("/contests/{slug}")
def show(request: Request, background: BackgroundTasks, slug: str, session: SessionDep, view: ViewDep) -> Response:
    """The comparison table. What was typed under the heads of columns becomes the search, in the address; who asks for
    nothing gets the contest's default view."""
    typed = {
        name.removeprefix(columns.PREFIX): text
        for name, text in request.query_params.items()
        if name.startswith(columns.PREFIX)
    }
    if typed:
        found = replace(view, search=columns.join(view.search, typed), offset=0)
        return RedirectResponse(f"/contests/{slug}{found.address()}", 303)
    if not request.url.query:
        default = saved_queries.default_of(session, contest_queries.contest(session, slug).id)
        if default is not None:
            return RedirectResponse(f"/contests/{slug}{_address(saved.view_of(default))}", 303)
    return shown(request, background, session, slug, view)


def shown(
    request: Request,
    background: BackgroundTasks,
    session: Session,
    slug: str,
    view: View,
    *,
    problem: str = "",
    typed: str = "",
    status: int = 200,
) -> Response:
    """The page of this view. `problem`: why it could not be saved under the name `typed`."""
    told = request.session.pop("told", "")
    if view.lenient:
        view, gone = saved.opened(session, contest_queries.contest(session, slug), replace(view, lenient=False))
        told = " ".join(
            [told] * bool(told) + [_("Of this view something is gone: %(what)s.", what=text) for text in gone]
        )
    look = partial(standing_of, request, background)
    context = _context(session, slug, view, look, told, problem=problem, typed=typed)
    return page(request, "leaderboard/page.html", context, status)


@router.get("/contests/{slug}/rows")
def rows(request: Request, background: BackgroundTasks, slug: str, session: SessionDep, view: ViewDep) -> Response:
    """The table's rows alone, for live.js."""
    look = partial(standing_of, request, background)
    return page(request, "leaderboard/_rows.html", _context(session, slug, view, look, whole=False))


def _context(
    session: Session,
    slug: str,
    view: View,
    look: Callable[[Session, int], Standing | None],
    told: str = "",
    *,
    problem: str = "",
    typed: str = "",
    whole: bool = True,
) -> LeaderboardPage:
    """`whole`: what stands around the rows, too."""
    contest = contest_queries.contest(session, slug)
    summed = bool(view.group) and whole
    groups = grouped(session, contest, view.group, search=view.search, archived=view.archived) if summed else []
    total = sum(group.rows for group in groups) if summed else None
    ranking = exporting.page_of(session, contest, view, limit=view.limit, offset=view.offset, total=total)
    against = exporting.baseline(session, contest, view)
    return LeaderboardPage(
        contest=contest,
        metric=METRICS[contest.metric],
        lines=exporting.lines(
            contest, ranking.rows, against, exporting.checks_of(session, contest, view, ranking.rows)
        ),
        total=ranking.total,
        everything=ranking.everything,
        elsewhere=ranking.elsewhere,
        trashed=ranking.trashed,
        view=view,
        against=against,
        more=MORE,
        sorted_as=SORTED_AS,
        sort_keys=SORT_KEYS,
        workers=len(run_queries.workers_seen(session, WORKER_AWAY)),
        tags=experiment_queries.tags_in(session, contest.id) if whole else (),
        told=told,
        groups=groups,
        fields=FIELDS,
        views=_named(session, contest, view) if whole else (),
        problem=problem,
        typed=typed,
        filters=columns.split(view.search)[0],
        states={state: _(state) for state in STATES},
        check_words=CHECKS,
        standing=look(session, contest.id),
        drawn=_DRAWN,
    )


def _named(session: Session, contest: Contest, view: View) -> list[NamedView]:
    found = [(item, saved.view_of(item)) for item in saved_queries.views_of(session, contest.id)]
    return [NamedView(item, _address(held), held.same(view)) for item, held in found]


def _address(view: View) -> str:
    """That opens a saved view whatever of it is gone."""
    return f"{view.address()}&saved=true"


#: what goes on with the ticked rows on another page
_ELSEWHERE = {
    "compare": "/contests/{slug}/compare?ids={ids}",
    "blend": "/contests/{slug}/blend?ids={ids}",
    "trash": "/contests/{slug}/trash?ids={ids}",
    "fuse": "/experiments/new?contest={slug}&fuse={ids}",
}
#: of them, those for who reads
_READING = {"compare", "blend"}


@router.get("/contests/{slug}/selection")
def look_at_many(
    slug: str,
    session: SessionDep,
    action: Annotated[str, Query()] = "",
    ids: Annotated[list[selection.RowId] | None, Query()] = None,
) -> Response:
    """To a page of the ticked rows that changes nothing: readers look at them, too."""
    contest_queries.contest(session, slug)
    if not ids or action not in _READING:
        return RedirectResponse(f"/contests/{slug}", 303)
    return RedirectResponse(_ELSEWHERE[action].format(slug=slug, ids=",".join(map(str, ids))), 303)


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
    back, listed = view.address(), ",".join(map(str, ids or []))
    if action in _ELSEWHERE and ids:
        try:
            if action == "fuse":
                fusing.fused(session, contest, ids)
            return RedirectResponse(_ELSEWHERE[action].format(slug=slug, ids=listed), 303)
        except AppError as error:
            request.session["told"] = error.message
    elif action == "only" and ids:
        back = view.address(search=f"id:{listed}", offset=0)
    else:
        try:
            request.session["told"] = _told(selection.apply(session, contest, ids or [], action, tag), action, tag)
        except Refused as error:
            request.session["told"] = error.message
    return RedirectResponse(f"/contests/{slug}{back}", 303)


def _told(outcome: selection.Outcome, action: str, tag: str) -> str:
    """In a sentence; it goes by a cookie, so at most three reasons, and how many more there are."""
    told = _(selection.DONE[action], count=len(outcome.done), tag=tag.strip())
    if not outcome.left:
        return told
    reasons = "; ".join(f"{number}: {why}" for number, why in list(outcome.left.items())[:3])
    more = _("; and %(count)s more", count=len(outcome.left) - 3) if len(outcome.left) > 3 else ""
    return told + " " + _("Left as they are: %(reasons)s%(more)s.", reasons=reasons, more=more)


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
