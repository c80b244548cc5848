"""MLflow's side of benchmarks/board_speed.py, and what both sides are timed with."""

import argparse
import statistics
import subprocess
import time
import venv
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from ml.contract.experiment import flat
from ml.contract.presets import preset

BATCH = 1000


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


def loss(step: int, points: int) -> float:
    """With one peak that no chart may lose."""
    return 99.0 if step == points // 3 else 2.0 - step / points + (step * 7919 % 1000) / 5000


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


def install_mlflow(folder: Path, *more: str) -> str:
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "mlflow>=3", *more], check=True)
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
