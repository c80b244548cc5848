"""The table and the curves beside MLflow's: how fast they are written and read.

    .venv/bin/python benchmarks/board_speed.py [--experiments 10000] [--points 1000000] [--mlflow PYTHON]

Both are real servers on SQLite, asked by HTTP from this process, one after the other on the same machine; ours on
Postgres, too, if PAIRBOARD_TEST_POSTGRES_URL answers. MLflow lives in a virtual environment of its own, made in a
temporary folder from PyPI unless --mlflow names a python that has it.

Table: our page and our JSON of 100 rows for every view of VIEWS over 10,000 experiments; MLflow's runs/search for 100
runs, sorted by a metric, of --mlflow-runs with as many parameters as a config has fields and 3 metrics (writing more
takes it hours; its time grows with them). Curve: --points of a loss written in batches of 1,000 by one client, as
MLflow's log-batch and as our events; then read back. An event puts a point on each of five curves (loss, learning rate,
samples/s, tokens/s, memory), for which MLflow needs five points: `ingest_vs_mlflow` counts these,
`ingest_of_one_curve_vs_mlflow` the loss alone. The last line is one JSON object; times are in milliseconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
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
from app.runs.models import Run  # noqa: E402
from benchmarks.board_rows import fill  # noqa: E402
from ml.contract.experiment import flat  # noqa: E402
from ml.contract.presets import preset  # noqa: E402
from tests.processes import SetUp  # noqa: E402

POSTGRES = os.environ.get("PAIRBOARD_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
BATCH = 1000
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
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pairboard-board-") as name:
        folder = Path(name)
        ours = {"sqlite": measure_ours(folder / "sqlite", "", args)}
        print("pairboard, sqlite", json.dumps(ours["sqlite"]), flush=True)
        if url := own_postgres():
            ours["postgres"] = measure_ours(folder / "postgres", url, args)
            print("pairboard, postgres", json.dumps(ours["postgres"]), flush=True)
        theirs = measure_mlflow(folder / "mlflow", args)
        print("mlflow, sqlite", json.dumps(theirs), flush=True)
    lite = ours["sqlite"]
    summary = {
        "board_vs_mlflow": round(theirs["search_p50_ms"] / lite["json_p50_ms"], 1),
        "ingest_vs_mlflow": round(CURVES * lite["events_per_s"] / theirs["points_per_s"], 1),
        "ingest_of_one_curve_vs_mlflow": round(lite["events_per_s"] / theirs["points_per_s"], 1),
        "board_p95_ms": max(found["page_p95_ms"] for found in ours.values()),
        "curve_ms": max(found["curve_ms"] for found in ours.values()),
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


def timed(call: Callable[[], Any], rounds: int) -> list[float]:
    """Milliseconds of each."""
    call()
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        call()
        found.append(1000 * (time.perf_counter() - begin))
    return found


def p95(times: list[float]) -> float:
    return round(statistics.quantiles(times, n=20)[-1], 1)


def measure_ours(folder: Path, url: str, args: argparse.Namespace) -> dict[str, Any]:
    """A web server of ours over a table of that many rows."""
    folder.mkdir()
    line = SetUp(folder, PAIRBOARD_LEASE_SECONDS="86400", **({"PAIRBOARD_DATABASE_URL": url} if url else {}))
    line.prepare()
    database = Database(url or f"sqlite:///{folder / 'data' / 'pairboard.db'}")
    with database.writing() as session:
        fill(session, args.experiments)
        run_id, token = a_run(session, args.experiments)
    schema.require_head(database.write_engine)
    with database.write_engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()
    database.dispose()
    line.start_web()
    try:
        found = table(line.http, args.rounds)
        found |= ingest(line.http, run_id, token, args.points)
        asked = {"run": run_id, "series": "loss"}
        found["curve_ms"] = p95(timed(lambda: read(line.http, "/api/v1/curves", asked), args.rounds))
        window = {**asked, "from": args.points * 0.4, "to": args.points * 0.41}
        found["window_ms"] = p95(timed(lambda: read(line.http, "/api/v1/curves", window), args.rounds))
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
    claimed = service.claim(session, run.id, worker="bench", boot_id="boot-of-bench", lease=LEASE)
    return run.id, claimed.token


def read(http: httpx2.Client, path: str, params: dict[str, Any]) -> httpx2.Response:
    answer = http.get(path, params=params)
    assert answer.status_code == 200, answer.text[:300]
    return answer


def table(http: httpx2.Client, rounds: int) -> dict[str, Any]:
    """Every view, as a page and as JSON."""
    worst, each, html = 0.0, {}, 0
    for view in VIEWS:
        times = timed(lambda view=view: get(http, f"/contests/board?{view}"), rounds)
        each[view] = p95(times)
        worst = max(worst, each[view])
        html = max(html, compressed(http, f"/contests/board?{view}"))
    json_ms = timed(lambda: get(http, "/api/v1/contests/board/leaderboard?sort=-valid&limit=100"), rounds)
    return {
        "page_p95_ms": worst,
        "pages_p95_ms": each,
        "json_p50_ms": round(statistics.median(json_ms), 1),
        "html_kb_compressed": html,
    }


def get(http: httpx2.Client, address: str) -> httpx2.Response:
    answer = http.get(address)
    assert answer.status_code == 200, f"{address}: {answer.text[:300]}"
    return answer


def compressed(http: httpx2.Client, address: str) -> int:
    """Kilobytes on the wire."""
    with http.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers.get("content-encoding") == "gzip", "the page travels uncompressed"
        return round(sum(len(part) for part in answer.iter_raw()) / 1000)


def loss(step: int, points: int) -> float:
    """With one peak that no chart may lose."""
    return 99.0 if step == points // 3 else 2.0 - step / points + (step * 7919 % 1000) / 5000


def ingest(http: httpx2.Client, run_id: int, token: str, points: int) -> dict[str, Any]:
    """One event a point, as a training tells them."""
    spent = 0.0
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
        spent += time.perf_counter() - begin
        assert answer.status_code == 200, answer.text[:300]
    return {"events_per_s": round(points / spent)}


def measure_mlflow(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """MLflow's own server."""
    folder.mkdir()
    python = args.mlflow or install_mlflow(folder)
    port = 5997
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--default-artifact-root", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600)
        wait(http)
        return mlflow_figures(http, args)
    finally:
        server.terminate()
        server.wait(60)


