"""The order in which runs are handed out, why each waits, and what people do about it: on SQLite and Postgres."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app import queue, schema
from app.contests.models import Contest
from app.db import Database, clock
from app.errors import Conflict, NotFound, Refused
from app.runs import intake, lifecycle, queries, queue_service, service, waiting, worker_service
from app.runs.models import Attempt, Run, Worker
from app.runs.placement import Placement, placement_of
from app.runs.queue_service import Direction
from ml.contract.events import Cancelled, Crashed, EventBatch, Failed, Finished, Log
from ml.contract.experiment import ExperimentConfig
from ml.contract.hardware import Card, Hardware, WorkerMachine
from tests.factories import TINY, make_contest, make_experiment, make_file, storage_in

LEASE = timedelta(seconds=60)
HARDWARE = Hardware(cpu_count=2, memory_bytes=8, memory_used_bytes=4, disk_free_bytes=9)


def alone(session: Session, contest: Contest, name: str, **placement: Any) -> Run:
    """An experiment of one run."""
    config = ExperimentConfig.model_validate({**TINY, "pretrain": None, "seed": len(name)})
    _, (run,) = make_experiment(session, contest, name, config, Placement(**placement))
    return run


def worker(session: Session, name: str = "w1", queues: tuple[str, ...] = ("pairboard",), gb: float = 0) -> Worker:
    cards = (Card(index=0, name="card", memory_bytes=int(gb * 1e9)),) if gb else ()
    machine = WorkerMachine(host="host", hardware=HARDWARE.model_copy(update={"cards": cards}))
    return worker_service.worker_seen(session, name, f"boot-of-{name}", None, queues=queues, machine=machine)


def claimed(session: Session, by: Worker) -> int | None:
    """The run that a worker gets, as if it had begun to report."""
    found = queue_service.claim_next(session, by, LEASE)
    if found is None:
        return None
    attempt = holder(session, queries.run(session, found.job.run_id))
    send(session, attempt, Log(message="begun"))
    by.busy_run_id = found.job.run_id
    return found.job.run_id


def holder(session: Session, run: Run) -> Attempt:
    attempt = queries.current_attempt(session, run)
    assert attempt is not None
    return attempt


def send(session: Session, attempt: Attempt, *events: Any) -> None:
    run = queries.run(session, attempt.run_id)
    intake.store(
        session, run, attempt, EventBatch(first=attempt.stored_events + 1, events=events), LEASE, clock(session)
    )


def reason(session: Session, run: Run) -> str:
    found = waiting.line(session).of(run.id)
    assert found is not None
    return found.reason


def order(session: Session) -> list[int]:
    return [item.run.id for item in waiting.line(session).waiting]


def test_the_highest_priority_goes_first_then_the_oldest(session: Session, contest: Contest) -> None:
    low, a, b, urgent = (
        alone(session, contest, name, priority=priority)
        for name, priority in (("low", -10), ("a", 0), ("bb", 0), ("urgent", 10))
    )
    by = worker(session)
    assert order(session) == [urgent.id, a.id, b.id, low.id]
    assert [claimed(session, by) for _ in range(5)] == [urgent.id, a.id, b.id, low.id, None]


def test_a_worker_gets_what_its_queues_hold(session: Session, contest: Contest) -> None:
    on_gpu = alone(session, contest, "on gpu", queue="gpu")
    plain = alone(session, contest, "plain")
    assert [claimed(session, worker(session, "w1"))] == [plain.id]
    assert claimed(session, worker(session, "w2")) is None
    assert claimed(session, worker(session, "w3", ("gpu", "pairboard"))) == on_gpu.id


def test_a_claim_whose_answer_was_lost_is_answered_again(session: Session, contest: Contest) -> None:
    first, second = alone(session, contest, "a"), alone(session, contest, "bb")
    by = worker(session)
    one, again = (queue_service.claim_next(session, by, LEASE) for _ in range(2))
    assert one is not None
    assert again is not None
    assert (one.job.run_id, again.job.run_id, again.job.attempt) == (first.id, first.id, 1)
    assert one.token != again.token
    assert second.status == "queued"


def test_a_run_needs_a_card_that_is_large_enough(session: Session, contest: Contest) -> None:
    run = alone(session, contest, "large", gpu_memory_gb=18)
    by = worker(session)
    assert reason(session, run) == "needs 18 GB of GPU memory; no worker there has a GPU"
    small = worker(session, "small", gb=9)
    assert reason(session, run) == "needs 18 GB of GPU memory; the largest card there has 9"
    assert claimed(session, small) is claimed(session, by) is None
    assert claimed(session, worker(session, "large", gb=24)) == run.id


def test_a_queue_is_paused_and_resumed(session: Session, contest: Contest) -> None:
    run = alone(session, contest, "a")
    queue_service.pause(session, "pairboard", "the card is being changed", "anna")
    by = worker(session)
    assert claimed(session, by) is None
    assert reason(session, run) == "queue pairboard is paused by anna (the card is being changed)"
    queue.noted(session)
    queue_service.resume(session, "pairboard")
    assert queue.noted(session) == [(run.id, "pairboard")]
    assert claimed(session, by) == run.id
    with pytest.raises(NotFound, match="not paused"):
        queue_service.resume(session, "pairboard")


def test_a_draining_worker_gets_nothing(session: Session, contest: Contest) -> None:
    run = alone(session, contest, "a")
    by = worker(session)
    worker_service.drain(session, "w1", draining=True)
    assert claimed(session, by) is None
    assert reason(session, run) == "every worker on queue pairboard is draining: w1"
    worker_service.drain(session, "w1", draining=False)
    assert claimed(session, by) == run.id
    by.last_seen_at -= timedelta(minutes=5)
    with pytest.raises(Conflict, match="is away"):
        worker_service.drain(session, "w1", draining=True)
    with pytest.raises(Conflict, match="holds a run"):
        worker_service.forget(session, "w1")


def test_each_reason_in_words(session: Session, contest: Contest) -> None:
    _, (pretrain, finetune) = make_experiment(session, contest)
    other = alone(session, contest, "other")
    assert reason(session, pretrain) == "no worker is connected: start one with `pairboard worker`"
    on_gpu = worker(session, "g", ("gpu",))
    assert "no worker listens on queue pairboard (those connected listen on gpu)" in reason(session, pretrain)
    by = worker(session)
    assert reason(session, pretrain) == "next: a worker is about to take it"
    assert reason(session, finetune) == f"waits for pretrain run {pretrain.id}, which is queued"
    assert reason(session, other) == "2 runs are ahead of it"
    assert claimed(session, by) == pretrain.id
    assert reason(session, finetune) == f"waits for pretrain run {pretrain.id}, which is running"
    queue_service.move(session, other.id, "first")
    assert reason(session, other) == f"next: the worker is busy (run {pretrain.id} on w1)"
    assert on_gpu.busy_run_id is None


@pytest.mark.parametrize(
    ("to", "expected"),
    [("first", [2, 0, 1, 3]), ("up", [0, 2, 1, 3]), ("down", [0, 1, 3, 2]), ("last", [0, 1, 3, 2])],
)
def test_a_run_is_moved(session: Session, contest: Contest, to: Direction, expected: list[int]) -> None:
    runs = [alone(session, contest, "x" * (n + 1)) for n in range(4)]
    queue_service.move(session, runs[2].id, to)
    assert order(session) == [runs[n].id for n in expected]


def test_moved_past_another_priority_it_takes_that(session: Session, contest: Contest) -> None:
    urgent, plain = alone(session, contest, "urgent", priority=10), alone(session, contest, "plain")
    queue_service.move(session, plain.id, "first")
    assert order(session) == [plain.id, urgent.id]
    assert plain.priority == 10
    queue_service.move(session, plain.id, "last")
    assert order(session) == [urgent.id, plain.id]
    claimed(session, worker(session))
    with pytest.raises(Conflict, match="only what waits has a place"):
        queue_service.move(session, urgent.id, "last")


def test_a_hurry_reaches_what_a_run_waits_for(session: Session, contest: Contest) -> None:
    first = alone(session, contest, "first")
    _, (pretrain, finetune) = make_experiment(session, contest)
    assert order(session) == [first.id, pretrain.id, finetune.id]
    queue_service.change(session, finetune.id, {"priority": 10})
    assert order(session) == [pretrain.id, finetune.id, first.id]
    with pytest.raises(Refused, match=r"placement\.priority: .*100 \(got 1000\)"):
        queue_service.change(session, finetune.id, {"priority": 1000})
    with pytest.raises(Refused, match=r"placement\.queue: .*got 'no queue'"):
        placement_of({"queue": "no queue"}, "pairboard")


def test_who_is_in_a_hurry_hurries_a_shared_pretrain(session: Session, contest: Contest) -> None:
    _, (pretrain, _) = make_experiment(session, contest)
    longer = ExperimentConfig.model_validate({**TINY, "finetune": {**TINY["finetune"], "num_train_epochs": 9}})
    _, (shared, _) = make_experiment(session, contest, "b", longer, Placement(priority=10))
    assert shared.id == pretrain.id
    assert pretrain.priority == 10


def test_a_lost_worker_is_bad_luck_once_and_then_the_run_waits_longer(session: Session, contest: Contest) -> None:
    run = alone(session, contest, "killer", max_attempts=4)
    pauses = []
    for boot in range(4):
        by = worker_service.worker_seen(session, "w1", f"boot-{boot}-x", None)
        assert run.status == "queued"
        pauses.append(round((run.not_before - clock(session)).total_seconds()) if run.not_before else 0)
        if run.not_before:
            assert claimed(session, by) is None
            assert reason(session, run).startswith(f"attempt {boot} of 4 failed: worker w1 stopped in the middle")
            queue_service.move(session, run.id, "first")  # a person does not want to wait
        assert claimed(session, by) == run.id
        assert run.not_before is None
    assert pauses == [0, 0, 10, 20]
    worker_service.worker_seen(session, "w1", "boot-last", None)
    assert run.status == "failed"
    assert run.reason.startswith("was lost 4 times; the last time: worker w1 stopped in the middle")
    assert '"message": "begun"' in run.detail


def test_a_run_that_kills_its_trainers_ends_with_their_last_lines(session: Session, contest: Contest) -> None:
    run = alone(session, contest, "killer", max_attempts=2)
    by = worker(session)
    crash = Crashed(reason="the trainer was killed by SIGKILL", detail="torch.OutOfMemoryError")
    claimed(session, by)
    send(session, holder(session, run), crash)
    assert (run.status, run.reason) == ("queued", crash.reason)
    claimed(session, by)
    send(session, holder(session, run), crash)
    assert (run.status, holder(session, run).outcome) == ("failed", "lost")
    assert run.reason == "was lost 2 times; the last time: the trainer was killed by SIGKILL"
    assert run.detail.startswith("torch.OutOfMemoryError\n\nthe last 2 events of attempt 2:")


def test_a_failed_experiment_is_tried_again_from_the_failed_stage(session: Session, contest: Contest) -> None:
    experiment, (pretrain, finetune) = make_experiment(session, contest)
    by = worker(session)
    claimed(session, by)
    send(session, holder(session, pretrain), Finished(seconds=1))
    claimed(session, by)
    send(session, holder(session, finetune), Failed(reason="no space left"))
    queue.noted(session)
    assert [run.id for run in service.retry_experiment(session, experiment)] == [finetune.id]
    assert queue.noted(session) == [(finetune.id, "pairboard")]
    assert (pretrain.status, finetune.status, finetune.reason, finetune.summary) == ("finished", "queued", "", None)
    assert claimed(session, by) == finetune.id
    assert finetune.attempt == 2
    send(session, holder(session, finetune), Finished(seconds=1))
    with pytest.raises(Conflict, match="nothing to try again"):
        service.retry_experiment(session, experiment)


def test_a_retry_shares_a_pretrain_that_came_meanwhile(session: Session, contest: Contest) -> None:
    experiment, (failed, finetune) = make_experiment(session, contest)
    by = worker(session)
    claimed(session, by)
    send(session, holder(session, failed), Failed(reason="no space left"))
    session.refresh(finetune)
    assert finetune.status == "failed"
    longer = ExperimentConfig.model_validate({**TINY, "finetune": {**TINY["finetune"], "num_train_epochs": 9}})
    _, (second, _) = make_experiment(session, contest, "b", longer)
    assert second.id != failed.id
    service.retry_experiment(session, experiment)
    assert failed.status == "failed"
    assert [run.id for run in queries.runs_of(session, experiment.id)] == [finetune.id, second.id]
    assert [needed.id for _, needed in queries.needs_of(session, finetune.id)] == [second.id]


def test_a_run_over_its_limit_is_stopped_and_fails(session: Session, contest: Contest) -> None:
    run = alone(session, contest, "long", max_hours=2)
    by = worker(session)
    claimed(session, by)
    attempt = holder(session, run)
    attempt.claimed_at -= timedelta(hours=1)
    worker_service.stop_what_breaks_its_limit(session)
    assert not run.cancel_requested
    attempt.claimed_at -= timedelta(hours=1.5)
    session.flush()
    worker_service.stop_what_breaks_its_limit(session)
    assert intake.heartbeat(session, run, attempt, LEASE, clock(session)).stop
    send(session, attempt, Cancelled())
    assert run.status == "failed"
    assert run.reason == "worked for 2.5 h, and its limit is 2 h: give it more and try again"


def test_cancel_all(session: Session, contest: Contest) -> None:
    kept = alone(session, contest, "kept", queue="other")
    running, waits = alone(session, contest, "aa"), alone(session, contest, "bbb")
    claimed(session, worker(session))
    assert queue_service.cancel_all(session, "pairboard") == 2
    assert (running.cancel_requested, waits.status, kept.status) == (True, "cancelled", "queued")
    assert queue_service.cancel_all(session) == 2
    assert kept.status == "cancelled"


def test_starts_are_estimated_from_measured_speed(session: Session, contest: Contest) -> None:
    """Two passes took 60 s: the next of four passes takes 120, and what stands behind it starts then."""

    def run_of(name: str, passes: int) -> Run:
        finetune = {**TINY["finetune"], "num_train_epochs": passes}
        config = ExperimentConfig.model_validate({**TINY, "pretrain": None, "finetune": finetune, "seed": passes})
        _, (run,) = make_experiment(session, contest, name, config)
        return run

    by = worker(session)
    done = run_of("done", 2)
    assert waiting.line(session).waiting[0].takes is None
    claimed(session, by)
    send(session, holder(session, done), Finished(seconds=60))
    by.busy_run_id = None
    assert done.ended_at is not None
    done.started_at = done.ended_at - timedelta(seconds=60)
    session.flush()
    first, second, third = run_of("first", 4), run_of("second", 2), run_of("third", 6)
    found = {item.run.id: (item.starts_in, item.takes) for item in waiting.line(session).waiting}
    assert found[first.id] == (0, pytest.approx(120))
    assert found[second.id] == (pytest.approx(120), pytest.approx(60))
    assert found[third.id] == (pytest.approx(180), pytest.approx(180))
    worker(session, "w2")
    found = {item.run.id: (item.starts_in, item.takes) for item in waiting.line(session).waiting}
    assert [found[run.id][0] for run in (first, second, third)] == [0, 0, pytest.approx(60)]
    other = alone(session, contest, "of another recipe", queue="nobody")
    assert waiting.line(session).of(other.id).starts_in is None  # type: ignore[union-attr]


def test_what_builds_on_another_experiment_waits_for_that_one_to_be_tried_again(
    session: Session, contest: Contest
) -> None:
    plain = {**TINY, "pretrain": None}
    members = [make_experiment(session, contest, name, ExperimentConfig.model_validate(plain)) for name in "ab"]
    fused, (blend,) = make_experiment(
        session,
        contest,
        "fusion",
        ExperimentConfig.model_validate({**plain, "fusion": {"members": [made.id for made, _ in members]}}),
    )
    (member, (run,)), _ = members
    lifecycle.request_cancel(session, run, clock(session))
    session.refresh(blend)
    assert blend.status == "cancelled"
    with pytest.raises(Conflict, match=f"needs finetune run {run.id} of another experiment, which is cancelled"):
        service.retry_experiment(session, fused)
    service.retry_experiment(session, member)
    service.retry_experiment(session, fused)
    assert (run.status, blend.status) == ("queued", "queued")


def test_as_many_runs_as_workers_that_ask_at_once_are_handed_out(database_url: str, tmp_path: Path) -> None:
    """Whoever loses the race for the first few looks further: nobody goes idle beside a run that waits."""
    workers = 12
    database = Database(database_url)
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        contest = make_contest(session)
        make_file(session, storage_in(tmp_path), contest)
        for number in range(workers):
            alone(session, contest, "x" * (number + 1))
        for number in range(workers):
            worker(session, f"w{number}")
    together = threading.Barrier(workers)

    def ask(number: int) -> int | None:
        with database.writing() as session:
            by = worker(session, f"w{number}")
            session.flush()
            if database_url.startswith("postgres"):  # SQLite lets in one at a time
                together.wait(20)
            found = queue_service.claim_next(session, by, LEASE)
            return None if found is None else found.job.run_id

    with ThreadPoolExecutor(workers) as pool:
        got = list(pool.map(ask, range(workers)))
    database.dispose()
    assert sorted(number or 0 for number in got) == list(range(1, workers + 1))
