"""REST: what is counted in data files, their pairs, mined words, and an experiment's mistakes."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request
from sqlalchemy.orm import Session

from app.contests import browsing, facts, queries
from app.contests.browsing import Found, Only
from app.contests.facts import Known, Want
from app.contests.models import ContestFile
from app.contests.rows_at import pair_file
from app.db import Database
from app.errors import NotFound
from app.experiments import queries as experiment_queries
from app.language import gettext as _
from app.leaderboard import mistakes as judging
from app.leaderboard.mistakes import Kind, Mistakes, PartKey
from app.runs import words as mining
from app.runs.words import Words
from app.security import member
from app.storage import Storage
from app.web import SessionDep, StorageDep

router = APIRouter(prefix="/api/v1", tags=["data"], dependencies=[Depends(member)])
Id = Annotated[int, Query(ge=1, lt=1 << 63)]
Offset = Annotated[int, Query(ge=0, lt=1 << 62, description="of what was found, so many are passed over")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Search = Annotated[str, Query(max_length=200, description="ids next to each other, or letters")]
Label = Literal["", "0", "1"]
FromLine = Annotated[int, Query(ge=1, lt=1 << 62, description="where the stretch that is searched begins")]


def counted(request: Request, background: BackgroundTasks, session: Session, wants: list[Want]) -> Known:
    """What is known; what takes longer is counted after the answer has left."""
    database: Database = request.app.state.database
    storage: Storage = request.app.state.storage
    known = facts.look(session, database, storage, wants)
    if known.later:
        background.add_task(facts.count, database, storage, known.later)
    return known


def found_pairs(
    request: Request,
    background: BackgroundTasks,
    session: Session,
    file: ContestFile,
    ask: browsing.Ask,
    only: Only,
) -> Found | None:
    """Pairs of a file; None while its repeats are being counted."""
    storage: Storage = request.app.state.storage
    source = pair_file(storage.existing(file.sha256, file.name), file)
    if not only:
        return browsing.browse(source, ask)
    repeats = counted(request, background, session, [Want("repeats", (file,))]).repeats(file)
    if repeats is None:
        return None
    listed = repeats.repeats if only == "repeats" else repeats.contradictions
    return browsing.browse_listed(source, listed, ask)


def words_of(session: Session, storage: Storage, contest_id: int, run: int | None, **ask: Any) -> Words | None:
    """Mined words. Raises NotFound when a run is named that has none."""
    found = mining.words(session, storage, contest_id, run_id=run, **ask)
    if found is None and run is not None:
        raise NotFound(
            _(
                "run %(run)s is none of this contest's newest runs with mined words: leave it out for the newest",
                run=run,
            )
        )
    return found


def mistakes_of(session: Session, storage: Storage, experiment_id: int, ask: judging.Ask) -> Mistakes:
    """What an experiment judges wrongly."""
    return judging.mistakes(session, storage, experiment_queries.experiment(session, experiment_id), ask)


@router.get("/contests/{slug}/files/{file_id}/components")
def read_components(
    request: Request, slug: str, file_id: int, session: SessionDep, background: BackgroundTasks
) -> dict[str, Any]:
    """How the rows of a train file hang together by shared sentences. `components` is null while they are counted."""
    file = queries.file(session, queries.contest(session, slug).id, file_id)
    want = Want("components", (file,))
    known = counted(request, background, session, [want])
    return {"components": known.components(file), "seconds": known.seconds.get(want.key)}


@router.get("/contests/{slug}/files/{file_id}/overlap")
def read_overlap(
    request: Request, slug: str, file_id: int, against: Id, session: SessionDep, background: BackgroundTasks
) -> dict[str, Any]:
    """What a file shares with the file `against`. `overlap` is null while it is counted."""
    contest = queries.contest(session, slug)
    base, file = queries.file(session, contest.id, against), queries.file(session, contest.id, file_id)
    want = Want("overlap", (base, file))
    known = counted(request, background, session, [want])
    return {"overlap": known.overlap(base, file), "seconds": known.seconds.get(want.key)}


@router.get("/contests/{slug}/files/{file_id}/pairs")
def read_pairs(
    request: Request,
    slug: str,
    file_id: int,
    session: SessionDep,
    background: BackgroundTasks,
    label: Label = "",
    search: Search = "",
    only: Only = "",
    from_line: FromLine = 1,
    offset: Offset = 0,
    limit: Limit = browsing.PAGE,
) -> dict[str, Any] | None:
    """Pairs of a file by line: of `total` found in the lines from `first` to `last` those from `offset` on. Go on from
    `next_line`. Null while repeats are being counted."""
    file = queries.file(session, queries.contest(session, slug).id, file_id)
    ask = browsing.Ask(int(label) if label else None, search.strip(), from_line, offset, limit)
    found = found_pairs(request, background, session, file, ask, only)
    return asdict(found) if found is not None else None


@router.get("/contests/{slug}/words")
def read_words(
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    run: Id | None = None,
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = mining.PAGE,
) -> Words | None:
    """Words that the newest pretrain with whole-word masks, or this run, masked as wholes; null when none has any."""
    contest = queries.contest(session, slug)
    return words_of(session, storage, contest.id, run, search=search.strip(), offset=offset, limit=limit)


@router.get("/experiments/{experiment_id}/mistakes")
def read_mistakes(
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    kind: Kind = "all",
    part: PartKey = "",
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = judging.PAGE,
) -> dict[str, Any]:
    """The valid pairs that an experiment judges wrongly, worst first: of `total` found those from `offset` on."""
    ask = judging.Ask(kind, part, search.strip(), offset, limit)
    return asdict(mistakes_of(session, storage, experiment_id, ask))
