"""HTML: a file before it is sent, and what people do about it: plan, send, withdraw, type in its score."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import calendar
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import AppError, FieldError, NotFound, Refused
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.experiments.pages import CHARTS, page_of
from app.language import gettext as _
from app.security import member
from app.storage import Storage
from app.submissions import checking, checks, overview, queries, quota, remembering, sending, service, uploaded
from app.submissions.check_api import of_contest
from app.submissions.checking import Examined
from app.submissions.overview import Sent
from app.submissions.pages import SUBMITS, Member, Text
from app.submissions.quota import Quota
from app.web import SessionDep, StorageDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])


@dataclass(frozen=True)
class CheckPage:
    """submissions/check.html. `examined`: None where there is no file, for the reason `missing`; `mine`: what was
    planned or sent of it; `names` are those of checks."""

    contest: Contest
    metric: Metric
    experiment: Experiment
    quota: Quota
    examined: Examined | None
    missing: str
    mine: list[Sent]
    names: dict[str, str]
    board: str
    remark: str
    error: str


@dataclass(frozen=True)
class UploadedPage:
    """submissions/uploaded.html: a file that somebody brings, and how it looks beside those that were sent.
    `experiment`: of which it is; `examined`: None where it can't be read, for the reason `error`."""

    contest: Contest
    metric: Metric
    experiment: Experiment | None
    quota: Quota
    examined: Examined | None
    names: dict[str, str]
    board: str
    remark: str
    error: str


@router.get("/experiments/{experiment_id}/submission")
def check(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    background: BackgroundTasks,
    board: str = "",
) -> Response:
    """The experiment's file before it is sent."""
    context = _check_page(session, storage, experiment_id, board=sending.checked_board(board))
    background.add_task(remembering.remember, request.app.state.database, storage, experiment_id)
    return page(request, "submissions/check.html", context)


def _check_page(
    session: Session, storage: Storage, experiment_id: int, *, board: str = "", remark: str = "", error: str = ""
) -> CheckPage:
    experiment = experiment_queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    day, missing, examined = quota.of_day(session, contest), "", None
    try:
        examined = checking.examine(session, storage, contest, experiment, board)
    except (NotFound, Refused) as why:
        missing = why.message
    return CheckPage(
        contest=contest,
        metric=METRICS[contest.metric],
        experiment=experiment,
        quota=day,
        examined=examined,
        missing=missing,
        mine=overview.of_experiment(session, experiment, day.day),
        names=checks.NAMES,
        board=board,
        remark=remark,
        error=error,
    )


@router.post("/experiments/{experiment_id}/submissions", dependencies=SUBMITS)
def make(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    who: Member,
    action: Annotated[str, Form(pattern="^(plan|sent)$")] = "plan",
    board: Text = "",
    remark: Text = "",
    day: Text = "",
    anyway: Annotated[bool, Form()] = False,
) -> Response:
    """Plan the experiment's file for a day, or say that it was sent."""
    experiment = experiment_queries.experiment(session, experiment_id)
    try:
        asked = sending.Asked(board, remark, who.name, anyway)
        if action == "plan":
            sending.plan(session, storage, experiment, asked, calendar.day(day) if day else None)
        else:
            sending.send_now(session, storage, experiment, asked)
    except AppError as error:
        return _not_done(request, session, storage, experiment_id, error, board=board[:20], remark=remark)
    return RedirectResponse(f"/experiments/{experiment_id}#online", 303)


@router.post("/contests/{slug}/file", dependencies=SUBMITS)
def bring(
    request: Request,
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    who: Member,
    file: Annotated[UploadFile, File()],
    action: Annotated[str, Form(pattern="^(check|plan|sent)$")] = "check",
    experiment_id: Text = "",
    board: Text = "",
    remark: Text = "",
    anyway: Annotated[bool, Form()] = False,
) -> Response:
    """A file that was made elsewhere or by hand: what is known of it; or it is planned, or was sent."""
    made, examined, error, status = None, None, "", 200
    with request.app.state.database.reading() as look:  # or the parse would hold the one write transaction of SQLite
        contest = contest_queries.contest(look, slug)
        try:
            number = _number("experiment_id", experiment_id)
            made = of_contest(look, contest, number)
            test = uploaded.answered_by(look, made) if made is not None else None
            found = uploaded.came(look, storage, contest, file.file, file.filename or "", test)
            examined = uploaded.examine(look, storage, contest, made, found, sending.checked_board(board))
        except AppError as wrong:
            error, status = wrong.message, wrong.status
        else:
            if action != "check" and made is None:
                error, status = _("name the experiment that the file is of, by its number"), 422
    if action == "check" or error or made is None:
        context = _uploaded(session, slug, made, examined, board=board[:20], remark=remark, error=error)
        return page(request, "submissions/uploaded.html", context, status)
    try:
        asked = sending.Asked(board, remark, who.name, anyway, came=found)
        experiment = experiment_queries.experiment(session, made.id)
        (sending.plan if action == "plan" else sending.send_now)(session, storage, experiment, asked)
    except AppError as wrong:
        context = _uploaded(session, slug, made, examined, board=board[:20], remark=remark, error=wrong.message)
        return page(request, "submissions/uploaded.html", context, wrong.status)
    return RedirectResponse(f"/experiments/{made.id}#online", 303)


