"""Sends what readers are handed, made odd, and holds them to their promises: nothing but a clear refusal comes out, it
comes in time, and no good row is lost.

`python -m tests.security.fuzz --inputs 1000000 [--seed N] [--only NAME]`: the last line is one JSON object. An input
is told by its target, seed and number: `--only NAME --seed N --number 17` makes that one again.
"""

import argparse
import gc
import json
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from tests.security import fuzz_configs, fuzz_events, fuzz_pairs, fuzz_predictions, fuzz_tables
from tests.security.fuzz_workshop import Workshop

LIMIT_S = 2.0
#: findings that are told of a target; they are counted beyond it
TOLD = 20


@dataclass(frozen=True)
class Target:
    """`draw` makes an input; `check` raises whatever is wrong, and says whether the input was taken, at least in part.
    `share`: of a million inputs."""

    name: str
    share: int
    draw: Callable[[Random], Any]
    check: Callable[[Any, Workshop], bool]
    database: bool = False


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("pair-files", 130_000, fuzz_pairs.draw_file, fuzz_pairs.check_file),
        Target("pair-rows", 120_000, fuzz_pairs.draw_rows, fuzz_pairs.check_rows),
        Target("pair-uploads", 2_000, fuzz_pairs.draw_upload, fuzz_pairs.check_upload),
        Target("prediction-files", 160_000, fuzz_predictions.draw_sent, fuzz_predictions.check_sent),
        Target("prediction-rows", 200_000, fuzz_predictions.draw_rows, fuzz_predictions.check_rows),
        Target("run-predictions", 90_000, fuzz_predictions.draw_run, fuzz_predictions.check_run),
        Target("table-texts", 20_000, fuzz_tables.draw_text, fuzz_tables.check_text),
        Target("table-rows", 25_000, fuzz_tables.draw_note, fuzz_tables.check_note),
        Target("table-imports", 500, fuzz_tables.draw_import, fuzz_tables.check_import, database=True),
        Target("event-bodies", 140_000, fuzz_events.draw_body, fuzz_events.check_body),
        Target("event-stories", 2_000, fuzz_events.draw_story, fuzz_events.check_story, database=True),
        Target("configs", 60_000, fuzz_configs.draw_config, fuzz_configs.check_config),
        Target("config-texts", 50_500, fuzz_configs.draw_text, fuzz_configs.check_text),
    )
}


class Hang(BaseException):
    """An input takes longer than the limit. No Exception: nothing on the way may catch it."""


@dataclass(frozen=True)
class Finding:
    """What went wrong with an input, and where."""

    number: int
    error: str
    place: str
    input: str


@dataclass
class Tally:
    """What became of a target's inputs. `wrong` counts the findings, the first of which are told."""

    inputs: int = 0
    taken: int = 0
    wrong: int = 0
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    slowest_number: int = -1
    findings: list[Finding] = field(default_factory=list)


@contextmanager
def _watched(limit_s: float) -> Iterator[None]:
    """Whoever is inside for longer than that is pulled out."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Hang(f"longer than {limit_s} s")

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def one(target: Target, seed: int, number: int) -> Any:
    """The input of this number."""
    return target.draw(Random(f"{seed} {target.name} {number}"))


def fuzz(target: Target, numbers: range, workshop: Workshop, *, seed: int = 1, limit_s: float = LIMIT_S) -> Tally:
    """Hold the target to its promises with the inputs of these numbers."""
    tally, began = Tally(), time.perf_counter()
    with _watched(limit_s):
        for number in numbers:
            given = one(target, seed, number)
            start = time.perf_counter()
            try:
                signal.setitimer(signal.ITIMER_REAL, limit_s)
                tally.taken += target.check(given, workshop)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except (Exception, Hang) as error:
                signal.setitimer(signal.ITIMER_REAL, 0)
                tally.wrong += 1
                if len(tally.findings) < TOLD:
                    tally.findings.append(_finding(number, error, given))
            tally.inputs += 1
            if (took := time.perf_counter() - start) > tally.slowest_seconds:
                tally.slowest_seconds, tally.slowest_number = took, number
    tally.seconds = time.perf_counter() - began
    return tally


def _finding(number: int, error: BaseException, given: Any) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames[-4:]))
    return Finding(number, f"{type(error).__name__}: {error}"[:300], place, repr(given)[:600])


def _numbers(target: Target, inputs: int, only: str | None, number: int | None) -> range:
    if number is not None:
        return range(number, number + 1)
    return range(inputs if only else max(1, round(inputs * target.share / 1_000_000)))


def campaign(inputs: int, seed: int, only: str | None, number: int | None, workshop: Workshop) -> dict[str, Tally]:
    """Every target's share of so many inputs, or all of them to one; a line is printed as each ends."""
    found = {}
    for target in TARGETS.values():
        if only in {None, target.name}:
            one(target, seed, 0)  # seeds, and below the database: made before the clock runs
            assert not target.database or workshop.held
            gc.collect()
            gc.freeze()  # what was imported is looked through no more
            found[target.name] = tally = fuzz(target, _numbers(target, inputs, only, number), workshop, seed=seed)
            print(
                f"{target.name}: {tally.inputs} inputs, {tally.taken} taken, {tally.wrong} findings, "
                f"{tally.seconds:.1f} s, slowest {tally.slowest_seconds:.3f} s",
                flush=True,
            )
    return found


def told(found: dict[str, Tally], seed: int) -> dict[str, Any]:
    """For the last line."""
    return {
        "inputs": sum(tally.inputs for tally in found.values()),
        "seconds": round(sum(tally.seconds for tally in found.values()), 1),
        "slowest_seconds": round(max(tally.slowest_seconds for tally in found.values()), 4),
        "findings": sum(tally.wrong for tally in found.values()),
        "seed": seed,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "targets": {
            name: {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(tally).items()}
            for name, tally in found.items()
        },
    }


def main() -> int:
    """0 where nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(TARGETS))
    parser.add_argument("--number", type=int, help="of one input, with --only")
    asked = parser.parse_args()
    warnings.simplefilter("error")  # a warning of numpy's is a number gone wrong
    memory = Path("/dev/shm")  # noqa: S108  # files are written a million times
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        workshop = Workshop(Path(folder))
        try:
            found = campaign(asked.inputs, asked.seed, asked.only, asked.number, workshop)
        finally:
            workshop.close()
    summary = told(found, asked.seed)
    print(json.dumps(summary, ensure_ascii=True))
    return 1 if summary["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
