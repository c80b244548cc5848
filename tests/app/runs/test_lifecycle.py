"""Claims, leases, fences, sharing of pretrains, cancelling: on SQLite and Postgres, undone after each test."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app import queue
from app.accounts.service import digest
from app.contests.models import Contest
from app.db import clock
from app.errors import Conflict, Refused
from app.experiments import queries as experiment_queries
from app.runs import intake, lifecycle, queries, service, worker_service
from app.runs.models import Attempt, Run
from ml.contract.events import (
    Artifact,
    Cancelled,
    Event,
    EventAnswer,
    EventBatch,
    Failed,
    Finished,
    Log,
    Progress,
    Returned,
    Scored,
)
from ml.contract.experiment import ExperimentConfig
from ml.contract.scores import Scores
from tests.factories import TINY, make_experiment

LEASE = timedelta(seconds=60)
SCORES = Scores(roc_auc=0.75, accuracy=0.7, f1=0.6, log_loss=0.5)
PROGRESS = Progress(
    stage="finetune",
    step=3,
    total_steps=9,
    epoch=0.3,
    loss=0.6,
    learning_rate=1e-3,
    samples_per_second=50,
    seconds_left=4,
)


def without_pretrain(**changes: Any) -> ExperimentConfig:
    return ExperimentConfig.model_validate({**TINY, "pretrain": None, **changes})


def claim(session: Session, run: Run, worker: str = "w1", boot: str = "boot-one") -> tuple[Attempt, str]:
    claimed = service.claim(session, run.id, worker=worker, boot_id=boot, lease=LEASE)
    attempt = queries.attempt_by_token(session, digest(claimed.token))
    assert attempt is not None
    return attempt, claimed.token


def send(session: Session, run: Run, attempt: Attempt, *events: Event, first: int | None = None) -> EventAnswer:
    batch = EventBatch(first=first or attempt.stored_events + 1, events=events)
    return intake.store(session, run, attempt, batch, LEASE, clock(session))


def test_a_run_is_claimed_once(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    assert (run.status, run.attempt, attempt.number) == ("running", 1, 1)
    with pytest.raises(Conflict, match="is running"):
        claim(session, run, worker="w2", boot="boot-two")


def test_a_claim_whose_answer_was_lost_is_answered_again(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    first, old_token = claim(session, run)
    second, new_token = claim(session, run)
    assert first.id == second.id
    assert old_token != new_token
    assert queries.attempt_by_token(session, digest(old_token)) is None


def test_finetune_waits_for_its_pretrain(session: Session, contest: Contest) -> None:
    _, (pretrain, finetune) = make_experiment(session, contest)
    assert queue.noted(session) == [(pretrain.id, "pairboard")]
    with pytest.raises(Conflict, match=f"waits for pretrain run {pretrain.id}, which is queued"):
        claim(session, finetune)
    attempt, _ = claim(session, pretrain)
    send(session, pretrain, attempt, Finished(seconds=1))
    assert queue.noted(session) == [(finetune.id, "pairboard")]
    claim(session, finetune)
    assert finetune.status == "running"


def test_a_pretrain_is_shared(session: Session, contest: Contest) -> None:
    _, (pretrain, first) = make_experiment(session, contest)
    longer = {**TINY, "finetune": {**TINY["finetune"], "num_train_epochs": 9}}
    _, (again, second) = make_experiment(session, contest, "b", ExperimentConfig.model_validate(longer))
    assert again.id == pretrain.id
    assert second.id != first.id
    other_seed = ExperimentConfig.model_validate({**TINY, "seed": 4})
    _, (other, _) = make_experiment(session, contest, "c", other_seed)
    assert other.id != pretrain.id


def test_cancelling_one_experiment_leaves_a_shared_pretrain(session: Session, contest: Contest) -> None:
    first, (pretrain, finetune_a) = make_experiment(session, contest)
    longer = {**TINY, "finetune": {**TINY["finetune"], "num_train_epochs": 9}}
    second, (_, finetune_b) = make_experiment(session, contest, "b", ExperimentConfig.model_validate(longer))
    attempt, _ = claim(session, pretrain)
    service.cancel_experiment(session, first)
    assert (finetune_a.status, pretrain.status, pretrain.cancel_requested) == ("cancelled", "running", False)
    assert finetune_b.status == "queued"
    service.cancel_experiment(session, second)
    assert (finetune_b.status, pretrain.cancel_requested) == ("cancelled", True)
    assert send(session, pretrain, attempt).stop is True
    send(session, pretrain, attempt, Cancelled())
    assert pretrain.status == "cancelled"


def test_a_failed_pretrain_fails_what_waits(session: Session, contest: Contest) -> None:
    _, (pretrain, finetune) = make_experiment(session, contest)
    attempt, _ = claim(session, pretrain)
    send(session, pretrain, attempt, Failed(reason="loss is nan", detail="traceback"))
    session.refresh(finetune)
    assert (pretrain.status, pretrain.detail, finetune.status) == ("failed", "traceback", "failed")
    assert finetune.reason == f"pretrain run {pretrain.id} failed: loss is nan"
    _, (again, _) = make_experiment(session, contest, "again")
    assert again.id != pretrain.id, "a failed pretrain must not be shared"


def test_events_are_stored_once_and_in_order(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    assert send(session, run, attempt, Log(message="one"), Log(message="two")).stored == 2
    assert send(session, run, attempt, Log(message="two"), PROGRESS, first=2).stored == 3
    assert send(session, run, attempt, Log(message="one"), first=1).stored == 3
    with pytest.raises(Refused, match="events 4 to 4 of run"):
        send(session, run, attempt, Log(message="five"), first=5)
    events = queries.events_of(session, [attempt.id], limit=10)
    assert [(event.number, event.type) for event in events] == [(1, "log"), (2, "log"), (3, "progress")]
    assert run.progress is not None
    assert run.progress["step"] == 3


def test_nothing_comes_after_the_last_event(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    with pytest.raises(Refused, match="comes after its last one"):
        send(session, run, attempt, Finished(seconds=1), Log(message="late"))


def test_a_lost_answer_to_the_last_batch_is_answered_again(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    send(session, run, attempt, Finished(seconds=1))
    assert send(session, run, attempt, Finished(seconds=1), first=1).stored == 1


def test_scores_stand_once_however_often_the_run_starts(session: Session, contest: Contest) -> None:
    experiment, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    send(session, run, attempt, Scored(split="valid", rows=9, scores=SCORES))
    worker_service.worker_seen(session, "w1", "boot-two", None)
    assert run.status == "queued"
    again, _ = claim(session, run, boot="boot-two")
    better = SCORES.model_copy(update={"roc_auc": 0.8})
    send(session, run, again, Scored(split="valid", rows=9, scores=better), Finished(seconds=1))
    scores = experiment_queries.scores_of(session, [experiment.id])
    assert sorted((score.metric, score.value) for score in scores) == [
        ("accuracy", 0.7),
        ("f1", 0.6),
        ("log_loss", 0.5),
        ("roc_auc", 0.8),
    ]


def test_a_stale_attempt_is_refused_everywhere(session: Session, contest: Contest, tmp_path: Path) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    worker_service.worker_seen(session, "w1", "boot-two", None)
    claim(session, run, worker="w2", boot="boot-three")
    for act in (
        lambda: send(session, run, attempt, Finished(seconds=1)),
        lambda: intake.heartbeat(session, run, attempt, LEASE, clock(session)),
        lambda: lifecycle.finish(session, run, attempt, clock(session)),
    ):
        with pytest.raises(Conflict, match="no longer holds run"):
            act()
    assert run.status == "running"
    assert run.attempt == 2


def test_a_worker_with_the_same_boot_id_keeps_its_run(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    claim(session, run)
    worker_service.worker_seen(session, "w1", "boot-one", run.id)
    worker_service.worker_seen(session, "w2", "boot-two", None)
    assert run.status == "running"


def test_leases_end(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    worker_service.expire_leases(session)
    assert run.status == "running"
    attempt.lease_until = clock(session) - timedelta(seconds=1)
    session.flush()
    worker_service.expire_leases(session)
    assert (run.status, attempt.outcome) == ("queued", "lost")
    assert "was silent for" in run.reason


def test_a_run_that_kills_its_workers_ends_as_failed(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    for number in range(5):
        assert run.status == "queued"
        claim(session, run, boot=f"boot-{number}-x")
        worker_service.worker_seen(session, "w1", f"boot-{number + 1}-x", None)
    assert run.status == "failed"
    assert "was lost 5 times" in run.reason


def test_a_returned_run_is_queued_with_the_reason(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    queue.noted(session)
    send(session, run, attempt, Returned(reason="its worker was stopped"))
    assert (run.status, run.reason, attempt.outcome) == ("queued", "its worker was stopped", "returned")
    assert queue.noted(session) == [(run.id, "pairboard")]


def test_cancelling_a_running_run_whose_worker_is_lost(session: Session, contest: Contest) -> None:
    experiment, (run,) = make_experiment(session, contest, config=without_pretrain())
    claim(session, run)
    service.cancel_experiment(session, experiment)
    assert (run.status, run.cancel_requested) == ("running", True)
    worker_service.worker_seen(session, "w1", "boot-two", None)
    assert run.status == "cancelled"


def test_an_artifact_event_needs_its_file(session: Session, contest: Contest) -> None:
    _, (run,) = make_experiment(session, contest, config=without_pretrain())
    attempt, _ = claim(session, run)
    with pytest.raises(Refused, match=r"artifact weights\.bin .* was not uploaded yet"):
        send(session, run, attempt, Artifact(name="weights.bin", path="weights.bin", sha256="0" * 64, size=1))


def test_the_job_names_everything_by_hash(session: Session, contest: Contest) -> None:
    _, (pretrain, _) = make_experiment(session, contest)
    job = service.claim(session, pretrain.id, worker="w1", boot_id="boot-one", lease=LEASE).job
    assert [item.role for item in job.inputs] == ["train"]
    assert job.inputs[0].rows == 60
    assert job.inputs[0].layout is not None
    assert job.kind == "pretrain"
    assert job.config.encoder.hidden_size == 32


def test_a_lease_that_went_on_meanwhile_is_not_lost(
    session: Session, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep read that it was over, and then waited for the heartbeat that holds the run."""
    run = make_experiment(session, contest, config=without_pretrain())[1][0]
    attempt, _ = claim(session, run)
    monkeypatch.setattr(queries, "open_attempts", lambda *_args, **_kwargs: [attempt])
    worker_service.expire_leases(session)
    assert (run.status, attempt.outcome) == ("running", "")
    attempt.lease_until = clock(session) - timedelta(seconds=1)
    session.flush()
    worker_service.expire_leases(session)
    assert (run.status, attempt.outcome) == ("queued", "lost")


def test_what_was_stored_before_the_end_is_not_dated_after_it(
    session: Session, contest: Contest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end waits for the lock that an upload holds: its time is taken after."""
    run = make_experiment(session, contest, config=without_pretrain())[1][0]
    attempt, _ = claim(session, run)
    stored: list[datetime] = []
    locked = queries.run

    def after_an_upload(*args: Any, **kwargs: Any) -> Run:
        stored.append(clock(session))
        return locked(*args, **kwargs)

    monkeypatch.setattr(queries, "run", after_an_upload)
    worker_service.worker_seen(session, "w1", "boot-two", None)
    assert attempt.outcome == "lost"
    assert attempt.ended_at is not None
    assert attempt.ended_at >= stored[-1]