def install_mlflow(folder: Path) -> str:
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "mlflow>=3"], check=True)
    return python


def wait(http: httpx2.Client) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        with suppress(httpx2.TransportError):
            if http.get("/health").is_success:
                return
        time.sleep(0.5)
    raise SystemExit("mlflow's server did not answer within 180 s")


def mlflow_figures(http: httpx2.Client, args: argparse.Namespace) -> dict[str, Any]:
    def post(path: str, **body: Any) -> dict[str, Any]:
        answer = http.post(f"/api/2.0/mlflow/{path}", json=body)
        assert answer.status_code == 200, answer.text[:300]
        found: dict[str, Any] = answer.json()
        return found

    config = flat(preset("scratch").model_dump(mode="json"))
    params = [{"key": name, "value": str(value)} for name, value in config.items()][:100]
    experiment = post("experiments/create", name="board")["experiment_id"]
    begin = time.perf_counter()
    for number in range(args.mlflow_runs):
        run = post("runs/create", experiment_id=experiment, start_time=number)["run"]["info"]["run_id"]
        metrics = [
            {"key": split, "value": 0.8 + (number * 7919 % 1000) / 9000, "timestamp": 1, "step": 0}
            for split in ("train", "valid", "online")
        ]
        post("runs/log-batch", run_id=run, metrics=metrics, params=params)
    made = args.mlflow_runs / (time.perf_counter() - begin)
    asked = {"experiment_ids": [experiment], "max_results": 100, "order_by": ["metrics.valid DESC"]}
    times = timed(lambda: post("runs/search", **asked), args.rounds)
    run = post("runs/create", experiment_id=experiment, start_time=0)["run"]["info"]["run_id"]
    spent = 0.0
    for first in range(0, args.mlflow_points, BATCH):
        points = [
            {"key": "loss", "value": loss(step, args.mlflow_points), "timestamp": step, "step": step}
            for step in range(first, first + BATCH)
        ]
        begin = time.perf_counter()
        post("runs/log-batch", run_id=run, metrics=points)
        spent += time.perf_counter() - begin
    asked_curve = {"run_id": run, "metric_key": "loss", "max_results": 25_000}
    curve = timed(lambda: http.get("/api/2.0/mlflow/metrics/get-history", params=asked_curve), 5)
    return {
        "search_p50_ms": round(statistics.median(times), 1),
        "search_p95_ms": p95(times),
        "runs_created_per_s": round(made, 1),
        "points_per_s": round(args.mlflow_points / spent),
        "curve_25000_points_ms": round(statistics.median(curve), 1),
    }


if __name__ == "__main__":
    main()
