"""REST: queue an experiment, read it, edit and cancel it. Its online scores: submissions/scores_api.py."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.errors import NotFound
from app.experiments import queries, service, sweep, weights
from app.experiments.models import Experiment, Score
from app.language import gettext as _
from app.leaderboard.row_queries import rows_of
from app.runs import queries as run_queries
from app.runs import service as run_service
from app.runs.api import RunOut, run_out
from app.runs.placement import Placement
from app.runs.preview import Preview, preview
from app.security import Actor, member
from app.web import SessionDep, SettingsDep
from ml.contract.experiment import ExperimentConfig, upgrade

router = APIRouter(prefix="/api/v1", tags=["experiments"], dependencies=[Depends(member)])
Member = Annotated[Actor, Depends(member)]


class Strict(BaseModel):
    """A body in which unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class NewExperiment(Strict):
    """What to run: a preset, or a config, or a preset with a config's changes laid over it."""

    name: str = Field(examples=["n-gram mask"])
    note: str = ""
    preset: str = Field("", examples=["demo"], description="empty: the contract's defaults")
    size: str = Field("", examples=["tiny"], description="the preset's encoder: tiny, mini, small, base, large")
    config: dict[str, Any] = Field(default_factory=dict, examples=[{"finetune": {"num_train_epochs": 3}, "seed": 7}])
    train_file_id: int | None = Field(None, description="null: the contest's newest train file")
    test_file_id: int | None = Field(None, description="null: the contest's newest test file, if it has one")
    unlabelled_file_id: int | None = Field(None, description="null: the newest one, if the pretrain reads it")
    parent_id: int | None = Field(None, description="the experiment that this one is a variant of")
    placement: Placement = Field(
        default_factory=Placement, description="when and where it runs; its queue is the app's own unless named"
    )


class NewSweep(NewExperiment):
    """An experiment with several values of some fields."""

    values: dict[str, list[Any]] = Field(examples=[{"finetune.learning_rate": [1e-5, 2e-5], "seed": [1, 2, 3]}])
    mode: sweep.Mode = Field("grid", description="grid: every combination; random: `rows` of them")
    rows: int | None = Field(None, ge=1, le=sweep.MOST_ROWS)
    seed: int = Field(0, description="of the draw")


class EditExperiment(Strict):
    """Name, verdict and note; what was asked never changes. What is left out, or null, stays as it is."""

    name: str | None = None
    note: str | None = Field(None, description="Markdown")
    verdict: str | None = Field(None, description="what came of it: one line, at most 200 characters")


class ScoreOut(BaseModel):
    """One number."""

    id: int
    split: str
    metric: str
    value: float
    low: float | None = Field(description="lower end of the 95% interval")
    high: float | None
    members: list[float] | None = Field(description="what each fold, repeat or fused experiment scored by itself")
    uncertain: bool
    note: str
    source: str
    made_by: str = Field(description="the member or token that posted it")
    run_id: int | None
    submission_id: int | None = Field(description="of an online score: the submission that got it")
    board: str
    told_at: datetime | None = Field(description="when the contest told it, where that was said")
    corrects_id: int | None = Field(description="the score that was wrong, which this one stands for")
    counts: bool = Field(description="false: it was wrong, and another corrects it")
    created_at: datetime


class ExperimentOut(BaseModel):
    """An experiment, its scores and its runs."""

    id: int
    contest: str
    name: str
    verdict: str = Field(description="what came of it, in one line")
    note: str = Field(description="Markdown")
    origin: str
    made_by: str = Field(description="the member or token that asked for it")
    archived_at: datetime | None
    tags: list[str]
    status: str
    config: dict[str, Any] | None
    fingerprint: str | None
    parent_id: int | None
    train_file_id: int | None
    test_file_id: int | None
    unlabelled_file_id: int | None
    created_at: datetime
    audit: str = Field(
        description="what the leak audit found of its split: clean, suspicious, leaking; empty: none yet"
    )
    marks: dict[str, str] = Field(description="what a reader of the scores must know (leaking, transductive), and why")
    changes: dict[str, tuple[Any, Any]] = Field(description="fields that differ from the parent: (parent's, own)")
    scores: list[ScoreOut]
    runs: list[RunOut]
    same_as: list[int] = Field(description="other experiments that asked for exactly the same")


def score_out(score: Score) -> ScoreOut:
    """The JSON of a score."""
    return ScoreOut.model_validate(score, from_attributes=True)


