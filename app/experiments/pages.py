"""HTML: an experiment's page, and a score typed by hand. What of it moves: status_pages; its name, verdict and note:
edit_pages; the form of a new one: form_pages."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.errors import AppError
from app.experiments import queries
from app.experiments.models import Experiment, Score
from app.experiments.note import rendered
from app.experiments.status_pages import RunView, status_of
from app.leaderboard.queries import Row
from app.runs.curve_pages import ChartGroup, chart_groups
from app.security import CHARTS_CSP, Actor, member
from app.submissions import service as submissions
from app.web import SessionDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(dependencies=[Depends(member)])
CHARTS = {"Content-Security-Policy": CHARTS_CSP}


@dataclass(frozen=True)
class ExperimentPage:
    """experiments/page.html."""

    contest: Contest
    metric: Metric
    experiment: Experiment
    note: Markup | None
    row: Row
    runs: list[RunView]
    retries: bool
    scores: Sequence[Score]
    files: list[ContestFile]
    config: dict[str, Any] | None
    same_as: list[int]
    parent: Experiment | None
    changes: dict[str, tuple[Any, Any]]
    charts: list[ChartGroup]
    score_key: str
    score_error: str
    score_typed: str


@router.get("/experiments/{experiment_id}")
def show(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """Scores, runs and config of one experiment."""
    return page(request, "experiments/page.html", _page(session, experiment_id), headers=CHARTS)


def _page(session: Session, experiment_id: int, *, error: str = "", typed: str = "") -> ExperimentPage:
    experiment = queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    view = status_of(session, experiment)
    same = queries.same_fingerprint(session, contest.id, experiment.fingerprint) if experiment.fingerprint else []
    return ExperimentPage(
        contest=contest,
        metric=METRICS[contest.metric],
        experiment=experiment,
        note=rendered(experiment.note) if experiment.note else None,
        row=view.row,
        runs=view.runs,
        retries=view.retries,
        scores=queries.scores_of(session, [experiment.id]),
        files=[
            contest_queries.file_by_id(session, file_id)
            for file_id in (experiment.train_file_id, experiment.test_file_id, experiment.unlabelled_file_id)
            if file_id is not None
        ],
        config=experiment.config,
        same_as=[item for item in same if item != experiment.id],
        parent=queries.experiment(session, experiment.parent_id) if experiment.parent_id else None,
        changes=queries.changes_from_parent(session, experiment),
        charts=chart_groups([item.run for item in view.runs]),
        score_key=str(uuid.uuid4()),
        score_error=error,
        score_typed=typed,
    )


@router.post("/experiments/{experiment_id}/online-scores")
def post_score(
    request: Request,
    experiment_id: int,
    session: SessionDep,
    who: Annotated[Actor, Depends(member)],
    value: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    key: Annotated[str | None, Form()] = None,
) -> Response:
    """Append an online score typed by a person; sent twice by a double click it is kept once."""
    experiment = queries.experiment(session, experiment_id)
    try:
        score = submissions.OnlineScore(
            submissions.number(value), note.strip(), text=value.strip(), source="form", made_by=who.name
        )
        submissions.post_online_score(session, experiment, score, key=key)
    except AppError as error:
        return page(
            request,
            "experiments/page.html",
            _page(session, experiment_id, error=error.message, typed=value),
            error.status,
            headers=CHARTS,
        )
    return RedirectResponse(f"/experiments/{experiment_id}", 303)
