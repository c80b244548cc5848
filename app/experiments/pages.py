"""HTML: an experiment's page. What of it moves: status_pages; its name, verdict and note: edit_pages; the form of a new
one: form_pages; what is done about its submissions: submissions/check_pages.py."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, BackgroundTasks, Depends, Request
from fastapi.responses import Response
from markupsafe import Markup
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.models import Contest, ContestFile
from app.experiments import queries
from app.experiments.models import Experiment, Score
from app.experiments.note import rendered
from app.experiments.status_pages import RunView, Stage, status_of
from app.gate import CHARTS_CSP
from app.language import N_
from app.leaderboard.checks import Check, checks
from app.leaderboard.row_queries import Row
from app.runs import elsewhere, stream_service
from app.runs import queries as run_queries
from app.runs.curve_pages import ChartGroup, chart_groups
from app.runs.log_pages import MOST_TAILS, Tail, tails
from app.runs.reproduce import Recipe, recipes
from app.security import member
from app.submissions import files, overview, quota, remembering, snippets
from app.submissions.files import Told
from app.submissions.overview import Sent
from app.submissions.quota import Quota
from app.submissions.snippets import Snippets
from app.web import SessionDep, page, site_url
from ml.contract.scores import METRICS, Metric

router = APIRouter(include_in_schema=False, dependencies=[Depends(member)])
#: words of rows that the page shows, beside those of models.py: kinds of files, units of tokens
WORDS = (N_("test"), N_("unlabelled"), N_("ids"), N_("characters"), N_("words"))
CHARTS = {"Content-Security-Policy": CHARTS_CSP}


@dataclass(frozen=True)
class ExperimentPage:
    """experiments/page.html. `checks`: what speaks for its numbers; `scores`: those of runs; `submitted`: what the
    contest answered, the newest first; `to_send`: the file for the contest, None until there is one. `submissions`: the
    files that were planned or sent, and `quota` what the contest still takes today. `score_typed`: a score that was not
    taken, for the reason `score_error`. `train_files`: of which predictions of a row trained elsewhere may be brought;
    `bring_error`: why they were not taken."""

    contest: Contest
    metric: Metric
    experiment: Experiment
    note: Markup | None
    row: Row
    checks: list[Check]
    stages: list[Stage]
    runs: list[RunView]
    retries: bool
    scores: list[Score]
    submitted: list[Score]
    submissions: list[Sent]
    quota: Quota
    snippets: Snippets
    to_send: Told | None
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
    score_typed: dict[str, str]
    train_files: Sequence[ContestFile]
    bring_error: str


@router.get("/experiments/{experiment_id}")
def show(request: Request, experiment_id: int, session: SessionDep, background: BackgroundTasks) -> Response:
    """Scores, runs and config of one experiment."""
    context = page_of(request, session, experiment_id)
    if context.to_send and not context.to_send.kept:  # a score may come by the hash that is shown
        state = request.app.state
        background.add_task(remembering.remember, state.database, state.storage, experiment_id)
    return page(request, "experiments/page.html", context, headers=CHARTS)


def page_of(
    request: Request,
    session: Session,
    experiment_id: int,
    *,
    error: str = "",
    typed: dict[str, str] | None = None,
    bring_error: str = "",
) -> ExperimentPage:
    """Everything that the page shows; `typed`: a score that was refused, for the reason `error`; `bring_error`: why
    predictions were not taken."""
    experiment = queries.experiment(session, experiment_id)
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    # first: what comes while the rest is read is told by the stream once more
    seen = stream_service.now(session, run_queries.runs_of(session, experiment.id))
    view = status_of(session, experiment)
    runs, scores = [item.run for item in view.runs], queries.scores_of(session, [experiment.id])
    here = [run for run in runs if run.kind != elsewhere.KIND]  # the others have no log
    settings, base = request.app.state.settings, site_url(request)
    day = quota.of_day(session, contest)
    to_send = files.told_of(session, request.app.state.storage, experiment)
    same = queries.same_fingerprint(session, contest.id, experiment.fingerprint) if experiment.fingerprint else []
    return ExperimentPage(
        contest=contest,
        metric=METRICS[contest.metric],
        experiment=experiment,
        note=rendered(experiment.note) if experiment.note else None,
        row=view.row,
        checks=checks(session, contest, [experiment.id])[experiment.id],
        stages=view.stages,
        runs=view.runs,
        retries=view.retries,
        scores=[score for score in scores if score.split != "online"],
        submitted=[score for score in reversed(scores) if score.split == "online"],
        submissions=overview.of_experiment(session, experiment, day.day),
        quota=day,
        snippets=snippets.of_experiment(
            base, contest.slug, experiment, to_send.sha256 if to_send else "", signed_in=not settings.on_loopback
        ),
        to_send=to_send,
        recipes=recipes(session, runs, base, signed_in=not settings.on_loopback),
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
        tails=tails(session, here),
        more_logs=max(0, sum(run.attempt > 0 for run in here) - MOST_TAILS),
        score_key=str(uuid.uuid4()),
        score_error=error,
        score_typed=dict.fromkeys(("value", "note", "board", "corrects", "submission", "time"), "") | (typed or {}),
        train_files=contest_queries.files(session, contest.id, "train") if experiment.origin == "external" else (),
        bring_error=bring_error,
    )
