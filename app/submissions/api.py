"""REST: online scores (the call that people's scripts make most), submissions, and the quota of a day."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, File, Header, Query, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from app.contests import calendar
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.experiments import queries as experiment_queries
from app.experiments.api import ScoreOut, score_out
from app.language import gettext as _
from app.security import Actor, member, needs
from app.submissions import checking, importing, naming, overview, queries, quota, remembering, sending, service
from app.submissions.overview import Sent
from app.submissions.quota import Quota
from app.submissions.service import OnlineScore
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1", tags=["submissions"], dependencies=[Depends(member)])
Member = Annotated[Actor, Depends(member)]
Key = Annotated[str | None, Header(description="the same key twice stores one score")]
#: as the database's keys, which end at 2^63 - 1
Id = Annotated[int, Field(ge=1, lt=1 << 63)]
Time = Annotated[
    str, Field(max_length=40, description="ISO 8601; without an offset in the contest's zone", examples=["2026-11-27"])
]
BEFORE: dict[int | str, dict[str, Any]] = {
    200: {"model": ScoreOut, "description": "posted before under this Idempotency-Key"}
}
SUBMITS = [Depends(needs("submit"))]


class Strict(BaseModel):
    """A body in which unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class NewOnlineScore(Strict):
    """What the contest answered to a prediction file."""

    value: float = Field(strict=True, allow_inf_nan=False, examples=[0.8778])
    note: str = Field("", max_length=2000, examples=["third seed"])
    board: str = Field("", examples=["A"], description="of the contest; at most 20 characters")
    submission: Id | None = Field(
        None,
        description="the one that got it; null: the experiment's newest that was sent and has no score, else what is "
        "planned for the day, else a new one, sent at that moment",
    )
    corrects: Id | None = Field(None, description="the score that was wrong: it stays, and counts no longer")
    time: Time = ""


class NewScoreOf(NewOnlineScore):
    """The same, with what it is of: the file's hash, or the experiment."""

    file_sha256: str = Field("", max_length=100, description="of the file that was sent; its first 8 digits will do")
    experiment: str | Id = Field("", description="name or number", examples=["n-gram mask"])


class QuotaOut(BaseModel):
    """What the contest takes on a day of its own zone."""

    day: date
    time_zone: str
    limit: int | None = Field(description="files a day; null: any number")
    used: int
    planned: int = Field(description="plans that hold a place; one whose job failed holds none")
    left: int | None
    renewed_at: datetime = Field(description="when the next day begins")


class NewQuota(Strict):
    """What is left out stays as it is."""

    time_zone: str | None = Field(None, max_length=60, examples=["Asia/Shanghai"])
    submissions_a_day: int | None = Field(None, description="null: any number", examples=[3])


class SubmissionOut(BaseModel):
    """A file that is planned or was sent, and what it got."""

    id: int
    contest: str
    experiment_id: int | None = Field(description="null: it was removed for good")
    removed_id: int | None = Field(description="the number of an experiment that was removed for good")
    experiment: str = Field(description="its name")
    status: str = Field(description="planned, sent, withdrawn, or refused: the contest did not take it")
    contest_day: date
    board: str
    file_sha256: str = Field(description="empty: not made yet, or made elsewhere and never told")
    predictions_sha256: str
    remark: str
    made_by: str
    created_at: datetime
    sent_by: str
    sent_at: datetime | None
    withdrawn_by: str
    withdrawn_why: str
    withdrawn_at: datetime | None
    job_failed: bool = Field(description="a plan whose job failed: it holds no place")
    scores: list[ScoreOut] = Field(description="oldest first; one that was corrected does not count")


class NewSubmission(Strict):
    """A file of an experiment: planned for a day, or sent."""

    status: Literal["planned", "sent"] = "planned"
    board: str = Field("", examples=["A"])
    remark: str = Field("", max_length=2000)
    day: date | None = Field(None, description="of the contest, to plan it for; null: today")
    time: Time = ""
    file_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$", description="of a file that was made elsewhere")
    anyway: bool = Field(False, description="although a check refuses it")


