"""HTML: an experiment's page, and a score typed by hand. What of it moves: status_pages; its name, verdict and note:
edit_pages; the form of a new one: form_pages."""

import uuid
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
from app.experiments.status_pages import RunView, Stage, status_of
from app.language import N_
from app.leaderboard.queries import Row
from app.runs import queries as run_queries
from app.runs import stream_service
from app.runs.curve_pages import ChartGroup, chart_groups
from app.runs.log_pages import MOST_TAILS, Tail, tails
from app.runs.models import Artifact, Run
from app.runs.reproduce import Recipe, recipes
from app.security import CHARTS_CSP, Actor, member, needs
from app.submissions import service as submissions
from app.web import SessionDep, page
from ml.contract.scores import METRICS, Metric

router = APIRouter(dependencies=[Depends(member)])
PREDICTIONS_OF_TEST = "test_predictions.tsv"
#: words of rows that the page shows, beside those of models.py: kinds of files, units of tokens
WORDS = (N_("test"), N_("unlabelled"), N_("ids"), N_("characters"), N_("words"))
CHARTS = {"Content-Security-Policy": CHARTS_CSP}


@dataclass(frozen=True)
class PredictionFile:
    """Predictions of the test file. `final`: they are the experiment's, the others those of a part of it."""

    run: Run
    artifact: Artifact
    final: bool


@dataclass(frozen=True)
class ExperimentPage:
    """experiments/page.html. `scores`: those of runs; `submitted`: what the contest answered, the newest first."""

    contest: Contest
    metric: Metric
    experiment: Experiment
    note: Markup | None
    row: Row
    stages: list[Stage]
    runs: list[RunView]
    retries: bool
    scores: list[Score]
    submitted: list[Score]
    predictions: list[PredictionFile]
    recipes: list[Recipe]
    signed_in_only: bool
    cursor: str
    files: list[ContestFile]
    config: dict[str, Any] | None
    same_as: list[int]
    parent: Experiment | None
    changes: dict[str, tuple[Any, Any]]
    charts: list[ChartGroup]
    tails: list[Tail]
    more_logs: int
    score_key: str
    score_error: str
    score_typed: str


@router.get("/experiments/{experiment_id}")
def show(request: Request, experiment_id: int, session: SessionDep) -> Response:
    """Scores, runs and config of one experiment."""
    return page(request, "experiments/page.html", _page(request, session, experiment_id), headers=CHARTS)


def _page(
    request: Request, session: Session, experiment_id: int, *, error: str = "", typed: str = ""
) -> ExperimentPage:
    experiment = queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    # first: what comes while the rest is read is told by the stream once more
    seen = stream_service.now(session, run_queries.runs_of(session, experiment.id))
    view = status_of(session, experiment)
    runs, scores = [item.run for item in view.runs], queries.scores_of(session, [experiment.id])
    settings, url = request.app.state.settings, request.url
    same = queries.same_fingerprint(session, contest.id, experiment.fingerprint) if experiment.fingerprint else []
    return ExperimentPage(
        contest=contest,
        metric=METRICS[contest.metric],
        experiment=experiment,
        note=rendered(experiment.note) if experiment.note else None,
        row=view.row,
        stages=view.stages,
        runs=view.runs,
        retries=view.retries,
        scores=[score for score in scores if score.split != "online"],
        submitted=[score for score in reversed(scores) if score.split == "online"],
        predictions=_predictions(view.runs),
        recipes=recipes(session, runs, f"{url.scheme}://{url.netloc}", signed_in=not settings.on_loopback),
        signed_in_only=not settings.on_loopback,
        cursor=stream_service.cursor_text(seen) if view.row.active else "",
        files=[
            contest_queries.file_by_id(session, file_id)
            for file_id in (experiment.train_file_id, experiment.test_file_id, experiment.unlabelled_file_id)
            if file_id is not None
        ],
        config=experiment.config,
        same_as=[item for item in same if item != experiment.id],
        parent=queries.experiment(session, experiment.parent_id) if experiment.parent_id else None,
        changes=queries.changes_from_parent(session, experiment),
        charts=chart_groups(runs),
        tails=tails(session, runs),
        more_logs=max(0, sum(run.attempt > 0 for run in runs) - MOST_TAILS),
        score_key=str(uuid.uuid4()),
        score_error=error,
        score_typed=typed,
    )


def _predictions(views: list[RunView]) -> list[PredictionFile]:
    """What can be sent to the contest: the last run's first, which is the blend where there is one."""
    found = [
        (view.run, artifact) for view in views for artifact in view.artifacts if artifact.name == PREDICTIONS_OF_TEST
    ]
    last = max((view.run.id for view in views if view.run.kind != "pretrain"), default=0)
    found.sort(key=lambda item: (item[0].id != last, item[0].id))
    return [PredictionFile(run, artifact, final=run.id == last) for run, artifact in found]


@router.post("/experiments/{experiment_id}/online-scores", dependencies=[Depends(needs("submit"))])
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
            _page(request, session, experiment_id, error=error.message, typed=value),
            error.status,
            headers=CHARTS,
        )
    return RedirectResponse(f"/experiments/{experiment_id}", 303)
