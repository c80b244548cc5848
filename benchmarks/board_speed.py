"""The table and the curves beside MLflow's: how fast they are written and read.

    .venv/bin/python benchmarks/board_speed.py [--experiments 10000] [--points 1000000] [--mlflow PYTHON]

Both are real servers on SQLite, asked by HTTP from this process, in turns, so that a slow minute of the machine is one
of both; ours on Postgres, too, if PAIRBOARD_TEST_POSTGRES_URL answers. MLflow lives in a virtual environment of its
own, made in a temporary folder from PyPI unless --mlflow names a python that has it.

Table: our page (server time as Server-Timing has it, and the whole call by HTTP) for every view of VIEWS, and our JSON
of 100 rows (the whole call, as MLflow's), over 10,000 experiments; MLflow's runs/search for 100 runs, sorted by a
metric, of --mlflow-runs with as many parameters as a config has fields and 3 metrics (writing more takes it hours; its
time grows with them). Curve: --points of a loss written in batches of 1,000 by one client, as
MLflow's log-batch and as our events; then read back. An event puts a point on each of five curves (loss, learning rate,
samples/s, tokens/s, memory), for which MLflow needs five points: `ingest_vs_mlflow` counts these,
`ingest_of_one_curve_vs_mlflow` the loss alone. First paint, the drawn curve and the live chart are times of Chromium,
since the navigation began. The last line is one JSON object; times are in milliseconds.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import httpx2  # noqa: E402
from sqlalchemy import create_engine, text  # noqa: E402
from sqlalchemy.exc import OperationalError  # noqa: E402

from app import schema  # noqa: E402
from app.db import Database  # noqa: E402
from app.experiments.models import Experiment  # noqa: E402
from app.runs import service  # noqa: E402
from app.runs.models import ExperimentRun, Run  # noqa: E402
from benchmarks.board_mlflow import BATCH, MLflow, loss, mlflow_server, p95, timed  # noqa: E402
from benchmarks.board_paint import FIGURES, painted  # noqa: E402
from benchmarks.board_rows import fill  # noqa: E402
from tests.processes import SetUp  # noqa: E402

POSTGRES = os.environ.get("PAIRBOARD_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
CURVES = 5  # that an event has a point on
LEASE = timedelta(hours=2)
VIEWS = (
    "",
    "sort=-valid",
    "sort=-online,name",
    "sort=gap&offset=5000",
    "sort=status,-valid",
    "sort=by,-created",
    "search=valid%3E%3D0.9",
    "search=last+3",
    "search=encoder.model_type:bert&sort=-valid",
    "search=finetune.learning_rate%3C3e-5+online%3E0.8&sort=-online",
    "search=tag:send&sort=-online",
    "search=status:failed",
    "group=encoder.model_type",
    "group=finetune.learning_rate&search=valid%3E0.8",
    "show=gap,hours,by,made&against=7&sort=-valid",
)


def main() -> None:
    """Ours, then MLflow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--mlflow", help="a python with mlflow")
    parser.add_argument("--mlflow-runs", type=int, default=1000)
    parser.add_argument("--mlflow-points", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=40)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pairboard-board-") as name:
        folder = Path(name)
        with mlflow_server(folder / "mlflow", args) as mlflow:
            ours = {"sqlite": measure_ours(folder / "sqlite", "", args, mlflow)}
            print("pairboard and mlflow, sqlite", json.dumps(ours["sqlite"]), flush=True)
        if url := own_postgres():
            ours["postgres"] = measure_ours(folder / "postgres", url, args)
            print("pairboard, postgres", json.dumps(ours["postgres"]), flush=True)
    lite = ours["sqlite"]
    theirs = lite["mlflow"]
    summary = {
        "board_vs_mlflow": round(theirs["search_p50_ms"] / lite["json_p50_ms"], 1),
        "ingest_vs_mlflow": round(CURVES * lite["events_per_s"] / lite["mlflow_points_per_s"], 1),
        "ingest_of_one_curve_vs_mlflow": round(lite["events_per_s"] / lite["mlflow_points_per_s"], 1),
        "board_p95_ms": max(found["page_p95_ms"] for found in ours.values()),
        "board_over_http_p95_ms": max(found["page_over_http_p95_ms"] for found in ours.values()),
        "curve_ms": max(found["curve_ms"] for found in ours.values()),
        **{name: lite[name] for name in FIGURES},
        "html_kb_compressed": max(found["html_kb_compressed"] for found in ours.values()),
        "databases": list(ours),
        "experiments": args.experiments,
        "points": args.points,
        "mlflow_runs": args.mlflow_runs,
        "mlflow_points": args.mlflow_points,
    }
    print(json.dumps(summary))


def own_postgres() -> str:
    """The address of a fresh database; empty where no server answers."""
    name = f"board_{os.getpid()}"
    engine = create_engine(POSTGRES, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 2})
    with suppress(OperationalError), engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        return engine.url.set(database=name).render_as_string(hide_password=False)
    return ""