class SendSubmission(Strict):
    """A planned file was sent."""

    time: Time = ""
    board: str = ""
    remark: str = Field("", max_length=2000)
    anyway: bool = Field(False, description="although a check refuses it")


class Withdrawal(Strict):
    """Why a plan is given up, or that the contest did not take the file."""

    why: str = Field("", max_length=2000)


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
    predictions_sha256: str = Field(description="of what the run left, of which the file is made")
    size: int
    rows: int
    address: str = Field(description="where it is downloaded")
    checks: list[CheckOut]
    earlier: list[EarlierOut]
    best: EarlierOut | None = Field(description="the sent file with the best score; the histogram shows both")
    histogram: list[BinOut]


class ImportedOut(BaseModel):
    """What became of a file's rows."""

    new: int
    known: int = Field(description="rows that an earlier import brought")
    scores: dict[int, ScoreOut] = Field(description="by line")


def posted(body: NewOnlineScore, contest: Contest, who: Actor) -> OnlineScore:
    """What the body says."""
    return OnlineScore(
        value=body.value,
        note=body.note,
        made_by=who.name,
        board=body.board,
        submission=body.submission,
        corrects=body.corrects,
        told_at=moment(contest, body.time),
    )


def moment(contest: Contest, text: str) -> datetime | None:
    """Of a body; empty: none."""
    return calendar.moment(contest, text) if text.strip() else None


def submission_out(contest: Contest, sent: Sent) -> SubmissionOut:
    """The JSON of a submission."""
    row = sent.row
    same = {name: getattr(row, name) for name in SubmissionOut.model_fields if hasattr(row, name)}
    return SubmissionOut(
        **same,
        contest=contest.slug,
        experiment=sent.name,
        status=row.state,
        file_sha256=row.sha256,
        job_failed=sent.broken,
        scores=[score_out(score) for score in sent.scores],
    )


def quota_out(found: Quota) -> QuotaOut:
    """The JSON of a day's quota."""
    return QuotaOut.model_validate(found, from_attributes=True)


@router.post("/experiments/{experiment_id}/online-scores", status_code=201, dependencies=SUBMITS, responses=BEFORE)
def post_online_score(
    experiment_id: int,
    body: NewOnlineScore,
    session: SessionDep,
    response: Response,
    who: Member,
    idempotency_key: Key = None,
) -> ScoreOut:
    """Append the online score of a prediction file. Refuses NaN, infinity and what the metric can't be."""
    experiment = experiment_queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    row, new = service.post_online_score(session, experiment, posted(body, contest, who), key=idempotency_key)
    if not new:
        response.status_code = 200
    return score_out(row)


@router.post("/contests/{slug}/online-scores", status_code=201, dependencies=SUBMITS, responses=BEFORE)
def post_score_of(
    slug: str, body: NewScoreOf, session: SessionDep, response: Response, who: Member, idempotency_key: Key = None
) -> ScoreOut:
    """The same by the hash of the file or the experiment's name: 404 with what is near, 409 that lists the numbers."""
    contest = contest_queries.contest(session, slug)
    name = body.experiment if isinstance(body.experiment, str) else f"#{body.experiment}"
    named = {"sha256": body.file_sha256, "experiment": name}
    row, new = naming.post(session, contest, posted(body, contest, who), **named, key=idempotency_key)
    if not new:
        response.status_code = 200
    return score_out(row)


@router.post("/contests/{slug}/online-scores/csv", status_code=201, dependencies=SUBMITS)
def import_csv(slug: str, session: SessionDep, who: Member, file: Annotated[UploadFile, File()]) -> ImportedOut:
    """Many scores at once, all or none: columns value, experiment or sha256, and if wanted board, time, note. 422 names
    each bad line and its value; a second time adds nothing."""
    contest = contest_queries.contest(session, slug)
    found = importing.import_scores(session, contest, file.file.read(importing.MOST_BYTES + 1), who.name)
    scores = {line: score_out(row) for line, row in sorted(found.scores.items())}
    return ImportedOut(new=found.new, known=len(found.known), scores=scores)


