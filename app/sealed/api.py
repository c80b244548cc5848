"""REST: sealing a contest's answers, sending files in, the board and the history. Nothing here reads answers back."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.errors import Conflict
from app.language import gettext as _
from app.sealed import queries, service
from app.sealed.answers import folder_of
from app.sealed.board import board
from app.sealed.models import SealedAnswers
from app.sealed.receiving import Received, Sent, receive
from app.sealed.terms import NewTerms, Terms, checked
from app.sealed.views import State, line_of, state_of
from app.security import Actor, member, needs
from app.web import SessionDep, SettingsDep, StorageDep

router = APIRouter(prefix="/api/v1/contests/{slug}/sealed", tags=["sealed"], dependencies=[Depends(member)])
Member = Annotated[Actor, Depends(member)]
MOST = 1000
#: an owner, of all or of this contest
OWNS = [Depends(needs("admin"))]
SUBMITS = [Depends(needs("submit"))]


class EntryOut(BaseModel):
    """A line of the board."""

    place: int
    public_place: int
    name: str
    member: str
    experiment_id: int | None
    public: float
    private: float | None
    count: int
    sent_at: datetime


class HistoryOut(BaseModel):
    """Files that came in, the newest first: of `total` those from `offset` on."""

    total: int
    offset: int
    lines: list[dict[str, Any]]


def terms_from(typed: dict[str, Any]) -> NewTerms:
    """Of a form's fields: an empty one is left as usual."""
    return checked(NewTerms, {name: value for name, value in typed.items() if value not in ("", None)})


@router.get("")
def read_sealed(slug: str, session: SessionDep, who: Member) -> dict[str, Any]:
    """The rules, and how many files you may still send today."""
    return _out(session, slug, who)


@router.post("", status_code=201, dependencies=OWNS)
def seal(
    request: Request,
    slug: str,
    session: SessionDep,
    settings: SettingsDep,
    storage: StorageDep,
    who: Member,
    answers: Annotated[UploadFile, File(description="one label a line, or the labelled pairs in test order")],
    test_file_id: Annotated[int | None, Form(description="empty: the newest test file")] = None,
    public_share: Annotated[str, Form()] = "",
    uploads_a_day: Annotated[str, Form()] = "",
    runs_a_day: Annotated[str, Form()] = "",
    time_zone: Annotated[str, Form()] = "",
    opens_at: Annotated[str, Form(description="with its zone: 2026-12-01T20:00:00+08:00")] = "",
    closes_at: Annotated[str, Form()] = "",
) -> dict[str, Any]:
    """Seal the answers to a test file. From then on nobody reads them, you neither; files are scored by them."""
    typed = {"public_share": public_share, "uploads_a_day": uploads_a_day, "runs_a_day": runs_a_day}
    terms = terms_from({**typed, "time_zone": time_zone, "opens_at": opens_at, "closes_at": closes_at})
    with request.app.state.database.reading() as look:  # or the parse would hold the one write transaction of SQLite
        contest = contest_queries.contest(look, slug)
        file = service.file_to_answer(look, contest, test_file_id)
        if queries.find_sealed(look, contest.id) is not None:
            raise Conflict(_("contest %(slug)s has sealed answers already", slug=repr(slug)))
    labels = service.read(folder_of(settings), storage, file, answers.file)
    service.seal(session, folder_of(settings), contest, file, labels, terms, who.person)
    return _out(session, slug, who)


@router.patch("", dependencies=OWNS)
def change_terms(slug: str, body: dict[str, Any], session: SessionDep, who: Member) -> dict[str, Any]:
    """Change rules; what is left out stays. Only who sealed the answers may."""
    sealed = _sealed(session, slug)
    before = {name: getattr(sealed, name) for name in Terms.model_fields}
    service.change(session, sealed, checked(Terms, {**before, **body}), who.person)
    return _out(session, slug, who)


@router.post("/reveal", dependencies=OWNS)
def reveal(slug: str, session: SessionDep, who: Member) -> dict[str, Any]:
    """Show the private scores, once it has closed. Only who sealed the answers may."""
    service.reveal(session, _sealed(session, slug), who.person)
    return _out(session, slug, who)


@router.delete("", status_code=204, dependencies=OWNS)
def unseal(slug: str, session: SessionDep, settings: SettingsDep, who: Member) -> Response:
    """Take the answers away while nothing was scored by them."""
    service.unseal(session, folder_of(settings), _sealed(session, slug), who.person)
    return Response(status_code=204)


@router.get("/board")
def read_board(slug: str, session: SessionDep) -> list[EntryOut]:
    """One line a contestant, the best first. `private` is null until the reveal."""
    contest = contest_queries.contest(session, slug)
    entries = board(session, queries.sealed(session, contest), contest.metric)
    return [EntryOut.model_validate(asdict(entry)) for entry in entries]


@router.get("/uploads")
def read_history(
    slug: str,
    session: SessionDep,
    who: Member,
    everyone: Annotated[bool, Query(description="of all members, finished experiments included")] = False,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    offset: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
) -> HistoryOut:
    """Every file that came in, refused ones and why included."""
    sealed, of = _sealed(session, slug), None if everyone else who.person
    rows = queries.uploads(session, sealed.id, of, limit=limit, offset=offset)
    total = queries.upload_count(session, sealed.id, of)
    return HistoryOut(total=total, offset=offset, lines=[asdict(line_of(row, sealed)) for row in rows])


@router.post(
    "/uploads",
    status_code=201,
    dependencies=SUBMITS,
    responses={
        200: {"model": dict[str, Any], "description": "the very file was scored before; no upload of the day is used"},
        409: {"description": "too early, or too late"},
        422: {"description": "malformed, or a check refuses it; detail.kind says how"},
        429: {"description": "the day is used up; detail.next_day_at says when the next begins"},
    },
)
def send(
    request: Request,
    slug: str,
    settings: SettingsDep,
    storage: StorageDep,
    who: Member,
    response: Response,
    file: Annotated[UploadFile, File(description="in the contest's form, see submission-format")],
    remark: Annotated[str, Form()] = "",
    experiment_id: Annotated[int | None, Form(description="the experiment that it is of gets the score")] = None,
    anyway: Annotated[bool, Form(description="although a check refuses it")] = False,
) -> dict[str, Any]:
    """Send a prediction file in. It is checked before; the answer holds its public score and what was found; a refused
    file says why and uses nothing up."""
    sent = Sent(file.file, file.filename or "", who.person, remark, experiment_id, anyway)
    got: Received = receive(request.app.state.database, storage, folder_of(settings), slug, sent)
    if got.problem is not None:
        raise got.problem
    if not got.new:
        response.status_code = 200
    with request.app.state.database.reading() as session:
        return {**asdict(line_of(got.row, _sealed(session, slug))), "checks": [asdict(item) for item in got.checks]}


def _sealed(session: Session, slug: str) -> SealedAnswers:
    return queries.sealed(session, contest_queries.contest(session, slug))


def _out(session: Session, slug: str, who: Actor) -> dict[str, Any]:
    contest = contest_queries.contest(session, slug)
    state: State = state_of(session, contest, queries.sealed(session, contest), who.person)
    plain = {name: getattr(state, name) for name in State.__dataclass_fields__ if name != "terms"}
    return {**plain, **state.terms.model_dump()}
