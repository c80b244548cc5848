"""HTML: a sealed contest's board, sending a file in, the history, and the owner's rules."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.errors import AppError, Conflict, FieldError, Refused
from app.language import gettext as _
from app.sealed import queries, service
from app.sealed.answers import folder_of
from app.sealed.api import OWNS, SUBMITS, Member
from app.sealed.board import Entry, board
from app.sealed.receiving import Sent, receive
from app.sealed.terms import NewTerms, Terms, checked, local
from app.sealed.views import Line, State, line_of, state_of
from app.security import Actor, member
from app.submissions.format import SubmissionFormat, format_of
from app.submissions.sample import Sample, sample_of
from app.web import SessionDep, SettingsDep, StorageDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, prefix="/contests/{slug}/sealed", dependencies=[Depends(member)])
SHOWN = 50
_LOCAL_TIME = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True)
class SealedPage:
    """sealed/page.html. Without a `state` there are no answers yet, and the page asks for them. `typed`: what stands in
    the owner's form; `told`: what came of the last file; `sent`: which form the errors belong to."""

    contest: Contest
    metric: Metric
    who: str
    state: State | None
    mine: bool
    entries: list[Entry]
    lines: list[Line]
    total: int
    everyone: bool
    shown: int
    form: SubmissionFormat
    sample: Sample
    tests: Sequence[ContestFile]
    typed: dict[str, str]
    when: dict[str, str]
    told: str = ""
    sent: str = ""
    problem: str = ""
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Wrong:
    """What a form was refused for."""

    sent: str
    error: AppError
    typed: dict[str, str] = field(default_factory=dict)


@router.get("")
def show(
    request: Request, slug: str, session: SessionDep, who: Member, everyone: Annotated[bool, Query()] = False
) -> Response:
    """The board; before answers are sealed, the form that seals them."""
    context = _page(request, session, slug, who, told=request.session.pop("told", ""), everyone=everyone)
    return page(request, "sealed/page.html", context)


@router.post("", dependencies=OWNS)
def seal(
    request: Request,
    slug: str,
    session: SessionDep,
    settings: SettingsDep,
    storage: StorageDep,
    who: Member,
    answers: Annotated[UploadFile, File()],
    test_file_id: Annotated[str, Form()] = "",
    public_percent: Annotated[str, Form()] = "50",
    uploads_a_day: Annotated[str, Form()] = "",
    runs_a_day: Annotated[str, Form()] = "",
    time_zone: Annotated[str, Form()] = "",
    opens_at: Annotated[str, Form()] = "",
    closes_at: Annotated[str, Form()] = "",
) -> Response:
    """Seal the answers."""
    typed = {"uploads_a_day": uploads_a_day, "runs_a_day": runs_a_day, "time_zone": time_zone}
    typed |= {"opens_at": opens_at, "closes_at": closes_at, "public_percent": public_percent}
    try:
        terms = checked(NewTerms, {**_terms(typed), "public_share": _share(public_percent)})
        with request.app.state.database.reading() as look:
            contest = contest_queries.contest(look, slug)
            number = int(test_file_id) if test_file_id.isdecimal() else None
            file = service.file_to_answer(look, contest, number)
            if queries.find_sealed(look, contest.id) is not None:
                raise Conflict(_("contest %(slug)s has sealed answers already", slug=repr(slug)))
        labels = service.read(folder_of(settings), storage, file, answers.file)
        service.seal(session, folder_of(settings), contest, file, labels, terms, who.person)
    except AppError as error:
        context = _page(request, session, slug, who, Wrong("seal", error, typed))
        return page(request, "sealed/page.html", context, error.status)
    return _back(request, slug, _("The answers are sealed. Nobody can read them from here on."))


@router.post("/terms", dependencies=OWNS)
def change(
    request: Request,
    slug: str,
    session: SessionDep,
    who: Member,
    uploads_a_day: Annotated[str, Form()] = "",
    runs_a_day: Annotated[str, Form()] = "",
    time_zone: Annotated[str, Form()] = "",
    opens_at: Annotated[str, Form()] = "",
    closes_at: Annotated[str, Form()] = "",
) -> Response:
    """Other rules from now on."""
    typed = {"uploads_a_day": uploads_a_day, "runs_a_day": runs_a_day, "time_zone": time_zone}
    typed |= {"opens_at": opens_at, "closes_at": closes_at}
    try:
        sealed = queries.sealed(session, contest_queries.contest(session, slug))
        service.change(session, sealed, checked(Terms, _terms(typed)), who.person)
    except AppError as error:
        context = _page(request, session, slug, who, Wrong("terms", error, typed))
        return page(request, "sealed/page.html", context, error.status)
    return _back(request, slug, _("The rules are changed."))


@router.post("/reveal", dependencies=OWNS)
def reveal(request: Request, slug: str, session: SessionDep, who: Member) -> Response:
    """Show the private scores."""
    service.reveal(session, queries.sealed(session, contest_queries.contest(session, slug)), who.person)
    return _back(request, slug, _("The private scores are out."))


@router.post("/unseal", dependencies=OWNS)
def unseal(request: Request, slug: str, session: SessionDep, settings: SettingsDep, who: Member) -> Response:
    """Take the answers away."""
    sealed = queries.sealed(session, contest_queries.contest(session, slug))
    service.unseal(session, folder_of(settings), sealed, who.person)
    return _back(request, slug, _("The answers are gone; others can be sealed."))