def measure_ours(folder: Path, url: str, args: argparse.Namespace, mlflow: MLflow | None = None) -> dict[str, Any]:
    """A web server of ours over a table of that many rows; in turns with MLflow's, where that runs."""
    folder.mkdir()
    line = SetUp(folder, PAIRBOARD_LEASE_SECONDS="86400", **({"PAIRBOARD_DATABASE_URL": url} if url else {}))
    line.prepare()
    database = Database(url or f"sqlite:///{folder / 'data' / 'pairboard.db'}")
    with database.writing() as session:
        fill(session, args.experiments)
        run_id, token = a_run(session, args.experiments)
    schema.require_head(database.write_engine)
    # what Postgres does by itself in the minute after so many writes
    tidy = "VACUUM ANALYZE" if url else "ANALYZE"
    with database.write_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(tidy))
    database.dispose()
    line.start_web()
    try:
        found = table(line.http, args.rounds)
        found |= rows_as_json(line.http, args.rounds, mlflow)
        found |= ingest(line.http, run_id, token, args, mlflow)
        asked = {"run": run_id, "series": "loss"}
        found["curve_ms"] = p95(timed(lambda: read(line.http, "/api/v1/curves", asked), args.rounds))
        window = {**asked, "from": args.points * 0.4, "to": args.points * 0.41}
        found["window_ms"] = p95(timed(lambda: read(line.http, "/api/v1/curves", window), args.rounds))
        found |= painted(line.url, args.experiments, 9)
        peak = max(read(line.http, "/api/v1/curves", asked).json()["curves"][0]["y"])
        assert peak == 99.0, f"the highest point of the curve is shown as {peak}"
    finally:
        line.stop("web")
        line.close()
    return found


def a_run(session: Any, experiments: int) -> tuple[int, str]:
    """A pretrain that a worker holds: its id, and the token of the attempt."""
    like = session.get(Run, 1)
    same = {column.name: getattr(like, column.name) for column in Run.__table__.columns if column.name != "id"}
    run = Run(id=2_000_000, **{**same, "status": "queued", "attempt": 0, "kind": "pretrain", "fingerprint": "f" * 64})
    session.add(run)
    session.flush()
    assert session.get(Experiment, experiments) is not None
    session.add(ExperimentRun(experiment_id=experiments, run_id=run.id))
    claimed = service.claim(session, run.id, worker="bench", boot_id="boot-of-bench", lease=LEASE)
    return run.id, claimed.token


def read(http: httpx2.Client, path: str, params: dict[str, Any]) -> httpx2.Response:
    answer = http.get(path, params=params)
    assert answer.status_code == 200, answer.text[:300]
    return answer


def table(http: httpx2.Client, rounds: int) -> dict[str, Any]:
    """Every view, as a page and as JSON."""
    each, over_http, html = {}, {}, 0
    for view in VIEWS:  # the first answers of a process compile templates and statements
        get(http, f"/contests/board?{view}")
    for view in VIEWS:
        spent: list[float] = []
        times = timed(lambda view=view, spent=spent: spent.append(served(get(http, f"/contests/board?{view}"))), rounds)
        each[view], over_http[view] = p95(spent[1:]), p95(times)
        html = max(html, compressed(http, f"/contests/board?{view}"))
    return {
        "page_p95_ms": max(each.values()),
        "page_over_http_p95_ms": max(over_http.values()),
        "pages_p95_ms": each,
        "html_kb_compressed": html,
    }


def rows_as_json(http: httpx2.Client, rounds: int, mlflow: MLflow | None) -> dict[str, Any]:
    """100 rows by valid score, in turns."""
    address, own, theirs = "/api/v1/contests/board/leaderboard?sort=-valid&limit=100", [], []
    for _ in range(1 + rounds):
        own += timed(lambda: get(http, address), 1)
        theirs += timed(mlflow.search, 1) if mlflow else []
    found: dict[str, Any] = {"json_p50_ms": round(statistics.median(own), 1)}
    if mlflow:
        found["mlflow"] = {
            "search_p50_ms": round(statistics.median(theirs), 1),
            "search_p95_ms": p95(theirs),
            "runs_created_per_s": mlflow.runs_created_per_s,
        }
    return found


def get(http: httpx2.Client, address: str) -> httpx2.Response:
    answer = http.get(address)
    assert answer.status_code == 200, f"{address}: {answer.text[:300]}"
    return answer


def served(answer: httpx2.Response) -> float:
    """Milliseconds in our process, as the answer's Server-Timing says."""
    return float(answer.headers["Server-Timing"].removeprefix("app;dur="))


def compressed(http: httpx2.Client, address: str) -> int:
    """Kilobytes on the wire."""
    with http.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers.get("content-encoding") == "gzip", "the page travels uncompressed"
        return round(sum(len(part) for part in answer.iter_raw()) / 1000)


def ingest(
    http: httpx2.Client, run_id: int, token: str, args: argparse.Namespace, mlflow: MLflow | None
) -> dict[str, Any]:
    """One event a point, as a training tells them. In turns as long as MLflow has points left to log, and both are
    measured by these alone."""
    points, spent, theirs, in_turns = args.points, 0.0, 0.0, 0
    for first in range(1, points + 1, BATCH):
        events = [
            {
                "type": "progress",
                "stage": "pretrain",
                "step": step,
                "total_steps": points,
                "epoch": step / 1000,
                "loss": loss(step, points),
                "learning_rate": 3e-4,
                "samples_per_second": 431.7,
                "seconds_left": 99.5,
                "tokens_per_second": 9127.3,
                "model_flops_utilization": 0.41,
                "peak_memory_bytes": 1_234_567_890,
            }
            for step in range(first, min(first + BATCH, points + 1))
        ]
        body = json.dumps({"first": first, "events": events})
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        begin = time.perf_counter()
        answer = http.post(f"/api/v1/runs/{run_id}/events", content=body, headers=headers)
        took = time.perf_counter() - begin
        assert answer.status_code == 200, answer.text[:300]
        if mlflow is None or first <= args.mlflow_points:
            spent, in_turns = spent + took, in_turns + BATCH
        if mlflow is not None and first <= args.mlflow_points:
            theirs += mlflow.log(first)
    found: dict[str, Any] = {"events_per_s": round(in_turns / spent)}
    if mlflow is not None:
        found["mlflow_points_per_s"] = round(args.mlflow_points / theirs)
        found["mlflow_curve_25000_points_ms"] = mlflow.curve_ms()
    return found


if __name__ == "__main__":
    main()
