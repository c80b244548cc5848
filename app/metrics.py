"""What Prometheus is told: how long requests of these processes took, and what the rows say at the moment.

Several web processes count into files of one folder (PROMETHEUS_MULTIPROC_DIR, which app/processes.py sets before any
of them imports this), so that whichever answers tells the sum. The file of a process that died stays, for a counter
must not fall; only gauges would have to be forgotten (mark_process_dead), and ours are read from the rows.
"""

import os
import shutil
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from app.db import Database, clock
from app.runs import queries, tally_queries
from app.runs.models import STATUSES
from app.runs.worker_service import WORKER_AWAY
from app.settings import Settings

CONTENT_TYPE = CONTENT_TYPE_LATEST
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
OUTCOMES = ("finished", "failed", "cancelled", "returned", "lost")
REQUEST_SECONDS = Histogram(
    "pairboard_request_seconds",
    "Time to answer a request.",
    ["method", "route", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
EVENT_LAG_SECONDS = Histogram(
    "pairboard_event_lag_seconds",
    "How long the oldest event of a batch had waited on its worker's disk.",
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)


def exposition(settings: Settings, database: Database) -> bytes:
    """Everything, in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(Rows(settings, database))
    if os.environ.get(FOLDER):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    return generate_latest(registry) + generate_latest(REGISTRY)


class Rows(Collector):
    """What is read from the database anew for each answer: it is the same whichever process answers."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings, self._database = settings, database

    def collect(self) -> Iterator[Metric]:
        """Counts of runs, attempts, queues and workers; free bytes of the data folder."""
        with self._database.reading() as session:
            yield from _runs(session)
            yield from _queues(session)
            yield _workers(session)
        free = shutil.disk_usage(self._settings.data_dir).free
        yield GaugeMetricFamily("pairboard_disk_free_bytes", "Room on the disk of the data folder.", value=free)


def _runs(session: Session) -> Iterator[Metric]:
    found = tally_queries.runs_by_status(session)
    runs = GaugeMetricFamily("pairboard_runs", "Runs by status.", labels=["status"])
    for status in STATUSES:
        runs.add_metric([status], found.get(status, 0))
    yield runs
    ended = tally_queries.attempts_by_outcome(session)
    attempts = CounterMetricFamily(
        "pairboard_attempts", "Attempts that ended, by how; `lost` are lease losses.", labels=["outcome"]
    )
    for outcome in OUTCOMES:
        attempts.add_metric([outcome], ended.get(outcome, 0))
    yield attempts


def _queues(session: Session) -> Iterator[Metric]:
    depth = GaugeMetricFamily("pairboard_queue_depth", "Runs that wait.", labels=["queue"])
    age = GaugeMetricFamily("pairboard_queue_age_seconds", "How long the oldest has waited.", labels=["queue"])
    now = clock(session)
    for queue, waiting in tally_queries.waiting_by_queue(session).items():
        depth.add_metric([queue], waiting.depth)
        age.add_metric([queue], max(0.0, (now - waiting.oldest).total_seconds()))
    yield from (depth, age)


def _workers(session: Session) -> Metric:
    states = {"idle": 0, "busy": 0, "draining": 0, "silent": 0}
    since = clock(session) - WORKER_AWAY
    for worker in queries.workers(session):
        if worker.last_seen_at < since:
            states["silent"] += 1
        else:
            states["draining" if worker.draining else "idle" if worker.busy_run_id is None else "busy"] += 1
    family = GaugeMetricFamily("pairboard_workers", "Workers by what they do.", labels=["state"])
    for state, count in states.items():
        family.add_metric([state], count)
    return family
