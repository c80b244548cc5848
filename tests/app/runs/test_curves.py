"""Curves: every peak shows, windows and axes fit, a run taken up again has one curve, a page gets only what is new."""

import math
import random
from datetime import timedelta

import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests.models import Contest
from app.db import clock
from app.errors import Refused
from app.runs import curve_service, intake, lifecycle, service
from app.runs.curve_pages import MOST_RUNS, chart_groups
from app.runs.curves import Points, coarse, packed, reduced, unpacked
from app.runs.models import Attempt, CurvePiece, Run
from ml.contract.events import EVENT, DataRead, Evaluated, Event, EventBatch, Finished, Measured, Progress, Resumed
from ml.contract.experiment import ExperimentConfig
from ml.contract.hardware import Card, Hardware
from ml.contract.scores import Scores
from tests.factories import (
    TINY,
    contest_over_http,
    experiment_over_http,
    make_experiment,
)

LEASE = timedelta(seconds=60)
PIECE = curve_service.PIECE


def loss_at(step: int) -> float:
    return 2 * math.exp(-step / 1000) + random.Random(step).random() / 10


def progress(step: int, loss: float | None = None) -> Progress:
    return Progress(
        stage="finetune",
        step=step,
        total_steps=10_000,
        epoch=step / 500,
        loss=loss_at(step) if loss is None else loss,
        learning_rate=1e-3,
        samples_per_second=50,
        seconds_left=4,
    )


@pytest.fixture
def run(session: Session, contest: Contest) -> Run:
    config = ExperimentConfig.model_validate({**TINY, "pretrain": None})
    return make_experiment(session, contest, config=config)[1][0]


def taken(session: Session, run: Run, worker: str = "w1") -> Attempt:
    service.claim(session, run.id, worker=worker, boot_id=f"boot-of-{worker}", lease=LEASE)
    return session.scalars(select(Attempt).where(Attempt.run_id == run.id).order_by(Attempt.number.desc())).first()


def send(session: Session, run: Run, attempt: Attempt, events: list[Event]) -> None:
    for start in range(0, len(events), 700):
        batch = EventBatch(first=attempt.stored_events + 1, events=tuple(events[start : start + 700]))
        intake.store(session, run, attempt, batch, LEASE, clock(session))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=700), st.integers(2, 60))
def test_fewer_points_still_hold_both_ends_and_every_extreme(values: list[float], most: int) -> None:
    points = Points(np.arange(len(values), dtype=float), np.array(values))
    for made in (reduced(points, most), coarse(points), reduced(coarse(points), most)):
        assert (made.values.min(), made.values.max()) == (min(values), max(values))
        assert (made.steps[0], made.steps[-1]) == (0, len(values) - 1)
        assert np.all(np.diff(made.steps) > 0)
        assert [values[int(step)] for step in made.steps] == made.values.tolist()
    assert len(reduced(points, most)) <= max(most + 4, 6)
    assert unpacked([packed(points)]).values.tolist() == values


def test_pieces_and_events_are_one_curve(session: Session, run: Run) -> None:
    attempt = taken(session, run)
    send(session, run, attempt, [progress(step) for step in range(1, 3001)])
    pieces = session.scalar(select(func.sum(CurvePiece.points)).where(CurvePiece.series == "loss"))
    assert attempt.drawn_events == pieces
    assert PIECE < pieces < 3000, "some in pieces, some still in events"
    curve = curve_service.curves(session, run, ["loss"], most=20_000)["loss"]
    assert curve.x == list(range(1, 3001))
    assert curve.y == [loss_at(step) for step in range(1, 3001)]
    assert curve.total == 3000
    few = curve_service.curves(session, run, ["loss"], most=50)["loss"]
    assert len(few.x) <= 54
    assert (min(few.y), max(few.y)) == (min(curve.y), max(curve.y))
    part = curve_service.curves(session, run, ["loss"], low=1000, high=1200, most=20_000)["loss"]
    assert part.x == list(range(999, 1201)), "and a point beyond each end, so that the line leaves the window"