def _uploaded(
    session: Session,
    slug: str,
    experiment: Experiment | None,
    examined: Examined | None,
    *,
    board: str,
    remark: str,
    error: str,
) -> UploadedPage:
    contest = contest_queries.contest(session, slug)
    return UploadedPage(
        contest=contest,
        metric=METRICS[contest.metric],
        experiment=experiment,
        quota=quota.of_day(session, contest),
        examined=examined,
        names=checks.NAMES,
        board=board,
        remark=remark,
        error=error,
    )


@router.post("/submissions/{submission_id}/send", dependencies=SUBMITS)
def send(
    request: Request,
    submission_id: int,
    session: SessionDep,
    storage: StorageDep,
    who: Member,
    anyway: Annotated[bool, Form()] = False,
) -> Response:
    """A planned file was sent."""
    row = queries.submission(session, submission_id)
    try:
        sending.send(session, storage, row, sending.Asked(who=who.name, anyway=anyway))
    except AppError as error:
        if row.experiment_id is None:
            raise
        return _not_done(request, session, storage, row.experiment_id, error, board=row.board)
    return RedirectResponse(f"/experiments/{row.experiment_id}#online", 303)


@router.post("/submissions/{submission_id}/withdraw", dependencies=SUBMITS)
def withdraw(submission_id: int, session: SessionDep, who: Member, why: Text = "") -> Response:
    """A plan is given up, or the contest did not take the file."""
    row = sending.withdraw(session, queries.submission(session, submission_id), why, who.name)
    contest = contest_queries.contest_by_id(session, row.contest_id)
    return RedirectResponse(f"/contests/{contest.slug}/submissions", 303)


def _not_done(
    request: Request,
    session: Session,
    storage: Storage,
    experiment_id: int,
    error: AppError,
    *,
    board: str = "",
    remark: str = "",
) -> Response:
    context = _check_page(session, storage, experiment_id, board=board, remark=remark, error=error.message)
    return page(request, "submissions/check.html", context, error.status)


@router.post("/experiments/{experiment_id}/online-scores", dependencies=SUBMITS)
def post_score(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    who: Member,
    value: Text = "",
    note: Text = "",
    board: Text = "",
    submission: Text = "",
    corrects: Text = "",
    time: Text = "",
    of: Text = "",
    key: Annotated[str | None, Form()] = None,
) -> Response:
    """Append an online score typed by a person; sent twice by a double click it is kept once. `of`: the number of the
    experiment that a corrected score is of, where it stood with the wrong one."""
    try:
        experiment = experiment_queries.experiment(session, _number("of", of) or experiment_id)
        contest = contest_queries.contest_by_id(session, experiment.contest_id)
        score = service.OnlineScore(
            service.number(value),
            note.strip(),
            text=value.strip(),
            source="form",
            made_by=who.name,
            board=board,
            submission=_number("submission", submission),
            corrects=_number("corrects", corrects),
            told_at=calendar.moment(contest, time) if time.strip() else None,
        )
        service.post_online_score(session, experiment, score, key=key)
    except AppError as error:
        typed = {"value": value, "note": note, "board": board, "corrects": corrects}
        typed |= {"submission": submission, "time": time}
        context = page_of(request, session, experiment_id, error=error.message, typed=typed)
        return page(request, "experiments/page.html", context, error.status, headers=CHARTS)
    return RedirectResponse(f"/experiments/{experiment.id}#online", 303)


def _number(field: str, text: str) -> int | None:
    """Of a hidden or typed field; empty: none. Raises Refused."""
    text = text.strip().removeprefix("#")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        message = _("%(text)s is no number of one", text=repr(text[:30]))
        raise Refused(message, [FieldError(field, message, text[:30])])
    return int(text)
