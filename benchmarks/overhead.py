"""What the queue, the worker and the tracker cost beside training: one finetune through pairboard and by ml alone.

    .venv/bin/python benchmarks/overhead.py [--steps 3000] [--turns 3]

In turns: the same config and the same generated pairs through `pairboard up` (REST, embedded broker, worker, events,
heartbeats), and as `python -m ml job.json out/`. On a machine whose clock wanders by more than a percent the ratio of
wall times says little, so the figure is `overhead`: processor seconds of web and worker from the first event to the
last, over those of ml in the same time. `wall_ratio` is the median ratio of a run's seconds, from claim to last score,
to those of the lone process. Linux only. The last line is one JSON object.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from app.contests.sample import write_sample  # noqa: E402
from app.demo import call, started  # noqa: E402
from ml.contract.experiment import ExperimentConfig  # noqa: E402
from ml.contract.pair_file import sniff  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Take turns, print both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    config = {"encoder": {"size": "tiny"}, "finetune": {"max_steps": args.steps}, "pretrain": None}
    overheads, ratios = [], []
    for number in range(args.turns):
        with tempfile.TemporaryDirectory() as scratch:
            sides = [lambda: through_pairboard(Path(scratch), config), lambda: alone(Path(scratch), config)]
            told = [side() for side in (sides if number % 2 == 0 else sides[::-1])]
            ours, theirs = told if number % 2 == 0 else told[::-1]
        overheads.append(ours["around"] / ours["ml"])
        ratios.append(ours["seconds"] / theirs["seconds"])
        print(
            f"through pairboard {ours['seconds']:.1f} s (ml {ours['ml']:.1f} processor seconds, web and worker "
            f"{ours['around']:.2f}), alone {theirs['seconds']:.1f} s",
            flush=True,
        )
    figures = {"overhead": round(statistics.median(overheads), 4), "wall_ratio": round(statistics.median(ratios), 3)}
    print(json.dumps({**figures, "steps": args.steps, "turns": args.turns}))


def through_pairboard(folder: Path, config: dict[str, Any]) -> dict[str, float]:
    """Queue, wait, and count what the processes below us used meanwhile."""
    sample(folder)
    with started(folder, {"PAIRBOARD_WORKER_THREADS": "1"}) as http:
        call(http, "POST", "/contests", json={"name": "Overhead", "slug": "overhead"})
        with (folder / "train.tsv").open("rb") as file:
            call(http, "POST", "/contests/overhead/files", files={"file": ("train.tsv", file)}, data={"kind": "train"})
        body = {"name": "one", "config": config}
        number = call(http, "POST", "/contests/overhead/experiments", json=body)["id"]
        begin: tuple[float, dict[str, float]] | None = None
        last: tuple[float, dict[str, float]] | None = None
        while True:
            item = call(http, "GET", f"/experiments/{number}")["runs"][0]
            if item["status"] in {"failed", "cancelled"}:
                sys.exit(f"the run {item['status']}: {item['reason']}")
            if item["status"] == "finished":
                break
            now = (time.perf_counter(), used())
            if "ml" in now[1] and item["progress"]:
                begin, last = begin or now, now
            time.sleep(5)  # asked seldom: each question is work for web, too
    if begin is None or last is None or last is begin:
        sys.exit("the run was over before it could be watched: give more --steps")
    spent = {name: last[1][name] - begin[1][name] for name in ("ml", "around")}
    at = [datetime.fromisoformat(moment) for moment in (item["started_at"], item["ended_at"])]
    return {"seconds": (at[1] - at[0]).total_seconds(), **spent}


def used() -> dict[str, float]:
    """Processor seconds so far: of ml, and of all else that we started."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:  # gone meanwhile
            continue
        number = int(path.parent.name)
        parents[number] = int(fields[1])
        seconds[number] = (int(fields[11]) + int(fields[12])) / TICKS
    found: dict[str, float] = {"around": 0.0}
    for number in seconds:
        above, line = number, []
        while above in parents and above != os.getpid():
            line.append(above)
            above = parents[above]
        if above != os.getpid() or number == os.getpid():
            continue
        if any(is_ml(each) for each in line):
            found["ml"] = found.get("ml", 0.0) + seconds[number]
        else:
            found["around"] += seconds[number]
    return found


def is_ml(number: int) -> bool:
    """Whether a process is `python -m ml`."""
    try:
        words = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"ml" in words and b"-m" in words


def alone(folder: Path, config: dict[str, Any]) -> dict[str, float]:
    """`python -m ml`, its events thrown away."""
    sample(folder)
    content = (folder / "train.tsv").read_bytes()
    layout = sniff(folder / "train.tsv", "train").model_dump()
    item = {"role": "train", "path": "train.tsv", "name": "train.tsv", "size": len(content), "layout": layout}
    item |= {"sha256": hashlib.sha256(content).hexdigest()}
    asked = ExperimentConfig.model_validate({"version": 2, **config}).model_dump(mode="json")
    job = {"run_id": 1, "attempt": 1, "kind": "finetune", "config": asked, "inputs": [item], "threads": 1}
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "ml", "job.json", "out"]
    env = {**os.environ, "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "16384", "PYTHONPATH": str(ROOT)}
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, env=env)
    return {"seconds": time.perf_counter() - begin}


def sample(folder: Path) -> None:
    """The same pairs for both sides."""
    if not (folder / "train.tsv").exists():
        write_sample(folder / "train.tsv", folder / "test.tsv", folder / "answers")


if __name__ == "__main__":
    main()
