"""REST: contests and their files."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from app.accounts import service as accounts
from app.contests import queries, service
from app.contests.models import Contest, ContestFile
from app.security import Actor, member
from app.web import SessionDep, StorageDep
from ml.contract.pair_file import FileKind
from ml.contract.scores import MetricName

router = APIRouter(prefix="/api/v1", tags=["contests"], dependencies=[Depends(member)])


class NewContest(BaseModel):
    """A contest to be made."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(examples=["GAIIC 2021 track 3"])
    metric: MetricName = "roc_auc"
    slug: str = Field("", examples=["oppo"], description="address of the contest; empty: from the name")
    note: str = ""


class ContestOut(BaseModel):
    """A contest."""

    slug: str
    name: str
    metric: str
    note: str
    time_zone: str = Field(description="whose midnight begins a day of it; PATCH .../quota changes it")
    submissions_a_day: int | None = Field(description="files that it takes a day; null: any number")
    created_at: datetime
    files: list["FileOut"]


class FileOut(BaseModel):
    """A data file and its parse report."""

    id: int
    kind: str
    name: str
    sha256: str
    size: int
    rows: int
    layout: dict[str, Any]
    report: dict[str, Any]
    created_at: datetime


def contest_out(contest: Contest, files: list[FileOut]) -> ContestOut:
    """The JSON of a contest."""
    return ContestOut(
        slug=contest.slug,
        name=contest.name,
        metric=contest.metric,
        note=contest.note,
        time_zone=contest.time_zone,
        submissions_a_day=contest.submissions_a_day,
        created_at=contest.created_at,
        files=files,
    )


def file_out(file: ContestFile) -> FileOut:
    """The JSON of a file."""
    return FileOut.model_validate(file, from_attributes=True)


@router.get("/contests")
def list_contests(session: SessionDep) -> list[ContestOut]:
    """Every contest, newest first."""
    return [
        contest_out(contest, [file_out(file) for file in queries.files(session, contest.id)])
        for contest in queries.all_contests(session)
    ]


@router.post("/contests", status_code=201)
def create_contest(body: NewContest, session: SessionDep, who: Annotated[Actor, Depends(member)]) -> ContestOut:
    """Make a contest; a member is the owner of those that he or she made."""
    made = service.create_contest(session, name=body.name, metric=body.metric, slug=body.slug, note=body.note)
    accounts.own(session, made.id, who.member_id)
    return contest_out(made, [])


@router.get("/contests/{slug}")
def read_contest(slug: str, session: SessionDep) -> ContestOut:
    """One contest and its files."""
    contest = queries.contest(session, slug)
    return contest_out(contest, [file_out(file) for file in queries.files(session, contest.id)])


@router.post(
    "/contests/{slug}/files",
    status_code=201,
    response_model=FileOut,
    responses={200: {"model": FileOut, "description": "the very file is there already"}},
)
def upload_file(
    request: Request,
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    file: Annotated[UploadFile, File()],
    kind: Annotated[FileKind, Form()] = "train",
    skip_bad_rows: Annotated[bool, Form(description="load the file without its bad rows")] = False,
    header: Annotated[bool | None, Form(description="whether the first row names the columns; empty: find out")] = None,
    label_column: Annotated[int | None, Form(ge=0, description="from 0; empty: find out")] = None,
    text_column_a: Annotated[int | None, Form(ge=0)] = None,
    text_column_b: Annotated[int | None, Form(ge=0)] = None,
) -> JSONResponse:
    """Upload a train, test or unlabelled file. 201 with its report, 200 when it is there, 422 naming each bad row."""
    with request.app.state.database.reading() as look:  # or the parse would hold the one write transaction of SQLite
        queries.contest(look, slug)
    columns = service.columns_of(header, label_column, text_column_a, text_column_b)
    examined = service.receive_file(storage, file.file, file.filename or "", kind, columns, skip_bad_rows=skip_bad_rows)
    row, new = service.add_file(session, queries.contest(session, slug), examined)
    return JSONResponse(file_out(row).model_dump(mode="json"), 201 if new else 200)
