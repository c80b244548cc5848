"""HTML: the list of contests, a new one, and a contest's data files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.accounts import service as accounts
from app.contests import queries, service
from app.contests.data_api import counted
from app.contests.facts import Known, Want
from app.contests.models import Contest, ContestFile
from app.contests.report import MOST_ROWS
from app.contests.sentences import Overlap
from app.errors import AppError, Refused
from app.experiments.models import Experiment
from app.leaderboard.queries import with_predictions
from app.runs import words as mining
from app.runs.words import Words
from app.security import Actor, member
from app.web import SessionDep, StorageDep, page
from ml.contract.pair_file import FileKind
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
SHOWN_WORDS = 20
SHOWN_JUDGED = 50


@dataclass(frozen=True)
class IndexPage:
    """contests/index.html."""

    contests: Sequence[Contest]
    file_counts: dict[int, int]
    metrics: dict[str, Metric]


@dataclass(frozen=True)
class NewContestPage:
    """contests/new.html: what was typed, and what is wrong with it by field."""

    metrics: Sequence[Metric]
    typed: dict[str, str]
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FilesPage:
    """contests/files.html. `refused` is the report of an upload that was not taken. `known`: what was counted in the
    files; `shared`: of each file beside the newest train file, what both hold, None while it is counted; `judged`: the
    newest experiments with predictions, whose mistakes can be looked at."""

    contest: Contest
    files: Sequence[ContestFile]
    error: str
    refused: dict[str, Any] | None
    kind: str
    known: Known
    base: ContestFile | None
    shared: dict[int, Overlap | None]
    words: Words | None
    judged: Sequence[Experiment]
    most_bytes: int
    most_rows: str


@router.get("/")
def index(request: Request, session: SessionDep) -> Response:
    """Every contest."""
    context = IndexPage(queries.all_contests(session), queries.file_counts(session), METRICS)
    return page(request, "contests/index.html", context)


@router.get("/contests/new")
def new(request: Request) -> Response:
    """The form of a new contest."""
    return page(request, "contests/new.html", NewContestPage(list(METRICS.values()), {"metric": "roc_auc"}))


@router.post("/contests")
def create(
    request: Request,
    session: SessionDep,
    who: Annotated[Actor, Depends(member)],
    name: Annotated[str, Form()] = "",
    metric: Annotated[str, Form()] = "",
    slug: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
) -> Response:
    """Make a contest, or show the form again with the errors beside their fields."""
    try:
        contest = service.create_contest(session, name=name, metric=metric, slug=slug, note=note)
    except AppError as error:
        typed = {"name": name, "metric": metric, "slug": slug, "note": note}
        context = NewContestPage(list(METRICS.values()), typed, {item.field: item.message for item in error.fields})
        return page(request, "contests/new.html", context, error.status)
    accounts.own(session, contest.id, who.member_id)
    return RedirectResponse(f"/contests/{contest.slug}/files", 303)


@router.get("/contests/{slug}/files")
def files(request: Request, slug: str, session: SessionDep, background: BackgroundTasks) -> Response:
    """The contest's data files, and what they hold."""
    contest = queries.contest(session, slug)
    return page(request, "contests/files.html", _files(request, background, session, contest))


def _files(
    request: Request,
    background: BackgroundTasks,
    session: Session,
    contest: Contest,
    error: str = "",
    refused: dict[str, Any] | None = None,
    kind: str = "train",
) -> FilesPage:
    files = queries.files(session, contest.id)
    base = next((file for file in files if file.kind == "train"), None)
    others = [file for file in files if base is not None and file.id != base.id]
    wants = [Want("components", (file,)) for file in files if file.kind == "train"]
    wants += [Want("overlap", (base, file)) for file in others if base is not None]
    known = counted(request, background, session, wants)
    return FilesPage(
        contest=contest,
        files=files,
        error=error,
        refused=refused,
        kind=kind,
        known=known,
        base=base,
        shared={file.id: known.overlap(base, file) for file in others if base is not None},
        words=mining.words(session, request.app.state.storage, contest.id, limit=SHOWN_WORDS),
        judged=with_predictions(session, contest.id, SHOWN_JUDGED),
        most_bytes=request.app.state.storage.max_bytes,
        most_rows=f"{MOST_ROWS:,}",
    )


@router.post("/contests/{slug}/files")
def upload(
    request: Request,
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    background: BackgroundTasks,
    file: Annotated[UploadFile, File()],
    kind: Annotated[FileKind, Form()] = "train",
    skip_bad_rows: Annotated[bool, Form()] = False,
) -> Response:
    """Take a file in, or show its bad rows by line."""
    with request.app.state.database.reading() as look:  # or the parse would hold the one write transaction of SQLite
        queries.contest(look, slug)
    try:
        examined = service.receive_file(
            storage, file.file, file.filename or "", kind, service.Columns(), skip_bad_rows=skip_bad_rows
        )
    except Refused as error:
        report = error.detail if isinstance(error.detail, dict) else None
        with request.app.state.database.reading() as look:  # counting has a write transaction of its own
            contest = queries.contest(look, slug)
            context = _files(request, background, look, contest, error.message, report, kind)
        return page(request, "contests/files.html", context, error.status)
    service.add_file(session, queries.contest(session, slug), examined)
    return RedirectResponse(f"/contests/{slug}/files", 303)
