"""HTML: what moves on an experiment's page while its runs work, for pages and for live.js."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.db import clock
from app.experiments import queries
from app.experiments.models import Experiment
from app.language import N_
from app.leaderboard.row_queries import Row, rows_of
from app.runs import queries as run_queries
from app.runs import service as run_service
from app.runs import waiting
from app.runs.models import KINDS, Artifact, Attempt, Run, RunEvent
from app.runs.waiting import Line, Waiting
from app.runs.worker_service import silent_for
from app.security import member
from app.web import SessionDep, page

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
SHOWN_EVENTS = 40


@dataclass(frozen=True)
class RunView:
    """A run with what its part of the page shows. `hidden_events` says how many older events are not shown,
    `thinned_events` how many are gone; `waiting` why it has not started, `silent` for how many seconds its worker was
    not heard of."""

    run: Run
    attempts: Sequence[Attempt]
    artifacts: Sequence[Artifact]
    events: Sequence[RunEvent]
    hidden_events: int
    thinned_events: int
    shared_with: list[int]
    waiting: Waiting | None
    silent: float | None


@dataclass(frozen=True)
class Node:
    """A run in the graph. `experiments`: others that it works for, too. `outside`: it is not this experiment's own."""

    run: Run
    experiments: list[int]
    outside: bool = False


@dataclass(frozen=True)
class Stage:
    """Runs that may work at the same time, once those of the stage before have finished."""

    title: str
    nodes: list[Node]


@dataclass(frozen=True)
class StatusView:
    """experiments/_status.html: what moves while the experiment works. `retries`: there is something to try again."""

    experiment: Experiment
    row: Row
    stages: list[Stage]
    runs: list[RunView]
    retries: bool


@router.get("/experiments/{experiment_id}/status")
def status(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """The part of the page that moves, for live.js."""
    return page(request, "experiments/_status.html", status_of(session, queries.experiment(session, experiment_id)))


@router.post("/experiments/{experiment_id}/cancel")
def cancel(experiment_id: int, session: SessionDep) -> Response:
    """Cancel what has not ended."""
    run_service.cancel_experiment(session, queries.experiment(session, experiment_id))
    return RedirectResponse(f"/experiments/{experiment_id}", 303)


@router.post("/experiments/{experiment_id}/retry")
def retry(experiment_id: int, session: SessionDep) -> Response:
    """Try again what failed or was cancelled."""
    run_service.retry_experiment(session, queries.experiment(session, experiment_id))
    return RedirectResponse(f"/experiments/{experiment_id}", 303)


def status_of(session: Session, experiment: Experiment) -> StatusView:
    """How its runs stand."""
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    runs = run_queries.runs_of(session, experiment.id)
    line = waiting.line(session) if any(run.status == "queued" for run in runs) else None
    views = [_run_view(session, run, experiment.id, line) for run in runs]
    return StatusView(
        experiment=experiment,
        row=rows_of(session, contest, [experiment.id])[0],
        stages=_stages(session, views),
        runs=views,
        retries=any(run.status in {"failed", "cancelled"} for run in runs),
    )


def _stages(session: Session, views: list[RunView]) -> list[Stage]:
    """Its runs by kind, and before them those of other experiments that they read (a fusion's members, a teacher)."""
    own = {view.run.id for view in views}
    needed = {need.id: need for view in views for _role, need in run_queries.needs_of(session, view.run.id)}
    outside = [run for number, run in sorted(needed.items()) if number not in own]
    first = [Node(run, run_queries.experiment_ids_of(session, run.id), outside=True) for run in outside]
    stages = [Stage(N_("of other experiments"), first)]
    for kind, title in zip(KINDS, (N_("Pretraining"), N_("Finetuning"), N_("Blend"), N_("Elsewhere")), strict=True):
        stages.append(Stage(title, [Node(view.run, view.shared_with) for view in views if view.run.kind == kind]))
    return [stage for stage in stages if stage.nodes]


def _run_view(session: Session, run: Run, experiment_id: int, line: Line | None) -> RunView:
    attempts = run_queries.attempts_of(session, run.id)
    ids = [attempt.id for attempt in attempts]
    events = run_queries.events_of(session, ids, limit=SHOWN_EVENTS)
    thinned = sum(attempt.thinned_events for attempt in attempts)
    return RunView(
        run=run,
        attempts=attempts,
        artifacts=run_queries.artifacts_of(session, run),
        events=list(reversed(events)),
        hidden_events=sum(attempt.stored_events for attempt in attempts) - thinned - len(events),
        thinned_events=thinned,
        shared_with=[item for item in run_queries.experiment_ids_of(session, run.id) if item != experiment_id],
        waiting=line.of(run.id) if line is not None else None,
        silent=silent_for(attempts[-1] if attempts else None, clock(session)),
    )
