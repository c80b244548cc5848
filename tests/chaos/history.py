"""One history of faults, from a whole bench to the checks. `python -m tests.chaos.history` is `make chaos`."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db import Database
from app.runs import queries
from app.runs.jobs import job_of
from app.runs.models import Run
from app.storage import Storage
from tests.chaos import checks
from tests.chaos.bench import ROOT, Bench, Pair, bench
from tests.chaos.faults import TMPFS_MB, faults_of
from tests.chaos.load import People

SETTLE_S = 300.0


@dataclass
class Told:
    """What a history came to."""

    faults: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    scores: int = 0
    violations: list[str] = field(default_factory=list)


def history(folder: Path, pair: Pair, seconds: float, seed: int, *, say: bool = False) -> Told:
    """Break a bench for so long, let it settle, and look at what is left."""
    draw, told = random.Random(seed), Told()
    with bench(folder, pair, draw) as made:
        small = _small_disk(made)
        try:
            people = People(made, random.Random(seed + 1))
            people.prepare()
            people.start()
            _break(made, draw, told, time.monotonic() + seconds, say=say)
            people.stopping.set()
            people.join(60)
            people.stopping.clear()
            _settle(made, people)
            _look(made, people, told)
            people.close()
        finally:
            if told.violations or sys.exc_info()[0]:
                sys.stderr.write(made.logs()[-20_000:])
            if small:  # lazily: it goes when the workers are gone
                subprocess.run(["umount", "-l", str(folder / "data" / "worker")], check=False)
    told.violations += list(checks.left_over(folder))
    return told


def _small_disk(made: Bench) -> bool:
    """A disk that can be filled, for the workers; only root may mount one."""
    place = made.folder / "data" / "worker"
    if os.geteuid() != 0:
        return False
    for name in ("worker0", "worker1"):
        made.kill(name)
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "chaos", str(place)], check=False, capture_output=True
    )
    made.mend()
    return done.returncode == 0


def _break(made: Bench, draw: random.Random, told: Told, until: float, *, say: bool) -> None:
    faults = faults_of(made.pair)
    while time.monotonic() < until:
        time.sleep(1 + draw.random() * 5)
        fault = draw.choice(faults)
        if say:
            print(f"{time.strftime('%H:%M:%S')} {fault.__name__}", file=sys.stderr, flush=True)
        fault(made, draw)
        told.faults[fault.__name__] += 1
        made.mend()


def _settle(made: Bench, people: People) -> None:
    deadline = time.monotonic() + SETTLE_S
    made.mend()
    while people.open() != 0 and time.monotonic() < deadline:
        people.hurry()
        made.mend()
        time.sleep(0.5)


def _look(made: Bench, people: People, told: Told) -> None:
    url = made.env.get("PAIRBOARD_DATABASE_URL") or f"sqlite:///{made.folder / 'data' / 'pairboard.db'}"
    database = Database(url)
    storage = Storage(made.folder / "data" / "storage", 1 << 30)
    with database.reading() as session:
        told.violations += checks.violations(session, storage, people.accepted)
        told.violations += reloaded(session, storage, made.folder)
        for run in session.scalars(select(Run)):
            told.runs[run.status] += 1
            told.attempts += run.attempt
    told.scores = len(people.accepted)
    database.dispose()


def reloaded(session: Session, storage: Storage, folder: Path, count: int = 2) -> Iterator[str]:
    """The last finished finetunes' models, loaded by a fresh process from what is stored: the same predictions."""
    query = select(Run).where(Run.status == "finished", Run.kind == "finetune").order_by(Run.id.desc())
    for run in session.scalars(query.limit(count)):
        place = folder / f"reload-{run.id}"
        (place / "scratch").mkdir(parents=True)
        (place / "run").mkdir()
        for artifact in queries.artifacts_of(session, run):
            (place / "run" / artifact.name).symlink_to(storage.path(artifact.sha256))
        job = job_of(session, run).model_copy(update={"threads": 1, "device": "cpu"})
        for item in (*job.inputs_of("train"), *job.inputs_of("test")):
            (place / item.path).parent.mkdir(exist_ok=True)
            (place / item.path).symlink_to(storage.path(item.sha256))
        (place / "job.json").write_text(job.model_dump_json())
        command = [sys.executable, "-m", "ml.verify", "run", "job.json", "scratch"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with (  # its stdin stays open: at its end the program takes us for dead
            (place / "stderr").open("wb") as errors,
            subprocess.Popen(command, cwd=place, env=env, stdin=subprocess.PIPE, stderr=errors) as loading,
        ):
            code = loading.wait(120)
        if code:
            yield f"run {run.id} can't be loaded ({code}): {(place / 'stderr').read_text()[-500:]}"
            continue
        for part, column in (("valid", 2), ("test", 0)):
            lines = (place / "run" / f"{part}_predictions.tsv").read_text().splitlines()
            kept = np.array([float(line.split("\t")[column]) for line in lines])
            if kept.tobytes() != np.load(place / "scratch" / f"{part}.npy").tobytes():
                yield f"run {run.id} predicts {part} otherwise when it is loaded again"


def main() -> None:
    """The last line is one JSON object; exit code 1 with violations."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("CHAOS_MINUTES", "60")))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    found = []
    for number, pair in enumerate(("servers", "embedded")):
        with tempfile.TemporaryDirectory(prefix="pairboard-chaos-", ignore_cleanup_errors=True) as name:
            told = history(Path(name) / pair, pair, args.minutes * 30, args.seed + number, say=True)  # type: ignore[arg-type]
        say = [pair, dict(told.faults), dict(told.runs), f"{told.attempts} attempts, {told.scores} scores"]
        print(*say, *(f"\nviolation: {line}" for line in told.violations), file=sys.stderr)
        found.append(told)
    summary = {
        "faults": sum(sum(told.faults.values()) for told in found),
        "runs": sum(sum(told.runs.values()) for told in found),
        "violations": sum(len(told.violations) for told in found),
        "minutes": args.minutes,
        "attempts": sum(told.attempts for told in found),
        "scores": sum(told.scores for told in found),
        "seed": args.seed,
    }
    print(json.dumps(summary))
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(1 if summary["violations"] else 0)


if __name__ == "__main__":
    main()
