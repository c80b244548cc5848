"""What queueing an experiment would do: told by the code that does it, and nothing of it is left."""

from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests.models import Contest
from app.db import clock
from app.errors import Refused
from app.experiments.models import Experiment, ExperimentField
from app.runs import intake, queries, service
from app.runs.models import ExperimentRun, Run, RunNeed
from app.runs.preview import preview
from ml.contract.events import EventBatch, Finished, Progress
from ml.contract.experiment import ExperimentConfig
from tests.factories import (
    TINY,
    contest_over_http,
    experiment_over_http,
    make_experiment,
)
from tests.test_straight_line import flat

LEASE = timedelta(seconds=60)
CONFIG = ExperimentConfig.model_validate(TINY)


def works(session: Session, run: Run, seconds: float) -> None:
    """A worker does the run in so many seconds, with 7 GB at its peak."""
    service.claim(session, run.id, worker="w1", boot_id="boot-one", lease=LEASE)
    told = {"total_steps": 9, "epoch": 1, "loss": 1, "learning_rate": 1e-3, "samples_per_second": 5, "seconds_left": 0}
    progress = Progress(stage=run.kind, step=9, peak_memory_bytes=7_000_000_000, **told)
    batch = EventBatch(first=1, events=(progress, Finished(seconds=1)))
    intake.store(session, run, queries.current_attempt(session, run), batch, LEASE, clock(session))
    run.started_at = run.ended_at - timedelta(seconds=seconds)
    session.flush()


def counts(session: Session) -> list[int]:
    tables = (Experiment, ExperimentField, ExperimentRun, Run, RunNeed)
    return [session.scalar(select(func.count()).select_from(table)) for table in tables]


def test_nothing_is_known_yet(session: Session, contest: Contest) -> None:
    before = counts(session)
    found = preview(session, contest, name="x", config=CONFIG)
    assert (found.same_as, found.shared, found.new_runs, found.seconds, found.unmeasured) == ([], None, 2, 0, 2)
    assert found.memory_bytes is None
    assert counts(session) == before


def test_a_pretrain_is_shared_and_what_was_measured_is_told(session: Session, contest: Contest) -> None:
    experiment, (pretrain, finetune) = make_experiment(session, contest, "first", CONFIG)
    same = preview(session, contest, name="x", config=CONFIG)
    assert same.fingerprint == experiment.fingerprint
    assert same.same_as == [experiment.id]
    assert same.shared is not None
    assert (same.shared.status, same.shared.saved_seconds) == ("queued", None)

    works(session, pretrain, 3120)
    works(session, finetune, 600)
    before = counts(session)
    again = CONFIG.model_copy(update={"finetune": CONFIG.finetune.model_copy(update={"num_train_epochs": 6.0})})
    found = preview(session, contest, name="x", config=again)
    assert found.same_as == []
    assert found.shared is not None
    assert (found.shared.run_id, found.shared.experiment_ids) == (pretrain.id, [experiment.id])
    assert found.shared.saved_seconds == pytest.approx(3120)
    assert (found.new_runs, found.unmeasured) == (1, 0)
    assert found.seconds == pytest.approx(1800), "three times as many passes as the one that took ten minutes"
    assert found.memory_bytes == 7_000_000_000
    assert counts(session) == before
    assert len(make_experiment(session, contest, "then", again)[1]) == found.new_runs + 1
    folds = ExperimentConfig.model_validate({**TINY, "data": {**TINY["data"], "folds": 3, "repeats": 2}})
    asked = preview(session, contest, name="x", config=folds)
    runs = make_experiment(session, contest, "folds", folds)[1]
    assert (asked.shared, asked.new_runs, asked.unmeasured) == (None, len(runs), len(runs) - 1)


def test_what_could_not_be_queued_is_refused(session: Session, contest: Contest) -> None:
    before = counts(session)
    wrong = ExperimentConfig.model_validate({**TINY, "fusion": {"members": [98, 99]}})
    with pytest.raises(Refused, match="no experiment 98"):
        preview(session, contest, name="x", config=wrong)
    assert counts(session) == before


def test_over_http_and_on_the_form(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    first = experiment_over_http(client)
    rung = len(client.get("/api/v1/contests/oppo/leaderboard").json()["rows"])
    body = {"name": "again", "config": TINY}
    told = client.post("/api/v1/contests/oppo/experiments/preview", json=body).json()
    assert (told["same_as"], told["new_runs"], told["shared"]["status"]) == ([first["id"]], 1, "queued")
    form = {"contest": "oppo", "pretrain.enabled": "on", **flat(TINY)}
    html = client.post("/experiments/preview", data=form).text
    assert "Already run as" in html
    assert "A pretrain with this fingerprint is queued" in html
    html = client.post("/experiments/preview", data={**form, "encoder.hidden_size": "33"}).text
    assert "1 field needs another value" in html
    assert "is not a multiple of num_attention_heads" in html
    assert "number" in client.post("/experiments/preview", data={**form, "placement.max_hours": "soon"}).text
    refused = client.post("/api/v1/contests/oppo/experiments/preview", json={"name": "x", "config": {"seed": -1}})
    assert refused.status_code == 422
    assert len(client.get("/api/v1/contests/oppo/leaderboard").json()["rows"]) == rung
    assert 'data-preview="/experiments/preview"' in client.get("/experiments/new?contest=oppo").text
