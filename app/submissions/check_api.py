"""REST: a file before it is sent, one that is made here or one that somebody brings."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, Request, UploadFile
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.language import gettext as _
from app.security import member
from app.submissions import checking, overview, quota, remembering, sending, uploaded
from app.submissions.api import SubmissionOut, submission_out
from app.submissions.checking import Examined
from app.submissions.scores_api import SUBMITS, Member, moment
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1", tags=["submissions"], dependencies=[Depends(member)])
Brought = Annotated[UploadFile, File(description="in the contest's form, see submission-format")]
MALFORMED: dict[int | str, dict[str, Any]] = {422: {"description": "malformed or refused; detail.kind says how"}}


class CheckOut(BaseModel):
    """One finding; a file with one that says refuse is not sent unless a person insists."""

    name: str
    state: Literal["ok", "warn", "refuse"]
    text: str


class EarlierOut(BaseModel):
    """A file that was sent, and how alike it ranks the rows."""

    submission_id: int
    experiment_id: int | None
    experiment: str
    board: str
    sent_at: datetime | None
    score: float | None
    rank_correlation: float | None = Field(description="Spearman's; null: its predictions are not here")


class BinOut(BaseModel):
    """How many probabilities lie from low to high."""

    low: float
    high: float
    own: int
    best: int


class CheckedOut(BaseModel):
    """A file before it is sent."""

    state: Literal["ok", "warn", "refuse"]
    name: str = Field(description="of the file, in the form of the contest")
    file_sha256: str
    predictions_sha256: str = Field(
        description="of what the run left, of which the file is made; empty: it is made of nothing here"
    )
    size: int
    rows: int
    address: str = Field(description="where it is downloaded; empty: it was brought")
    checks: list[CheckOut]
    earlier: list[EarlierOut]
    best: EarlierOut | None = Field(description="the sent file with the best score; the histogram shows both")
    histogram: list[BinOut]


@router.get("/experiments/{experiment_id}/submission-check")
def check(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    background: BackgroundTasks,
    board: str = "",
) -> CheckedOut:
    """What is known of the experiment's file before it is sent."""
    experiment = experiment_queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    found = checking.examine(session, storage, contest, experiment, board)
    background.add_task(remembering.remember, request.app.state.database, storage, experiment_id)
    return checked_out(found)


def checked_out(found: Examined) -> CheckedOut:
    """The JSON of a file before it is sent."""
    return CheckedOut(
        state=found.state,
        name=found.file.name,
        file_sha256=found.file.sha256,
        predictions_sha256=found.file.predictions_sha256,
        size=found.file.size,
        rows=found.file.written_N.size,
        address=found.file.address,
        checks=[CheckOut.model_validate(item, from_attributes=True) for item in found.checks],
        earlier=[_earlier(item) for item in found.earlier],
        best=_earlier(found.best) if found.best else None,
        histogram=[BinOut.model_validate(item, from_attributes=True) for item in found.bins],
    )


def _earlier(item: checking.Earlier) -> EarlierOut:
    row = item.submission
    return EarlierOut(
        submission_id=row.id,
        experiment_id=row.experiment_id,
        experiment=item.name,
        board=row.board,
        sent_at=row.sent_at,
        score=item.score.value if item.score else None,
        rank_correlation=item.likeness,
    )


@router.post("/contests/{slug}/file-check", dependencies=SUBMITS, responses=MALFORMED)
def check_file(
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    file: Brought,
    experiment_id: Annotated[int | None, Form(description="of which it is: it has to hold what that predicted")] = None,
    board: Annotated[str, Form()] = "",
) -> CheckedOut:
    """What is known of a file that was made elsewhere or by hand. Nothing is kept of it."""
    contest = contest_queries.contest(session, slug)
    experiment = of_contest(session, contest, experiment_id)
    test = uploaded.answered_by(session, experiment) if experiment is not None else None
    found = uploaded.came(session, storage, contest, file.file, file.filename or "", test)
    return checked_out(uploaded.examine(session, storage, contest, experiment, found, sending.checked_board(board)))


@router.post(
    "/experiments/{experiment_id}/submissions/file", status_code=201, dependencies=SUBMITS, responses=MALFORMED
)
def submit_file(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    who: Member,
    file: Brought,
    status: Annotated[Literal["planned", "sent"], Form()] = "planned",
    board: Annotated[str, Form()] = "",
    remark: Annotated[str, Form(max_length=2000)] = "",
    day: Annotated[date | None, Form(description="of the contest, to plan it for; empty: today")] = None,
    time: Annotated[str, Form(max_length=40, description="when it was sent; empty: now")] = "",
    anyway: Annotated[bool, Form(description="although a check refuses it")] = False,
) -> SubmissionOut:
    """Plan a file that was made elsewhere or by hand for a day, or say that it was sent. It is checked as those that
    are made here: 422 when a check refuses it, 409 when the day is full."""
    with request.app.state.database.reading() as look:  # or the parse would hold the one write transaction of SQLite
        experiment = experiment_queries.experiment(look, experiment_id)
        contest = contest_queries.contest_by_id(look, experiment.contest_id)
        test = uploaded.answered_by(look, experiment)
        found = uploaded.came(look, storage, contest, file.file, file.filename or "", test)
    experiment = experiment_queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    asked = sending.Asked(board, remark, who.name, anyway, came=found)
    if status == "planned":
        row = sending.plan(session, storage, experiment, asked, day)
    else:
        row = sending.send_now(session, storage, experiment, asked, moment(contest, time))
    return submission_out(contest, overview.one(session, row, quota.today(session, contest)))


def of_contest(session: Session, contest: Contest, experiment_id: int | None) -> Experiment | None:
    """The experiment of this number. Raises NotFound, and Refused for another contest's."""
    if experiment_id is None:
        return None
    found = experiment_queries.experiment(session, experiment_id)
    if found.contest_id != contest.id:
        message = _("experiment %(id)s is of another contest", id=experiment_id)
        raise Refused(message, [FieldError("experiment_id", message, str(experiment_id))])
    return found
