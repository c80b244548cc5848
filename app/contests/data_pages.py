"""HTML and CSV: the pairs of a file, mined words, and an experiment's mistakes."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from fastapi.responses import RedirectResponse, Response

from app.contests import browsing, queries
from app.contests.browsing import Found, Only
from app.contests.data_api import (
    FromLine,
    Id,
    Label,
    Offset,
    Search,
    found_pairs,
    mistakes_of,
    words_of,
)
from app.contests.marking import MarkedPair, marked
from app.contests.models import Contest, ContestFile
from app.experiments import queries as experiment_queries
from app.experiments.models import Experiment
from app.leaderboard import mistakes as judging
from app.leaderboard.mistakes import Kind, Mistakes, PartKey
from app.leaderboard.table_text import write_csv
from app.runs import words as mining
from app.runs.words import Words
from app.security import member
from app.web import SessionDep, StorageDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
#: rows of a downloaded file at most; the page says so
EXPORTED = 100_000


@dataclass(frozen=True)
class PairsPage:
    """contests/pairs.html. `found` is None while repeats are being counted; `marks`: shared tokens of each row.
    `query`: the filter as an address has it, without a place."""

    contest: Contest
    file: ContestFile
    found: Found | None
    marks: list[MarkedPair]
    label: str
    search: str
    only: str
    offset: int
    limit: int
    query: str
    exported: int


@dataclass(frozen=True)
class WordsPage:
    """contests/words.html."""

    contest: Contest
    words: Words | None
    run: int | None
    search: str
    offset: int
    limit: int
    query: str


@dataclass(frozen=True)
class MistakesPage:
    """contests/mistakes.html. `marks`: shared tokens of each pair."""

    contest: Contest
    experiment: Experiment
    found: Mistakes
    marks: list[MarkedPair]
    kind: str
    part: str
    search: str
    offset: int
    limit: int
    query: str
    sliced_rows: int
    exported: int


def _query(**values: Any) -> str:
    return urlencode({name: value for name, value in values.items() if value not in {"", None}})


@router.get("/contests/{slug}/files/{file_id}/pairs")
def show_pairs(
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
) -> Response:
    """The pairs of a file, by line."""
    contest = queries.contest(session, slug)
    file = queries.file(session, contest.id, file_id)
    search = search.strip()
    ask = browsing.Ask(int(label) if label else None, search, from_line, offset)
    found = found_pairs(request, background, session, file, ask, only)
    ids = file.report["looks_like"] == "ids"
    context = PairsPage(
        contest=contest,
        file=file,
        found=found,
        marks=[marked(row.a, row.b, ids=ids) for row in found.rows] if found else [],
        label=label,
        search=search,
        only=only,
        offset=offset,
        limit=ask.limit,
        query=_query(label=label, search=search, only=only),
        exported=EXPORTED,
    )
    return page(request, "contests/pairs.html", context)


@router.get("/contests/{slug}/files/{file_id}/pairs.csv")
def pairs_as_csv(
    request: Request,
    slug: str,
    file_id: int,
    session: SessionDep,
    background: BackgroundTasks,
    label: Label = "",
    search: Search = "",
    only: Only = "",
    from_line: FromLine = 1,
) -> Response:
    """What was found in a stretch of the file."""
    file = queries.file(session, queries.contest(session, slug).id, file_id)
    ask = browsing.Ask(int(label) if label else None, search.strip(), from_line, limit=EXPORTED)
    found = found_pairs(request, background, session, file, ask, only)
    if found is None:  # an empty file would say that there are none; the page says that they are being counted
        return RedirectResponse(f"/contests/{slug}/files/{file_id}/pairs?only={only}", 303)
    rows = found.rows
    body = [(row.line, row.a, row.b, "" if row.label is None else row.label) for row in rows]
    return _download(write_csv(["line", "a", "b", "label"], body), f"pairs-{file_id}.csv")


@router.get("/contests/{slug}/words")
def show_words(
    request: Request,
    slug: str,
    session: SessionDep,
    storage: StorageDep,
    run: Id | None = None,
    search: Search = "",
    offset: Offset = 0,
) -> Response:
    """Words that a pretrain masked as wholes, most frequent first."""
    contest, search = queries.contest(session, slug), search.strip()
    found = words_of(session, storage, contest.id, run, search=search, offset=offset)
    query = _query(run=run, search=search)
    context = WordsPage(contest, found, run, search, offset, mining.PAGE, query)
    return page(request, "contests/words.html", context)


@router.get("/contests/{slug}/words.csv")
def words_as_csv(
    slug: str, session: SessionDep, storage: StorageDep, run: Id | None = None, search: Search = ""
) -> Response:
    """Every listed word that was found."""
    contest = queries.contest(session, slug)
    found = words_of(session, storage, contest.id, run, search=search.strip(), limit=EXPORTED)
    rows = found.rows if found else []
    body = [(row.word, row.count, row.mutual_information, row.boundary_entropy) for row in rows]
    return _download(write_csv(["word", "count", "mutual_information", "boundary_entropy"], body), "words.csv")


@router.get("/contests/{slug}/mistakes")
def choose_experiment(slug: str, experiment: Id, session: SessionDep) -> Response:
    """From the list on the data page to its mistakes."""
    experiment_queries.chosen(session, queries.contest(session, slug).id, [experiment])
    return RedirectResponse(f"/experiments/{experiment}/mistakes", 303)


@router.get("/experiments/{experiment_id}/mistakes")
def show_mistakes(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    kind: Kind = "all",
    part: PartKey = "",
    search: Search = "",
    offset: Offset = 0,
) -> Response:
    """The valid pairs that it judges wrongly, worst first."""
    experiment = experiment_queries.experiment(session, experiment_id)
    ask = judging.Ask(kind, part, search.strip(), offset)
    found = mistakes_of(session, storage, experiment_id, ask)
    context = MistakesPage(
        contest=queries.contest_by_id(session, experiment.contest_id),
        experiment=experiment,
        found=found,
        marks=[marked(item.a, item.b, ids=found.ids) for item in found.mistakes],
        kind=kind,
        part=part,
        search=ask.search,
        offset=offset,
        limit=ask.limit,
        query=_query(kind="" if kind == "all" else kind, part=part, search=ask.search),
        sliced_rows=judging.SLICED_ROWS,
        exported=EXPORTED,
    )
    return page(request, "contests/mistakes.html", context)


@router.get("/experiments/{experiment_id}/mistakes.csv")
def mistakes_as_csv(
    experiment_id: int,
    session: SessionDep,
    storage: StorageDep,
    kind: Kind = "all",
    part: PartKey = "",
    search: Search = "",
) -> Response:
    """Everything that was found."""
    found = mistakes_of(session, storage, experiment_id, judging.Ask(kind, part, search.strip(), limit=EXPORTED))
    body = [(item.line, item.a, item.b, item.label, item.probability) for item in found.mistakes]
    return _download(write_csv(["line", "a", "b", "label", "probability"], body), f"mistakes-{experiment_id}.csv")


def _download(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.encode(), media_type="text/csv; charset=utf-8", headers=headers)
