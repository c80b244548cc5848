"""Short histories of everything that people and workers may do, in process: a state machine that calls the app's verbs
and holds it to the checks of the chaos test. PAIRBOARD_TEST_HISTORIES=10000 runs as many."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sqlalchemy import select

from app.db import clock
from app.errors import AppError, Conflict
from app.experiments import service as experiments
from app.runs import intake, queries, queue_service, service, worker_service
from app.runs.models import Attempt, Run, RunNeed
from app.runs.placement import Placement
from app.submissions import service as submissions
from ml.contract.events import (
    Cancelled,
    Crashed,
    Event,
    Failed,
    Finished,
    Log,
    Progress,
    Returned,
    Scored,
)
from ml.contract.experiment import ExperimentConfig
from ml.contract.scores import Scores
from tests.chaos.in_process import LEASE, MAX_ATTEMPTS, Held, InProcess
from tests.factories import TINY

HISTORIES = int(os.environ.get("PAIRBOARD_TEST_HISTORIES", "60"))
SCORES = Scores(roc_auc=0.75, accuracy=0.7, f1=0.6, log_loss=0.5)
LAST: tuple[Event, ...] = (
    Finished(seconds=1),
    Failed(reason="the worker's disk failed"),
    Crashed(reason="killed"),
    Returned(reason="stopped"),
    Cancelled(),
)


#: how often each happens
TURNS = (
    *["a_worker_asks_for_work"] * 6,
    *["a_worker_sends"] * 8,
    *["a_worker_sends_again"] * 2,
    *["a_worker_lives"] * 2,
    *["pauses_after_a_loss_pass"] * 2,
    "events_arrive_with_a_gap",
    "a_worker_starts_anew",
    "a_lease_ends",
    "queue_an_experiment",
    "cancel_an_experiment",
    "try_an_experiment_again",
    *["send_a_score"] * 2,
    "move_a_run",
    "pause_or_resume_the_queue",
)


class Histories(InProcess, RuleBasedStateMachine):
    """Two workers of two lives each, and impatient people."""

    @initialize()
    def begin(self) -> None:
        self.open()

    @rule(turn=st.lists(st.sampled_from(TURNS), min_size=4, max_size=4), draw=st.randoms(use_true_random=False))
    def what_happens(self, turn: list[str], draw: Any) -> None:
        """Four things in turn. One rule: hypothesis would give each an equal share, and switch some off."""
        for name in turn:
            getattr(self, name)(draw)
            self.look()

    # -- people

    def queue_an_experiment(self, draw: Any) -> None:
        pretrain, seed = draw.random() < 0.6, draw.randrange(2)
        passes, priority = draw.randrange(1, 3), draw.randrange(-1, 2)
        finetune = {**TINY["finetune"], "num_train_epochs": passes}
        plain = {**TINY, "finetune": finetune, "seed": seed} | ({} if pretrain else {"pretrain": None})
        with self.request() as session:
            config = ExperimentConfig.model_validate(plain)
            made = experiments.create(session, self.contest, name="x", config=config)
            service.enqueue(session, made, Placement(priority=priority, max_attempts=MAX_ATTEMPTS))

    def cancel_an_experiment(self, draw: Any) -> None:
        with self.request() as session:
            service.cancel_experiment(session, self.experiment(draw))

    def try_an_experiment_again(self, draw: Any) -> None:
        with self.request(Conflict) as session:
            service.retry_experiment(session, self.experiment(draw))

    def send_a_score(self, draw: Any) -> None:
        """Twice under the same key, as a program whose answer got lost."""
        experiment, key, value = self.experiment(draw), draw.randrange(3), 0.6 + draw.randrange(3) / 10
        for _ in range(2):
            with self.request(Conflict) as session:
                score, new = submissions.post_online_score(
                    session, experiment, submissions.OnlineScore(value), key=str(key)
                )
                if new:
                    self.sent.accepted.append((experiment.id, score.value))
        self.the_table_tells_all()

    def move_a_run(self, draw: Any) -> None:
        to = draw.choice(["first", "up", "down", "last"])
        with self.request(Conflict) as session:
            queue_service.move(session, draw.choice(list(session.scalars(select(Run.id)))), to)

    def pause_or_resume_the_queue(self, draw: Any) -> None:
        with self.request(AppError) as session:
            if draw.random() < 0.3:
                queue_service.pause(session, "pairboard", "", "anna")
            else:
                queue_service.resume(session, "pairboard")

    # -- workers

    def a_worker_starts_anew(self, draw: Any) -> None:
        name = draw.choice(list(self.boots))
        self.boots[name] += 1
        with self.request() as session:
            worker_service.worker_seen(session, name, f"boot-{name}-{self.boots[name]}", None)

    def a_worker_asks_for_work(self, draw: Any) -> None:
        name = draw.choice(list(self.boots))
        with self.request() as session:
            worker = worker_service.worker_seen(session, name, f"boot-{name}-{self.boots[name]}", None)
            paused = self.paused()
            claimed = queue_service.claim_next(session, worker, LEASE)
            if claimed is None:
                return
            attempt = session.scalars(
                select(Attempt).where(Attempt.run_id == claimed.job.run_id, Attempt.number == claimed.job.attempt)
            ).one()
            known = next((held for held in self.held if held.attempt_id == attempt.id), None)
            assert known is not None or not paused, "a paused queue handed out a run"
            needs = select(Run.status).join(RunNeed, RunNeed.needs_run_id == Run.id)
            unmet = set(session.scalars(needs.where(RunNeed.run_id == attempt.run_id))) - {"finished"}
            assert not unmet, f"run {attempt.run_id} began before what it needs"
            if known is None:
                self.held.append(Held(attempt))

    def a_worker_sends(self, draw: Any) -> None:
        """Of any attempt that it ever held: a stale one must be refused."""
        if not self.held:
            return
        held = draw.choice(self.held[-4:])
        last = draw.choice([None, None, None, Finished(seconds=1), *LAST])
        events: list[Event] = [Log(message="x")] if draw.random() < 0.3 else []
        if draw.random() < 0.7:
            held.step += 1
            events.append(
                Progress(
                    stage="finetune",
                    step=held.step,
                    total_steps=99,
                    epoch=0.1,
                    loss=0.1,
                    learning_rate=0.1,
                    samples_per_second=1,
                    seconds_left=1,
                )
            )
        if isinstance(last, Finished) and queries.run(self.session, held.run_id).kind != "pretrain":
            both = [Scored(split=split, rows=9, scores=SCORES) for split in ("train", "valid")]
            events += both * draw.randrange(1, 3)
        if last is not None:
            events.append(last)
        self.send(held, len(held.sent) + 1, events)

    def a_worker_sends_again(self, draw: Any) -> None:
        """What was stored before, perhaps with something new behind it."""
        if not any(held.sent for held in self.held):
            return
        held = draw.choice([held for held in self.held if held.sent][-3:])
        first = draw.randrange(len(held.sent)) + 1
        new: list[Event] = [Log(message="new")] if self.holds(held) and draw.random() < 0.7 else []
        self.send(held, first, held.sent[first - 1 :] + new, replay=True)
        held.sent += new

    def a_worker_lives(self, draw: Any) -> None:
        """The heartbeat of an attempt, which must be told when it holds nothing any more."""
        if not self.held:
            return
        held = draw.choice(self.held[-4:])
        mine, refused = self.holds(held), True
        with self.request(Conflict) as session:
            run, attempt = queries.run(session, held.run_id), session.get_one(Attempt, held.attempt_id)
            intake.heartbeat(session, run, attempt, LEASE, clock(session))
            refused = False
        assert refused != mine, "the heartbeat of a stale attempt was taken, or that of the holder refused"

    def events_arrive_with_a_gap(self, draw: Any) -> None:
        if not self.held:
            return
        held = draw.choice(self.held)
        with self.request(AppError) as session:
            self.store(session, held, len(held.sent) + 2, [Log(message="too early")])
            raise AssertionError("a gap in the numbers was taken")

    def a_lease_ends(self, draw: Any) -> None:
        with self.request() as session:
            for attempt in queries.open_attempts(session)[:1]:
                attempt.lease_until = clock(session) - timedelta(seconds=1)
            session.flush()
            worker_service.expire_leases(session)

    def pauses_after_a_loss_pass(self, draw: Any) -> None:
        with self.request() as session:
            for run in session.scalars(select(Run).where(Run.not_before.is_not(None))):
                run.not_before = clock(session) - timedelta(seconds=1)


Histories.TestCase.settings = settings(
    max_examples=HISTORIES,
    stateful_step_count=8,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes, and a history is short
    derandomize=HISTORIES < 1000,
    suppress_health_check=list(HealthCheck),
)
TestHistories: Callable[..., Any] = Histories.TestCase
