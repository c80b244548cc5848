"""The set-up of the histories in process: a database whose changes are undone, what a worker remembers of an attempt,
and what must hold after every step. Used by test_histories.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app import queue, schema
from app.contests import queries as contest_queries
from app.db import Database, clock
from app.errors import AppError
from app.experiments import queries as experiment_queries
from app.experiments import service as experiments
from app.runs import intake, queries, queue_queries, service, worker_service
from app.runs.models import Attempt, Run, Worker
from app.runs.placement import Placement
from ml.contract.events import Event, EventBatch
from ml.contract.experiment import ExperimentConfig
from tests.chaos import checks, score_checks
from tests.chaos.score_checks import Sent
from tests.factories import TINY, make_contest, make_file, storage_in

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 2
#: a rule may do several steps at once: claimed and lost, cancelled and tried again
_STEPS = {
    "queued": {"queued", "running", "failed", "cancelled"},
    "running": {"running", "queued", "finished", "failed", "cancelled"},
    "finished": {"finished"},
    "failed": {"failed", "queued"},
    "cancelled": {"cancelled", "queued"},
}
LEGAL = {(before, after) for before, afters in _STEPS.items() for after in afters}


@cache
def database() -> Database:
    """One, migrated, with a contest and its file; every history is undone."""
    folder = Path(tempfile.mkdtemp(prefix="pairboard-histories-"))
    made = Database(f"sqlite:///{folder / 'histories.db'}")
    schema.upgrade(made.write_engine)
    with made.writing() as session:
        make_file(session, storage_in(folder), make_contest(session))
    return made


class Held:
    """What a worker knows of an attempt: it may be long out of date."""

    def __init__(self, attempt: Attempt) -> None:
        self.run_id, self.attempt_id = attempt.run_id, attempt.id
        self.sent: list[Event] = []
        self.step = 0


class InProcess:
    """One history's state and its checks; the things that may happen are added by who inherits."""

    def open(self) -> None:
        self.connection = database().write_engine.connect()
        self.outer = self.connection.begin()
        self.session = Session(self.connection, join_transaction_mode="create_savepoint", expire_on_commit=False)
        self.contest = contest_queries.contest(self.session, "oppo")
        self.boots = {"w0": 0, "w1": 0}
        self.held: list[Held] = []
        self.sent = Sent()
        self.statuses: dict[int, str] = {}
        with self.request() as session:
            for name in self.boots:
                worker_service.worker_seen(session, name, f"boot-{name}-0", None)
            for pretrain in (TINY["pretrain"], None):
                config = ExperimentConfig.model_validate({**TINY, "pretrain": pretrain})
                made = experiments.create(session, self.contest, name="x", config=config)
                service.enqueue(session, made, Placement(max_attempts=MAX_ATTEMPTS))

    def teardown(self) -> None:
        if hasattr(self, "session"):
            self.session.close()
            self.outer.rollback()
            self.connection.close()

    @contextmanager
    def request(self, *allowed: type[AppError]) -> Iterator[Session]:
        """What a request is: all or nothing; a refusal that is allowed changes nothing."""
        try:
            with self.session.begin_nested():
                yield self.session
        except allowed:
            self.session.expire_all()
        queue.noted(self.session)

    # -- helpers

    def experiment(self, draw: Any) -> Any:
        found = experiment_queries.experiments_of(self.session, self.contest.id)
        return draw.choice(list(found))

    def paused(self) -> bool:
        return bool(queue_queries.paused_queues(self.session))

    def store(self, session: Session, held: Held, first: int, events: list[Event]) -> None:
        run = queries.run(session, held.run_id)
        attempt = session.get_one(Attempt, held.attempt_id)
        intake.store(session, run, attempt, EventBatch(first=first, events=tuple(events)), LEASE, clock(session))

    def holds(self, held: Held) -> bool:
        attempt, run = self.session.get_one(Attempt, held.attempt_id), queries.run(self.session, held.run_id)
        return attempt.outcome == "" and run.status == "running" and run.attempt == attempt.number

    def send(self, held: Held, first: int, events: list[Event], *, replay: bool = False) -> None:
        mine, refused = self.holds(held), True
        with self.request(AppError) as session:
            self.store(session, held, first, events)
            refused = False
        if not replay and not refused:
            assert mine or not events, f"events of a stale attempt of run {held.run_id} were taken"
            held.sent += events
        if not replay and refused:
            assert not mine, f"the attempt that holds run {held.run_id} was refused"

    # -- what always holds

    def look(self) -> None:
        self.a_run_has_one_holder_while_it_runs()
        self.nothing_is_lost_or_doubled()

    def a_run_has_one_holder_while_it_runs(self) -> None:
        workers = {worker.name: worker.boot_id for worker in self.session.scalars(select(Worker))}
        for run in self.session.scalars(select(Run)):
            attempts = queries.attempts_of(self.session, run.id)
            holding = [attempt for attempt in attempts if attempt.outcome == ""]
            assert len(holding) == (run.status == "running"), f"run {run.id} is {run.status}, held {len(holding)} times"
            for attempt in holding:
                assert attempt.number == run.attempt
                assert workers[attempt.worker] == attempt.boot_id, f"run {run.id} is held by a worker that died"
            lost = sum(attempt.outcome == "lost" for attempt in attempts if attempt.number > run.tries_from)
            assert lost <= MAX_ATTEMPTS, f"run {run.id} was lost {lost} times"
            before = self.statuses.get(run.id, "queued")
            assert (before, run.status) in LEGAL, f"run {run.id} went from {before} to {run.status}"
            self.statuses[run.id] = run.status

    def nothing_is_lost_or_doubled(self) -> None:
        found = [
            *(text for text in checks.attempts_follow_each_other(self.session) if "never ended" not in text),
            *checks.events_have_no_gap(self.session),
            *checks.steps_rise(self.session),
            *(text for text in score_checks.scores_stand_once(self.session, self.sent) if "finished with" not in text),
            *checks.nothing_was_paid_twice(self.session),
        ]
        assert found == []

    def the_table_tells_all(self) -> None:
        """Asked after each score only: the table's query takes longer than all the others together."""
        shown = score_checks.leaderboard_tells_all(self.session, self.sent)
        assert [text for text in shown if "finished" not in text] == []
