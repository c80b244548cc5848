"""MLflow's side of benchmarks/board_speed.py, and what both sides are timed with."""

import argparse
import statistics
import subprocess
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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


class MLflow:
    """Its server, with as many runs as were asked for: what is timed beside ours."""

    def __init__(self, http: httpx2.Client, args: argparse.Namespace) -> None:
        self._http, self._points = http, args.mlflow_points
        config = flat(preset("scratch").model_dump(mode="json"))
        params = [{"key": name, "value": str(value)} for name, value in config.items()][:100]
        experiment = self._post("experiments/create", name="board")["experiment_id"]
        begin = time.perf_counter()
        for number in range(args.mlflow_runs):
            run = self._run(experiment, number)
            metrics = [
                {"key": split, "value": 0.8 + (number * 7919 % 1000) / 9000, "timestamp": 1, "step": 0}
                for split in ("train", "valid", "online")
            ]
            self._post("runs/log-batch", run_id=run, metrics=metrics, params=params)
        self.runs_created_per_s = round(args.mlflow_runs / (time.perf_counter() - begin), 1)
        self._asked = {"experiment_ids": [experiment], "max_results": 100, "order_by": ["metrics.valid DESC"]}
        self._curve = self._run(experiment, 0)

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._http.post(f"/api/2.0/mlflow/{path}", json=body)
        assert answer.status_code == 200, answer.text[:300]
        found: dict[str, Any] = answer.json()
        return found

    def _run(self, experiment: str, number: int) -> str:
        return str(self._post("runs/create", experiment_id=experiment, start_time=number)["run"]["info"]["run_id"])

    def search(self) -> None:
        """100 runs by a metric."""
        self._post("runs/search", **self._asked)

    def log(self, first: int) -> float:
        """A batch of points; seconds."""
        points = [
            {"key": "loss", "value": loss(step, self._points), "timestamp": step, "step": step}
            for step in range(first, first + BATCH)
        ]
        begin = time.perf_counter()
        self._post("runs/log-batch", run_id=self._curve, metrics=points)
        return time.perf_counter() - begin

    def curve_ms(self) -> float:
        """25,000 points of what was logged."""
        asked = {"run_id": self._curve, "metric_key": "loss", "max_results": 25_000}
        times = timed(lambda: self._http.get("/api/2.0/mlflow/metrics/get-history", params=asked), 5)
        return round(statistics.median(times), 1)


@contextmanager
def mlflow_server(folder: Path, args: argparse.Namespace) -> Iterator[MLflow]:
    """MLflow's own server, on SQLite."""
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
        yield MLflow(http, args)
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
