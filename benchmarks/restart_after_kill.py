"""How long a run stands still when its worker is killed for good: from kill -9 to another worker's taking it up.

    .venv/bin/python benchmarks/restart_after_kill.py [--kills 5] [--lease 6]

Real processes, on the embedded pair: a web server and two workers. While a training goes on, the worker that has it is
killed with its trainer and does not come back; the other one, idle, takes the run over once the lease has ended.
`taken`: seconds until the new attempt is claimed; `trains`: until it trains again (loading torch included). It should
be taken within the lease and five seconds. The last line is one JSON object.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.factories import TINY  # noqa: E402
from tests.processes import SetUp, set_up  # noqa: E402
from tests.test_straight_line import make_contest  # noqa: E402

ENDLESS = {**TINY, "pretrain": None, "finetune": {**TINY["finetune"], "num_train_epochs": 1000}}
ALLOWED_S = 5.0


def main() -> None:
    """Kill again and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--lease", type=float, default=6)
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="pairboard-kill-") as name:
        lease = {"PAIRBOARD_LEASE_SECONDS": str(args.lease), "PAIRBOARD_SWEEP_SECONDS": "2"}
        with set_up(Path(name), **lease) as line:
            line.start_web()
            make_contest(line)
            for worker in ("first", "second"):
                line.start_worker(worker)
            for number in range(args.kills):
                found.append(kill_once(line, number))
                print(f"taken after {found[-1]['taken']:.1f} s, trains after {found[-1]['trains']:.1f} s", flush=True)
    worst = {key: round(max(each[key] for each in found), 2) for key in ("taken", "trains")}
    print(
        json.dumps(
            {"kills": args.kills, "lease_s": args.lease, **{f"worst_{key}_s": value for key, value in worst.items()}}
        )
    )
    sys.exit(worst["taken"] > args.lease + ALLOWED_S)


def kill_once(line: SetUp, number: int) -> dict[str, float]:
    """One experiment, one kill; afterwards both workers are there again, and free."""
    body = {"name": f"kill {number}", "config": {**ENDLESS, "seed": number}}
    made = line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status().json()["id"]
    run = line.until(lambda: training(line, made, 1), "the training")
    victim = run["attempts"][-1]["worker"]
    killed_at = time.time()
    line.kill(victim)
    again = line.until(lambda: training(line, made, 2), "the training to go on")
    trains = time.time() - killed_at
    taken = datetime.fromisoformat(again["attempts"][-1]["claimed_at"]).timestamp() - killed_at
    line.http.post(f"/api/v1/experiments/{made}/cancel").raise_for_status()
    line.until(lambda: line.experiment(made)["status"] == "cancelled", "the run to be cancelled")
    line.start_worker(victim)
    return {"taken": taken, "trains": trains}


def training(line: SetUp, number: int, attempt: int) -> dict[str, Any] | None:
    """The run, once this attempt at it trains."""
    run: dict[str, Any] = line.experiment(number)["runs"][0]
    return run if len(run["attempts"]) == attempt and run["progress"] else None


if __name__ == "__main__":
    main()
