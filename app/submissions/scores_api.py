"""REST: online scores, the call that people's scripts make most, and what is said in bodies of submissions."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Header, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from app.contests import calendar
from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.experiments import queries as experiment_queries
from app.experiments.api import ScoreOut, score_out
from app.security import Actor, member, needs
from app.submissions import importing, naming, service
from app.submissions.service import OnlineScore
from app.web import SessionDep

router = APIRouter(prefix="/api/v1", tags=["submissions"], dependencies=[Depends(member)])
Member = Annotated[Actor, Depends(member)]
SUBMITS = [Depends(needs("submit"))]
Key = Annotated[str | None, Header(description="the same key twice stores one score")]
BEFORE: dict[int | str, dict[str, Any]] = {
    200: {"model": ScoreOut, "description": "posted before under this Idempotency-Key"}
}
#: as the database's keys, which end at 2^63 - 1
Id = Annotated[int, Field(ge=1, lt=1 << 63)]
Time = Annotated[
    str, Field(max_length=40, description="ISO 8601; without an offset in the contest's zone", examples=["2026-11-27"])
]


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


class ImportedOut(BaseModel):
    """What became of a file's rows."""

    new: int
    known: int = Field(description="rows that an earlier import brought")
    scores: dict[int, ScoreOut] = Field(description="by line")


def moment(contest: Contest, text: str) -> datetime | None:
    """Of a body; empty: none."""
    return calendar.moment(contest, text) if text.strip() else None


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