def experiment_out(session: Session, experiment: Experiment) -> ExperimentOut:
    """The JSON of an experiment."""
    contest = contest_queries.contest_by_id(session, experiment.contest_id)
    same = queries.same_fingerprint(session, contest.id, experiment.fingerprint) if experiment.fingerprint else []
    plain = {
        name: getattr(experiment, name)
        for name in ExperimentOut.model_fields
        if name not in {"contest", "status", "scores", "runs", "same_as", "changes", "tags"}
    }
    return ExperimentOut(
        **plain,
        contest=contest.slug,
        tags=queries.tags_of(session, [experiment.id]).get(experiment.id, []),
        changes=queries.changes_from_parent(session, experiment),
        status=rows_of(session, contest, [experiment.id])[0].status,
        scores=[score_out(score) for score in queries.scores_of(session, [experiment.id])],
        runs=[run_out(session, run) for run in run_queries.runs_of(session, experiment.id)],
        same_as=[item for item in same if item != experiment.id],
    )


def _asked(body: NewExperiment, who: Actor, name: str, config: ExperimentConfig) -> service.Asked:
    return {
        "name": name,
        "config": config,
        "note": body.note,
        "train_file_id": body.train_file_id,
        "test_file_id": body.test_file_id,
        "unlabelled_file_id": body.unlabelled_file_id,
        "parent_id": body.parent_id,
        "made_by": who.name,
    }


@router.post("/contests/{slug}/experiments/preview")
def preview_experiment(
    slug: str, body: NewExperiment, session: SessionDep, settings: SettingsDep, who: Member
) -> Preview:
    """What queueing it would do, without queueing it: who asked for the same already, a pretrain that it would share
    and the seconds that this saves, and from measured runs like it the seconds and bytes that it takes."""
    config = service.build_config(body.preset, body.config, body.size)
    weights.require(config, settings)
    return preview(session, contest_queries.contest(session, slug), **_asked(body, who, body.name, config))


@router.post("/contests/{slug}/experiments/sweep", status_code=201)
def create_sweep(
    slug: str, body: NewSweep, session: SessionDep, settings: SettingsDep, who: Member
) -> list[ExperimentOut]:
    """Queue a row for each combination of the values, or for some drawn at random; all or none."""
    contest = contest_queries.contest(session, slug)
    base = service.build_config(body.preset, body.config, body.size)
    placement, made = body.placement.on(settings.queue), []
    for name, config in sweep.configs(body.name, base, body.values, body.mode, body.rows, body.seed):
        weights.require(config, settings)
        made.append(run_service.queue_new(session, contest, placement, **_asked(body, who, name, config)))
    return [experiment_out(session, experiment) for experiment in made]


@router.post("/contests/{slug}/experiments", status_code=201)
def create_experiment(
    slug: str, body: NewExperiment, session: SessionDep, settings: SettingsDep, who: Member
) -> ExperimentOut:
    """Queue an experiment."""
    contest = contest_queries.contest(session, slug)
    config = service.build_config(body.preset, body.config, body.size)
    weights.require(config, settings)
    placement, asked = body.placement.on(settings.queue), _asked(body, who, body.name, config)
    return experiment_out(session, run_service.queue_new(session, contest, placement, **asked))


@router.get("/experiments/{experiment_id}")
def read_experiment(experiment_id: int, session: SessionDep) -> ExperimentOut:
    """One experiment with its scores, runs, attempts and files."""
    return experiment_out(session, queries.experiment(session, experiment_id))


@router.get("/experiments/{experiment_id}/config")
def read_config(experiment_id: int, session: SessionDep) -> dict[str, Any]:
    """What it asked for, alone: as a new experiment, and the form's JSON, take it."""
    experiment = queries.experiment(session, experiment_id)
    if experiment.config is None:
        raise NotFound(_("experiment %(id)s was trained elsewhere: it has no config", id=experiment.id))
    return upgrade(experiment.config).model_dump(mode="json")


@router.patch("/experiments/{experiment_id}")
def edit_experiment(experiment_id: int, body: EditExperiment, session: SessionDep) -> ExperimentOut:
    """Change name, verdict or note."""
    experiment = queries.experiment(session, experiment_id)
    service.edit(session, experiment, name=body.name, note=body.note, verdict=body.verdict)
    return experiment_out(session, experiment)


@router.post("/experiments/{experiment_id}/cancel")
def cancel_experiment(experiment_id: int, session: SessionDep) -> ExperimentOut:
    """Cancel what of it has not ended; a pretrain that another experiment waits for goes on."""
    experiment = queries.experiment(session, experiment_id)
    run_service.cancel_experiment(session, experiment)
    return experiment_out(session, experiment)


@router.post("/experiments/{experiment_id}/retry")
def retry_experiment(experiment_id: int, session: SessionDep) -> ExperimentOut:
    """Queue what of it failed or was cancelled again; what finished stands."""
    experiment = queries.experiment(session, experiment_id)
    run_service.retry_experiment(session, experiment)
    return experiment_out(session, experiment)
