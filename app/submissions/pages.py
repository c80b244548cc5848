"""HTML: a contest's submissions and its quota. A file before it is sent: check_pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import calendar
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, FieldError, NotFound, Refused
from app.experiments.models import Experiment
from app.language import ngettext
from app.security import Actor, member, needs
from app.storage import Storage
from app.submissions import (
    checking,
    files,
    importing,
    overview,
    queries,
    quota,
    remembering,
    snippets,
    stored,
)
from app.submissions.checks import Check
from app.submissions.files import FileToSend
from app.submissions.format import SubmissionFormat, format_of
from app.submissions.overview import Sent
from app.submissions.quota import Quota
from app.submissions.snippets import Snippets
from app.web import SessionDep, StorageDep, page, site_url
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
Member = Annotated[Actor, Depends(member)]
Text = Annotated[str, Form(max_length=2000)]
SUBMITS = [Depends(needs("submit"))]
SHOWN = 500


@dataclass(frozen=True)
class Planned:
    """A plan, its file as it is now, and what keeps this from being sent or should be looked at; empty: nothing, or
    there is no file yet, as `on_its_way` says."""

    sent: Sent
    file: FileToSend | None
    findings: list[Check]
    on_its_way: bool


@dataclass(frozen=True)
class SubmissionsPage:
    """submissions/page.html. `planned`: today's and later ones; `sent`: those that the contest took, and `others` what
    was withdrawn, refused or never sent; `hidden` older ones are not shown. `told`: what was just done;
    `error`: why it was not, with `problems` line by line."""

    contest: Contest
    metric: Metric
    form: SubmissionFormat
    quota: Quota
    planned: list[Planned]
    sent: list[Sent]
    others: list[Sent]
    hidden: int
    zones: Sequence[str]
    snippets: Snippets
    told: str
    error: str
    problems: Sequence[FieldError]
    typed_zone: str
    typed_number: str


@router.get("/contests/{slug}/submissions")
def show(
    request: Request, slug: str, session: SessionDep, storage: StorageDep, background: BackgroundTasks
) -> Response:
    """The quota of today, what is planned, and what was sent with its scores."""
    contest = contest_queries.contest(session, slug)
    told = request.session.pop("told", "")
    context = _page(request, session, storage, contest, told=told)
    for item in context.planned:
        if item.file is not None and item.sent.experiment_id is not None:
            number = item.sent.experiment_id
            background.add_task(remembering.remember, request.app.state.database, storage, number)
    return page(request, "submissions/page.html", context)


def _page(
    request: Request,
    session: Session,
    storage: Storage,
    contest: Contest,
    *,
    told: str = "",
    error: AppError | None = None,
    typed: tuple[str, str] | None = None,
) -> SubmissionsPage:
    day = quota.of_day(session, contest)
    rows = overview.of_contest(session, contest, day.day, SHOWN)
    planned = [item for item in rows if item.row.state == "planned" and not item.lapsed]
    sent = [item for item in rows if item.row.state == "sent"]
    others = [item for item in rows if item.row.state in {"withdrawn", "refused"} or item.lapsed]
    settings = request.app.state.settings
    limit = "" if contest.submissions_a_day is None else str(contest.submissions_a_day)
    return SubmissionsPage(
        contest=contest,
        metric=METRICS[contest.metric],
        form=format_of(contest),
        quota=day,
        planned=[_planned(session, storage, contest, item) for item in planned],
        sent=sent,
        others=others,
        hidden=queries.count(session, contest.id) - len(rows),
        zones=calendar.zone_names(),
        snippets=snippets.of_contest(
            site_url(request),
            contest.slug,
            format_of(contest).sent_name,
            signed_in=not settings.on_loopback,
        ),
        told=told,
        error=error.message if error else "",
        problems=error.fields if error else (),
        typed_zone=typed[0] if typed else contest.time_zone,
        typed_number=typed[1] if typed else limit,
    )


def _planned(session: Session, storage: Storage, contest: Contest, item: Sent) -> Planned:
    experiment = session.get(Experiment, item.experiment_id) if item.experiment_id else None
    if experiment is None or stored.found(session, experiment) is None:
        return Planned(item, None, [], on_its_way=not item.broken)
    try:
        file = files.file_of(session, storage, experiment)
    except (NotFound, Refused) as why:
        return Planned(item, None, [Check("form", "refuse", why.message)], on_its_way=False)
    found = checking.gate(session, contest, experiment, file, item.row.board)
    return Planned(item, file, [check for check in found if check.state != "ok"], on_its_way=False)


@router.post("/contests/{slug}/submissions/quota")
def change_quota(
    request: Request,
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    time_zone: Text = "",
    submissions_a_day: Text = "",
) -> Response:
    """Another zone or number of files a day."""
    contest = contest_queries.contest(session, slug)
    try:
        number = quota.number_a_day(submissions_a_day)
        quota.change(session, contest, time_zone=time_zone.strip(), a_day=number)
    except Refused as error:
        context = _page(request, session, storage, contest, error=error, typed=(time_zone, submissions_a_day))
        return page(request, "submissions/page.html", context, error.status)
    return RedirectResponse(f"/contests/{slug}/submissions", 303)


@router.post("/contests/{slug}/submissions/csv", dependencies=SUBMITS)
def import_csv(request: Request, slug: str, who: Member, file: Annotated[UploadFile, File()]) -> Response:
    """Many scores at once, all or none; what is wrong with a file is told line by line."""
    database, storage = request.app.state.database, request.app.state.storage
    try:
        with database.writing() as session:  # of its own: a bad line undoes the others, and the page is shown anyway
            contest = contest_queries.contest(session, slug)
            content = file.file.read(importing.MOST_BYTES + 1)
            found = importing.import_scores(session, contest, content, who.name)
    except Refused as error:
        with database.reading() as session:
            context = _page(request, session, storage, contest_queries.contest(session, slug), error=error)
            return page(request, "submissions/page.html", context, error.status)
    told = ngettext("%(num)d score was imported.", "%(num)d scores were imported.", found.new)
    if found.known:
        more = ngettext("%(num)d line was here before.", "%(num)d lines were here before.", len(found.known))
        told = f"{told} {more}"
    request.session["told"] = told
    return RedirectResponse(f"/contests/{slug}/submissions", 303)
