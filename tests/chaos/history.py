"""One history of faults, from a whole bench to the checks. `python -m tests.chaos.history` is `make chaos`."""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from app.db import Database
from app.runs.models import Run
from app.storage import Storage
from tests.chaos import checks
from tests.chaos.bench import Bench, Pair, bench
from tests.chaos.faults import Impossible, faults_of
from tests.chaos.load import People
from tests.chaos.reload import Reloaded, reloaded

SETTLE_S = 300.0
GRACE_S = 60.0  # beyond its time, for faults that hit nothing yet


@dataclass
class Told:
    """What a history came to. `faults`: that hit something; `missed`: that came when there was nothing to hit;
    `impossible`: that this machine does not let happen, and why."""

    faults: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    impossible: dict[str, str] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    scores: int = 0
    uploads_cut: int = 0
    reloaded: Reloaded = field(default_factory=Reloaded)
    violations: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def text(self, pair: Pair) -> str:
        """For people."""
        parts = ", ".join(f"{part} {took:.0f}" for part, took in self.seconds.items())
        never = [f"\nimpossible here: {name}: {why}" for name, why in self.impossible.items()]
        return (
            f"{pair}: {sum(self.faults.values())} faults {dict(self.faults)}, hit nothing {dict(self.missed)}, "
            f"{self.uploads_cut} uploads cut; runs {dict(self.runs)}, {self.attempts} attempts, {self.scores} scores; "
            f"{self.reloaded.models} models loaded again (all that finished), {self.reloaded.again} of them twice; "
            f"{sum(self.seconds.values()):.0f} s ({parts})"
        ) + "".join([*never, *(f"\nviolation: {line}" for line in self.violations)])


class Stopwatch:
    """Writes down how long each part took."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._since = seconds, time.monotonic()

    def ends(self, part: str) -> None:
        """What went on until now."""
        now = time.monotonic()
        self._seconds[part], self._since = now - self._since, now


def history(folder: Path, pair: Pair, seconds: float, seed: int, *, say: bool = False) -> Told:
    """Break a bench for so long, let it settle, and look at what is left."""
    draw, told = random.Random(seed), Told()
    clock = Stopwatch(told.seconds)
    with bench(folder, pair, draw) as made:
        try:
            people = People(made, random.Random(seed + 1))
            people.prepare()
            people.start()
            clock.ends("set-up")
            _break(made, draw, told, seconds, say=say)
            clock.ends("faults")
            people.stopping.set()
            people.join(60)
            people.stopping.clear()
            _settle(made, people)
            clock.ends("settling")
            _look(made, people, told)
            people.close()
            clock.ends("looking")
        finally:
            if told.violations or sys.exc_info()[0]:
                sys.stderr.write(made.logs()[-20_000:])
    told.violations += list(checks.left_over(folder))
    clock.ends("stopping")
    return told


def _break(made: Bench, draw: random.Random, told: Told, seconds: float, *, say: bool) -> None:
    """Each fault once in an order that is drawn, then any at random. One that hit nothing comes again, for GRACE_S
    longer than `seconds` if need be."""
    faults = faults_of(made.pair)
    first = draw.sample(faults, len(faults))
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end or (first and now < end + GRACE_S):
        time.sleep(1 + draw.random() * 3)
        fault = first.pop(0) if first else draw.choice(faults)
        name = fault.__name__
        if say:
            print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
        try:
            if fault(made, draw):
                told.faults[name] += 1
            else:
                told.missed[name] += 1
                first += [] if name in told.faults else [fault]
        except Impossible as error:
            told.impossible[name] = str(error)
        made.mend()
    told.impossible |= {fault.__name__: "it never found anything to hit" for fault in first}


def _settle(made: Bench, people: People) -> None:
    deadline = time.monotonic() + SETTLE_S
    made.mend()
    while people.open() != 0 and time.monotonic() < deadline:
        people.hurry()
        made.mend()
        time.sleep(0.5)


def _look(made: Bench, people: People, told: Told) -> None:
    database = Database(made.settings.database)
    storage = Storage(made.settings.data_dir / "storage", made.settings.max_upload_mb << 20)
    with database.reading() as session:
        told.violations += checks.violations(session, storage, people.sent, people.made)
        told.reloaded = reloaded(session, storage, made.folder)
        told.violations += told.reloaded.violations
        for run in session.scalars(select(Run)):
            told.runs[run.status] += 1
            told.attempts += run.attempt
    told.scores = len(people.sent.accepted)
    told.uploads_cut = made.proxy.uploads_cut
    database.dispose()


def main() -> None:
    """The last line is one JSON object; exit code 1 with violations; in CI also with faults that could not be made."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=float(os.environ.get("CHAOS_MINUTES", "60")))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    found: list[Told] = []
    pairs: tuple[Pair, ...] = ("servers", "embedded")
    for number, pair in enumerate(pairs):
        with tempfile.TemporaryDirectory(prefix="pairboard-chaos-", ignore_cleanup_errors=True) as name:
            told = history(Path(name) / pair, pair, args.minutes * 30, args.seed + number, say=True)
        print(told.text(pair), file=sys.stderr)
        found.append(told)
    summary = {
        "faults": sum(sum(told.faults.values()) for told in found),
        "runs": sum(sum(told.runs.values()) for told in found),
        "violations": sum(len(told.violations) for told in found),
        "minutes": args.minutes,
        "attempts": sum(told.attempts for told in found),
        "scores": sum(told.scores for told in found),
        "uploads_cut": sum(told.uploads_cut for told in found),
        "models_reloaded": sum(told.reloaded.models for told in found),
        "impossible": sorted({name for told in found for name in told.impossible}),
        "seed": args.seed,
    }
    print(json.dumps(summary))
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(1 if summary["violations"] or (summary["impossible"] and os.environ.get("CI")) else 0)


if __name__ == "__main__":
    main()
