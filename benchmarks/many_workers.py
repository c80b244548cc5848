"""Forty workers against one web process: how many events it holds, how long a call takes, and that none is lost.

    .venv/bin/python benchmarks/many_workers.py [--workers 40] [--seconds 20]

On SQLite and on a Postgres that it starts for itself: a real `pairboard web`, and workers that say what real ones say
(worker/client.py over HTTP), without training. Three phases of `--seconds`: `paced`, an event a second and worker, a
report and a heartbeat each ten, as beside trainings; `one at a time`, each worker's next event as soon as the last was
answered; `after an outage`, the same by the 200 as a courier that catches up. Web and workers share this machine: the
figures are of both. Then the database is asked whether every event that was answered stands there once, in order, and
every score. The last line is one JSON object; a call's p50 and p95 are in milliseconds.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from sqlalchemy import func, select  # noqa: E402

from app.db import Database  # noqa: E402
from app.experiments.models import Score  # noqa: E402
from app.runs.models import Attempt, Run, RunEvent  # noqa: E402
from benchmarks.many_workers_load import Share, Told, work  # noqa: E402
from tests.chaos.servers import Postgres  # noqa: E402
from tests.factories import TINY  # noqa: E402
from tests.processes import SetUp, set_up  # noqa: E402
from tests.test_straight_line import make_contest  # noqa: E402

PROCESSES = 4  # that the workers are divided into
PHASES = ("paced", "one at a time", "after an outage")
STARTS_WITHIN_S = 25.0


def main() -> None:
    """Both databases, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20)
    args = parser.parse_args()
    figures: dict[str, Any] = {"workers": args.workers, "seconds": args.seconds}
    for kind in ("sqlite", "postgres"):
        with tempfile.TemporaryDirectory(prefix="pairboard-many-") as name:
            figures[kind] = on_postgres(Path(name), args) if kind == "postgres" else measure(Path(name), "", args)
        print(kind, json.dumps(figures[kind]), flush=True)
    print(json.dumps(figures))
    sys.exit(any(figures[kind]["lost_or_doubled"] for kind in ("sqlite", "postgres")))


def on_postgres(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """With a server of our own."""
    server = Postgres(folder)
    server.create()
    server.start()
    try:
        return measure(folder, server.url, args)
    finally:
        server.cut_off()


def measure(folder: Path, url: str, args: argparse.Namespace) -> dict[str, Any]:
    """Start web, queue a run a worker, let them work, and count."""
    settings = {"PAIRBOARD_DATABASE_URL": url, "PAIRBOARD_SWEEP_SECONDS": "2"}
    with set_up(folder, **settings) as line:
        line.start_web()
        make_contest(line)
        for seed in range(args.workers):
            body = {"name": f"run {seed}", "config": {**TINY, "pretrain": None, "seed": seed}}
            line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status()
        told = at_work(line, args)
        database = Database(url or f"sqlite:///{folder / 'data' / 'pairboard.db'}")
        wrong = lost_or_doubled(database, told)
        database.dispose()
    for text in wrong:
        print(f"lost or doubled: {text}")
    return {
        **{phase: speed(told, phase, args.seconds) for phase in PHASES},
        **sums(told),
        "lost_or_doubled": len(wrong),
    }


def at_work(line: SetUp, args: argparse.Namespace) -> list[Told]:
    """All workers at once, in a few processes."""
    begin = time.time() + STARTS_WITHIN_S
    begins = (begin, begin + args.seconds + 3, begin + 2 * (args.seconds + 3))
    each = -(-args.workers // PROCESSES)
    token = line.env["PAIRBOARD_WORKER_TOKEN"]
    shares = [
        Share(line.url, token, first, min(each, args.workers - first), begins, args.seconds, line.folder)
        for first in range(0, args.workers, each)
    ]
    with ProcessPoolExecutor(len(shares), mp_context=get_context("spawn")) as pool:
        return list(pool.map(work, shares))


def speed(told: list[Told], phase: str, seconds: float) -> dict[str, float]:
    """Of one phase."""
    calls = [call for share in told for call in share.calls.get(phase, [])]
    cuts = statistics.quantiles(calls, n=20)
    events = sum(share.events.get(phase, 0) for share in told)
    figures = {"calls_a_second": len(calls) / seconds, "p50_ms": cuts[9] * 1000, "p95_ms": cuts[18] * 1000}
    return {"events_a_second": round(events / seconds, 1), **{name: round(value, 1) for name, value in figures.items()}}


def sums(told: list[Told]) -> dict[str, int]:
    """Events that were answered, and calls that had to be made again."""
    return {
        "events": sum(sum(share.sent.values()) for share in told),
        "calls_made_again": sum(share.sent_again for share in told),
    }


def lost_or_doubled(database: Database, told: list[Told]) -> list[str]:
    """What the rows have otherwise than the workers were answered."""
    wrong = []
    sent = {key: count for share in told for key, count in share.sent.items()}
    with database.reading() as session:
        query = (
            select(Attempt.run_id, Attempt.number, func.count(), func.min(RunEvent.number), func.max(RunEvent.number))
            .join(RunEvent, RunEvent.attempt_id == Attempt.id)
            .group_by(Attempt.id, Attempt.run_id, Attempt.number)
        )
        stored = {(run, attempt): tuple(rest) for run, attempt, *rest in session.execute(query)}
        for key in sent.keys() | stored.keys():
            if stored.get(key) != (sent.get(key), 1, sent.get(key)):
                wrong.append(
                    f"run and attempt {key}: {sent.get(key)} were sent, rows (count, first, last) {stored.get(key)}"
                )
        unfinished = session.scalars(select(Run.id).where(Run.status != "finished")).all()
        wrong += [f"run {number} did not finish" for number in unfinished]
        counted = select(Score.experiment_id, func.count()).group_by(Score.experiment_id)
        wrong += [f"experiment {number} has {count} scores" for number, count in session.execute(counted) if count != 8]
    return wrong


if __name__ == "__main__":
    main()