@router.post("/uploads", dependencies=SUBMITS)
def send(
    request: Request,
    slug: str,
    settings: SettingsDep,
    storage: StorageDep,
    who: Member,
    file: Annotated[UploadFile, File()],
    remark: Annotated[str, Form()] = "",
    experiment_id: Annotated[str, Form()] = "",
    anyway: Annotated[bool, Form()] = False,
) -> Response:
    """Send a prediction file in; it is checked before."""
    database, typed = request.app.state.database, {"remark": remark, "experiment_id": experiment_id}
    try:
        sent = Sent(file.file, file.filename or "", who.person, remark, _number(experiment_id), anyway)
        got = receive(database, storage, folder_of(settings), slug, sent)
        if got.problem is not None:
            raise got.problem
    except AppError as error:
        with database.reading() as session:
            context = _page(request, session, slug, who, Wrong("send", error, typed))
        return page(request, "sealed/page.html", context, error.status)
    told = {"file": got.row.file_name, "score": f"{got.row.public_score:.5f}"}
    message = _("%(file)s scores %(score)s on the public part.", **told)
    if not got.new:
        message = _("%(file)s was scored before: %(score)s. No upload of today is used.", **told)
    return _back(request, slug, " ".join(filter(None, (message, got.row.message))))


def _back(request: Request, slug: str, told: str) -> Response:
    request.session["told"] = told
    return RedirectResponse(f"/contests/{slug}/sealed", 303)


def _page(
    request: Request,
    session: Session,
    slug: str,
    who: Actor,
    wrong: Wrong | None = None,
    *,
    told: str = "",
    everyone: bool = False,
) -> SealedPage:
    contest = contest_queries.contest(session, slug)
    sealed, form = queries.find_sealed(session, contest.id), format_of(contest)
    state = state_of(session, contest, sealed, who.person) if sealed is not None else None
    of = None if everyone else who.person
    return SealedPage(
        contest=contest,
        metric=METRICS[contest.metric],
        who=who.person,
        state=state,
        mine=sealed is not None and sealed.made_by == who.person,
        entries=board(session, sealed, contest.metric) if sealed is not None else [],
        lines=[line_of(row, sealed) for row in queries.uploads(session, sealed.id, of, limit=SHOWN)] if sealed else [],
        total=queries.upload_count(session, sealed.id, of) if sealed is not None else 0,
        everyone=everyone,
        shown=SHOWN,
        form=form,
        sample=sample_of(session, request.app.state.storage, contest, form),
        tests=contest_queries.files(session, contest.id, "test"),
        typed={**_typed(state), **(wrong.typed if wrong else {})},
        when=_when(state),
        told=told,
        sent=wrong.sent if wrong else "",
        problem=wrong.error.message if wrong else "",
        errors={item.field: item.message for item in wrong.error.fields} if wrong else {},
    )


def _typed(state: State | None) -> dict[str, str]:
    """The owner's form as the rules are; times as they are in their zone."""
    terms = state.terms if state is not None else Terms()
    zone = ZoneInfo(terms.time_zone)
    times = {name: getattr(terms, name) for name in ("opens_at", "closes_at")}
    return {
        "uploads_a_day": str(terms.uploads_a_day),
        "runs_a_day": str(terms.runs_a_day),
        "time_zone": terms.time_zone,
        **{name: f"{value.astimezone(zone):{_LOCAL_TIME}}" if value else "" for name, value in times.items()},
        "public_percent": "50",
        "remark": "",
        "experiment_id": "",
    }


def _when(state: State | None) -> dict[str, str]:
    """Moments of the rules as people of the contest's zone say them; empty where there is none."""
    if state is None:
        return {}
    moments = {"opens": state.terms.opens_at, "closes": state.terms.closes_at, "next_day": state.next_day_at}
    return {name: local(moment, state.terms.time_zone) if moment else "" for name, moment in moments.items()}


def _terms(typed: dict[str, str]) -> dict[str, Any]:
    """As the model takes them: times of the form are of the zone that stands beside them. Raises Refused."""
    values: dict[str, Any] = {name: typed[name] for name in ("uploads_a_day", "runs_a_day", "time_zone") if typed[name]}
    zone = checked(Terms, {"time_zone": values["time_zone"]} if "time_zone" in values else {}).time_zone
    for name in ("opens_at", "closes_at"):
        if typed[name]:
            try:
                values[name] = datetime.fromisoformat(typed[name]).replace(tzinfo=ZoneInfo(zone))
            except ValueError as error:
                message = _("%(value)s is no time: write it as 2026-12-01T20:00", value=repr(typed[name][:50]))
                raise Refused(message, [FieldError(name, message, typed[name][:50])]) from error
    return values


def _share(percent: str) -> float:
    try:
        share = float(percent) / 100
    except ValueError:
        share = 0.0
    if not 0.05 <= share <= 0.95:
        message = _("the public part is 5 to 95 per cent of the rows, not %(value)s", value=repr(percent[:20]))
        raise Refused(message, [FieldError("public_percent", message, percent[:20])])
    return share


def _number(text: str) -> int | None:
    if not text.strip():
        return None
    if not text.strip().isdecimal() or len(text.strip()) > 18:
        message = _("%(value)s is no number of an experiment", value=repr(text[:50]))
        raise Refused(message, [FieldError("experiment_id", message, text[:50])])
    return int(text)
