"""HTML: a run's log, what went wrong first, then the lines around a place, at its end, or that hold a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from app.runs import log_queries, log_service, queries
from app.runs.log_service import Line, RunLog
from app.runs.models import Attempt, Run
from app.security import member
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
WINDOW = 400  # lines at once
MOST_FOUND = 500
MOST_WRONG = 20
#: on an experiment's page: lines of each run, and runs that show any
TAIL, MOST_TAILS = 15, 12


@dataclass(frozen=True)
class LogPage:
    """runs/log.html. `lines`: a window of the log, or what `search` finds, `found` lines in all. `begin`: of the
    window before this one, `end` of the one behind; None at the ends."""

    run: Run
    experiment_ids: list[int]
    attempts: Sequence[Attempt]
    log: RunLog
    wrong: list[Line]
    lines: list[Line]
    search: str
    found: int
    line: int | None
    begin: int | None
    end: int | None


@dataclass(frozen=True)
class Tail:
    """The end of a run's log on the experiment's page. `wrong`: the first lines that tell what went wrong."""

    run: Run
    log: RunLog
    wrong: list[Line]
    lines: list[Line]


@router.get("/runs/{run_id}/log")
def show_log(
    request: Request,
    run_id: int,
    session: SessionDep,
    attempt: Annotated[int | None, Query(ge=1, lt=1 << 31)] = None,
    search: Annotated[str, Query(max_length=200)] = "",
    line: Annotated[int | None, Query(ge=1, lt=1 << 31)] = None,
) -> Response:
    """The end of the log, the lines around `line`, or those that hold the text of `search`."""
    run = queries.run(session, run_id)
    log = log_service.read(session, run, log_queries.attempt(session, run, attempt))
    found = log.having(search) if search else []
    start = max(0, len(log.lines) - WINDOW if line is None else min(line - WINDOW // 2, len(log.lines) - WINDOW))
    window = log.lines[start : start + WINDOW]
    context = LogPage(
        run=run,
        experiment_ids=queries.experiment_ids_of(session, run.id),
        attempts=queries.attempts_of(session, run.id),
        log=log,
        wrong=log.wrong[:MOST_WRONG],
        lines=found[:MOST_FOUND] if search else window,
        search=search,
        found=len(found),
        line=line,
        begin=start - WINDOW // 2 if start > 0 else None,
        end=start + WINDOW + WINDOW // 2 if start + WINDOW < len(log.lines) else None,
    )
    return page(request, "runs/log.html", context)


def tails(session: Session, runs: Sequence[Run]) -> list[Tail]:
    """The logs of an experiment's runs, those that failed or work first; of many the others are left out."""
    begun = [run for run in runs if run.attempt]
    urgent = {"failed": 0, "running": 1}
    begun.sort(key=lambda run: urgent.get(run.status, 2))
    found = []
    for run in begun[:MOST_TAILS]:
        log = log_service.read(session, run, log_queries.attempt(session, run, None))
        found.append(Tail(run, log, log.wrong[:MOST_WRONG], log.lines[-TAIL:]))
    return found