def test_many_points_are_read_from_their_extremes(session: Session, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.runs.curve_queries.FINE_POINTS", 500)
    attempt = taken(session, run)
    send(session, run, attempt, [progress(step, 9.0 if step == 777 else None) for step in range(1, 2101)])
    curve = curve_service.curves(session, run, ["loss"], most=20_000)["loss"]
    assert 777 in curve.x
    assert max(curve.y) == 9.0
    drawn = attempt.drawn_events
    assert len(curve.x) < (2100 - drawn) + drawn / 10, "of the pieces the coarse copies"
    assert curve.total == 2100


def test_other_axes(session: Session, run: Run) -> None:
    attempt = taken(session, run)
    read = DataRead(
        unit="ids",
        train_rows=80,
        valid_rows=20,
        test_rows=0,
        vocab_size=9,
        unknown_rate=0,
        components=5,
        largest_component_rows=4,
        trained_rows=160,
        split_sha256="0" * 64,
    )
    send(session, run, attempt, [read, *(progress(step) for step in range(500, 2501, 500))])
    by_epoch = curve_service.curves(session, run, ["loss"], x="epoch")["loss"]
    assert by_epoch.x == [1, 2, 3, 4, 5]
    assert curve_service.curves(session, run, ["loss"], x="rows")["loss"].x == [160, 320, 480, 640, 800]
    window = curve_service.curves(session, run, ["loss"], x="epoch", low=2.5, high=3.5)["loss"]
    assert window.x == [2, 3, 4]
    hours = curve_service.curves(session, run, ["loss"], x="time")["loss"].x
    assert hours == sorted(hours)
    assert 0 <= hours[-1] < 0.1
    with pytest.raises(Refused, match="x: 'miles' is none of step, epoch, rows, time"):
        curve_service.curves(session, run, ["loss"], x="miles")
    with pytest.raises(Refused, match="series: 'lost' is none of loss"):
        curve_service.curves(session, run, ["lost"])


def test_scores_on_the_way_and_the_machine_have_curves(session: Session, run: Run) -> None:
    attempt = taken(session, run)
    scores = Scores(roc_auc=0.75, accuracy=0.7, f1=0.6, log_loss=0.5)
    cards = [Card(index=i, name="GPU", memory_bytes=10, memory_used_bytes=3, utilization=40 + 20 * i) for i in (0, 1)]
    hardware = Hardware(
        cpu_count=2, cpu_percent=30, memory_bytes=9, memory_used_bytes=5, disk_free_bytes=1, cards=tuple(cards)
    )
    events = [progress(490), Evaluated(epoch=1, scores=scores), Measured(hardware=hardware), Finished(seconds=3)]
    send(session, run, attempt, events)
    assert attempt.drawn_events == 4, "what has ended lies in pieces"
    found = curve_service.curves(
        session, run, ["valid_roc_auc", "gpu_percent", "gpu_memory_bytes", "tokens_per_second"]
    )
    told = {name: (curve.x, curve.y) for name, curve in found.items()}
    assert told == {"valid_roc_auc": ([500], [0.75]), "gpu_percent": ([490], [50]), "gpu_memory_bytes": ([490], [6])}


def test_a_run_taken_up_again_has_one_curve(session: Session, run: Run) -> None:
    first = taken(session, run)
    send(session, run, first, [progress(step, 1.0) for step in range(1, 21)])
    lifecycle.return_to_queue(session, run, first, "returned", clock(session), "its worker stopped")
    run.not_before = None
    second = taken(session, run, "w2")
    before = curve_service.cursor(session, run)
    send(session, run, second, [Resumed(step=10, total_steps=99), *(progress(step, 0.5) for step in range(11, 31))])
    curve = curve_service.curves(session, run, ["loss"])["loss"]
    assert curve.x == list(range(1, 31))
    assert curve.y == [1.0] * 10 + [0.5] * 20
    assert curve_service.news(session, run, ["loss"], before, "step")["loss"].x == list(range(11, 31))
    assert curve_service.news(session, run, ["loss"], (2, 19), "step")["loss"].x == [29, 30]
    assert curve_service.news(session, run, ["loss"], curve_service.cursor(session, run), "step") == {}


def test_over_http(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    number = experiment_over_http(client, config={**TINY, "pretrain": None})["runs"][0]["id"]
    with app.state.database.writing() as session:
        run = session.get(Run, number)
        send(session, run, taken(session, run), [progress(step) for step in range(1, 11)])
    asked = {"run": number, "series": "loss", "from": 3, "to": 5}
    answer = client.get("/api/v1/curves", params=asked).json()
    assert answer["axis"] == "step"
    assert answer["active"] is True
    assert answer["cursor"] == f"{number}:1:10"
    assert [(curve["series"], curve["x"]) for curve in answer["curves"]] == [("loss", [2, 3, 4, 5])]
    new = client.get("/api/v1/curves/new", params={"series": "loss", "after": f"{number}:1:8"}).json()
    assert new["curves"][0]["x"] == [9, 10]
    assert client.get("/api/v1/curves/new", params={"series": "loss", "after": new["cursor"]}).json()["curves"] == []
    wrong = client.get("/api/v1/curves/new", params={"series": "loss", "after": "yesterday"})
    assert wrong.status_code == 422
    assert "send the cursor of an answer before" in wrong.json()["error"]["message"]
    miles = client.get("/api/v1/curves/new", params={"series": "loss", "after": new["cursor"], "x": "miles"})
    assert miles.status_code == 422, "an unknown axis is refused, not taken for another"
    assert client.get("/api/v1/curves/new", params={"series": "lost", "after": new["cursor"]}).status_code == 422
    assert client.get("/api/v1/curves", params={"run": 999, "series": "loss"}).status_code == 404
    assert client.get("/api/v1/curves", params={"run": number, "series": "lost"}).status_code == 422


def test_of_very_many_runs_the_page_says_how_many_it_does_not_draw(session: Session, contest: Contest) -> None:
    config = {**TINY, "pretrain": None, "data": {**TINY["data"], "folds": 20, "repeats": 4}}
    runs = make_experiment(session, contest, config=ExperimentConfig.model_validate(config))[1]
    finetuning, machine = chart_groups(runs)
    assert (len(finetuning.charts[0].runs), finetuning.left_out, machine.left_out) == (MOST_RUNS, 20, 20)
    assert finetuning.charts[0].labels[5] == "fold 2, repeat 2"


@pytest.mark.parametrize(
    ("epoch", "step", "later"), [(1e-300, 2**62, 1e300), (5e-324, 7, 1.0), (0.0, 7, 1e308), (1e308, 2**63 - 1, 1e308)]
)
def test_whatever_numbers_were_told_the_run_can_end(
    session: Session, run: Run, epoch: float, step: int, later: float
) -> None:
    attempt = taken(session, run)
    told = {"stage": "finetune", "total_steps": 9, "loss": 0.5, "learning_rate": 1.0, "samples_per_second": 1.0}
    scores = Scores(roc_auc=0.5, accuracy=0.5, f1=0.5, log_loss=0.5)
    progress = Progress(step=step, epoch=epoch, seconds_left=1.0, **told)  # type: ignore[arg-type]
    send(session, run, attempt, [progress, Evaluated(epoch=later, scores=scores), Finished(seconds=1)])
    assert run.status == "finished"
    assert set(curve_service.curves(session, run, ["loss", "valid_f1"])) == {"loss", "valid_f1"}


def test_a_number_that_no_array_holds_is_refused() -> None:
    good = {"type": "data_read", "unit": "ids", "train_rows": 1, "valid_rows": 1, "test_rows": 1, "vocab_size": 1}
    good |= {"unknown_rate": 0.0, "components": 1, "largest_component_rows": 1, "split_sha256": ""}
    assert EVENT.validate_python(good)
    with pytest.raises(ValidationError, match="less than or equal to 9223372036854775807"):
        EVENT.validate_python({**good, "train_rows": 10**400})