@router.get("/contests/{slug}/submissions")
def list_submissions(
    slug: str,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    offset: Annotated[int, Query(ge=0, lt=1 << 62)] = 0,
) -> list[SubmissionOut]:
    """The newest first; `offset` passes over so many."""
    contest = contest_queries.contest(session, slug)
    today = quota.today(session, contest)
    return [submission_out(contest, sent) for sent in overview.of_contest(session, contest, today, limit, offset)]


@router.get("/contests/{slug}/quota")
def read_quota(slug: str, session: SessionDep, day: Annotated[date | None, Query()] = None) -> QuotaOut:
    """Used, planned and left on a day of the contest; today unless another is named."""
    return quota_out(quota.of_day(session, contest_queries.contest(session, slug), day))


@router.patch("/contests/{slug}/quota")
def change_quota(slug: str, body: NewQuota, session: SessionDep) -> QuotaOut:
    """Another zone, or number of files a day."""
    contest = contest_queries.contest(session, slug)
    a_day = body.submissions_a_day if "submissions_a_day" in body.model_fields_set else contest.submissions_a_day
    quota.change(session, contest, time_zone=body.time_zone or contest.time_zone, a_day=a_day)
    return quota_out(quota.of_day(session, contest))


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


@router.post("/experiments/{experiment_id}/submissions", status_code=201, dependencies=SUBMITS)
def make_submission(
    experiment_id: int, body: NewSubmission, session: SessionDep, storage: StorageDep, who: Member
) -> SubmissionOut:
    """Plan the experiment's file for a day, or say that it was sent. 409 when the day is full; 422 when a check refuses
    the file, which then uses no place."""
    experiment = experiment_queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    asked = sending.Asked(body.board, body.remark, who.name, body.anyway, body.file_sha256)
    if body.status == "planned":
        if body.time:
            message = _("a plan has a day and no time: write day, or status sent")
            raise Refused(message, [FieldError("time", message, body.time)])
        row = sending.plan(session, storage, experiment, asked, body.day)
    else:
        row = sending.send_now(session, storage, experiment, asked, moment(contest, body.time))
    return submission_out(contest, overview.one(session, row, quota.today(session, contest)))


@router.get("/submissions/{submission_id}")
def read_submission(submission_id: int, session: SessionDep) -> SubmissionOut:
    """One, with its scores."""
    row = queries.submission(session, submission_id)
    contest = contest_queries.contest_by_id(session, row.contest_id)
    return submission_out(contest, overview.one(session, row, quota.today(session, contest)))


@router.post("/submissions/{submission_id}/send", dependencies=SUBMITS)
def send_submission(
    submission_id: int, body: SendSubmission, session: SessionDep, storage: StorageDep, who: Member
) -> SubmissionOut:
    """It was sent, at that time or now; a second time changes nothing."""
    row = queries.submission(session, submission_id)
    contest = contest_queries.contest_by_id(session, row.contest_id)
    asked = sending.Asked(body.board, body.remark, who.name, body.anyway)
    sending.send(session, storage, row, asked, moment(contest, body.time))
    return submission_out(contest, overview.one(session, row, quota.today(session, contest)))


@router.post("/submissions/{submission_id}/withdraw", dependencies=SUBMITS)
def withdraw_submission(submission_id: int, body: Withdrawal, session: SessionDep, who: Member) -> SubmissionOut:
    """Give a plan up, or say that the contest did not take the file: either way it uses no place."""
    row = sending.withdraw(session, queries.submission(session, submission_id), body.why, who.name)
    contest = contest_queries.contest_by_id(session, row.contest_id)
    return submission_out(contest, overview.one(session, row, quota.today(session, contest)))
