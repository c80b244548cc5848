"""REST: submissions, and the quota of a day. Their scores: scores_api; files before they are sent: check_api."""

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.experiments import queries as experiment_queries
from app.experiments.api import ScoreOut, score_out
from app.language import gettext as _
from app.security import member
from app.submissions import overview, queries, quota, sending
from app.submissions.overview import Sent
from app.submissions.quota import Quota
from app.submissions.scores_api import SUBMITS, Member, Strict, Time, moment
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1", tags=["submissions"], dependencies=[Depends(member)])


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
