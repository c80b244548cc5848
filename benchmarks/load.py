"""Two web processes on Postgres under everything at once, beside MLflow's server under the same where it has the call.

    .venv/bin/python benchmarks/load.py [--seconds 600] [--experiments 1000] [--mlflow PYTHON]

Four kinds of callers, each paced by the clock, not by the answers: a call's time counts from the moment it was due, so
that a server that stands still is charged for everybody who waits. Every page of LANES reads 100 rows of the table; the
scores, events and files that were answered for are looked up again afterwards, one by one: what is missing is lost.
MLflow (two workers, Postgres, artifacts through its server) reads 100 runs with runs/search, takes scores and events
with log-batch and files through its artifact proxy; it lives in a virtual environment of its own, made in a temporary
folder from PyPI unless --mlflow names a python that has mlflow and psycopg2. The last line is one JSON object; times
are in milliseconds.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import httpx2  # noqa: E402
from sqlalchemy import create_engine, func, make_url, select, text  # noqa: E402

from app.db import Database  # noqa: E402
from app.experiments.models import Score  # noqa: E402
from app.runs.models import Artifact, Attempt, RunEvent  # noqa: E402
from benchmarks.board_mlflow import install_mlflow, wait  # noqa: E402
from benchmarks.board_rows import fill  # noqa: E402
from benchmarks.board_speed import POSTGRES, VIEWS  # noqa: E402
from tests.factories import TINY, contest_over_http, experiment_over_http  # noqa: E402
from tests.processes import SetUp, set_up  # noqa: E402

#: callers of a kind, and seconds between two calls of one
LANES = {"pages": (4, 1.0), "scores": (2, 0.5), "events": (4, 1.0), "files": (2, 2.0)}
EVENTS = 10  # in a call
FILE_BYTES = 256_000
Call = Callable[[httpx2.Client, int], None]


class Told:
    """Milliseconds by kind, and what went wrong."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {kind: [] for kind in LANES}
        self.errors: Counter[str] = Counter()

    def figures(self) -> dict[str, Any]:
        """Of each kind: calls, median and the 99th of a hundred."""
        found: dict[str, Any] = {}
        for kind, times in self.times.items():
            cuts = statistics.quantiles(times, n=100)
            found[kind] = {"calls": len(times), "p50": round(statistics.median(times), 1), "p99": round(cuts[98], 1)}
        return found | {"errors": dict(self.errors)}


def under_load(url: str, calls: dict[str, list[Call]], seconds: float) -> Told:
    """All callers at once, for so long."""
    told, begin = Told(), time.monotonic() + 1

    def caller(kind: str, call: Call, period: float, offset: float) -> None:
        with httpx2.Client(base_url=url, timeout=60) as http:
            for number in itertools.count():
                due = begin + offset + number * period
                if due > begin + seconds:
                    return
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    call(http, number)
                except (httpx2.HTTPError, AssertionError) as error:
                    told.errors[f"{kind}: {type(error).__name__}: {error}"[:200]] += 1
                told.times[kind].append(1000 * (time.monotonic() - due))

    threads = []
    for kind, (count, period) in LANES.items():
        for place in range(count):
            args = (kind, calls[kind][place], period, period * place / count)
            threads.append(threading.Thread(target=caller, args=args))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def ok(answer: httpx2.Response) -> Any:
    """Its JSON, if it has any."""
    assert answer.is_success, (
        f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:80]}"
    )
    return answer.json() if "json" in answer.headers.get("content-type", "") else None


def drawn_file(place: int, number: int) -> bytes:
    """Another one for each call."""
    return random.Random(f"{place} {number}").randbytes(FILE_BYTES)  # noqa: S311 - bytes, not secrets


@contextmanager
def own_postgres() -> Any:
    """A database that is gone afterwards."""
    name = f"load_{os.getpid()}_{time.monotonic_ns()}"
    engine = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield engine.url.set(database=name).render_as_string(hide_password=False)
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


class Ours:
    """A set-up, its runs that work, and what it has promised to keep."""

    def __init__(self, line: SetUp, experiments: int) -> None:
        self.line, self.scores, self.files = line, list[tuple[str, float]](), dict[tuple[int, str], str]()
        self.events: dict[int, int] = {}
        self.experiments = experiments
        self.database = Database(line.env["PAIRBOARD_DATABASE_URL"])
        with self.database.writing() as session:
            fill(session, experiments)
        with self.database.write_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
        line.start_web()
        contest_over_http(line.http)  # type: ignore[arg-type]  # the same verbs as the test client's
        self.runs = [self._claimed(number) for number in range(LANES["events"][0])]
        self.lock = threading.Lock()

    def _claimed(self, number: int) -> tuple[int, dict[str, str]]:
        config = {**TINY, "pretrain": None, "seed": number}
        made = experiment_over_http(self.line.http, name=f"row {number}", config=config)  # type: ignore[arg-type]
        run = made["runs"][0]["id"]
        body = {"worker": f"w{number}", "boot_id": "boot-one"}
        worker = {"Authorization": f"Bearer {self.line.env['PAIRBOARD_WORKER_TOKEN']}"}
        claim = ok(self.line.http.post(f"/api/v1/runs/{run}/claim", json=body, headers=worker))
        return run, {"Authorization": f"Bearer {claim['token']}"}

    def calls(self) -> dict[str, list[Call]]:
        """One of each caller."""
        makers = {"pages": self._page, "scores": self._score, "events": self._event, "files": self._file}
        return {kind: [makers[kind](place) for place in range(count)] for kind, (count, _) in LANES.items()}

    def _page(self, place: int) -> Call:
        def call(http: httpx2.Client, number: int) -> None:
            ok(http.get(f"/contests/board?{VIEWS[(number + place * 4) % len(VIEWS)]}"))

        return call

    def _score(self, place: int) -> Call:
        def call(http: httpx2.Client, number: int) -> None:
            value = round(0.5 + (number * 2 + place) * 1e-5, 5)
            experiment = 1 + (number * 7 + place) % self.experiments
            note = f"load {place} {number}"
            body = {"value": value, "note": note}
            ok(http.post(f"/api/v1/experiments/{experiment}/online-scores", json=body))
            with self.lock:
                self.scores.append((note, value))

        return call

    def _event(self, place: int) -> Call:
        run, headers = self.runs[place]

        def call(http: httpx2.Client, number: int) -> None:
            first = self.events.get(run, 0) + 1
            told = {"type": "progress", "stage": "finetune", "total_steps": 10**6, "learning_rate": 3e-4}
            told |= {"samples_per_second": 431.7, "seconds_left": 99.5, "epoch": number / 100, "loss": 1 / (number + 1)}
            events = [{**told, "step": first + step} for step in range(EVENTS)]
            body = {"first": first, "events": events}
            assert (
                ok(http.post(f"/api/v1/runs/{run}/events", json=body, headers=headers))["stored"] == first + EVENTS - 1
            )
            self.events[run] = first + EVENTS - 1

        return call

    def _file(self, place: int) -> Call:
        run, headers = self.runs[place]

        def call(http: httpx2.Client, number: int) -> None:
            content = drawn_file(place, number)
            sha256 = hashlib.sha256(content).hexdigest()
            told, at = {"name": f"{number}.bin", "sha256": sha256, "size": FILE_BYTES}, f"/api/v1/runs/{run}/uploads"
            ok(http.post(at, json=told, headers=headers))
            ok(http.patch(f"{at}/{sha256}?offset=0&size={FILE_BYTES}", content=content, headers=headers))
            kept = ok(http.post(at, json=told, headers=headers))["artifact"]
            assert kept is not None, "the upload ended, and there is no artifact"
            assert kept["sha256"] == sha256
            self.files[run, told["name"]] = sha256

        return call

    def lost(self) -> dict[str, int]:
        """What was answered for and is not there."""
        with self.database.reading() as session:
            scores = {
                tuple(row) for row in session.execute(select(Score.note, Score.value).where(Score.split == "online"))
            }
            kept = {(row.run_id, row.name): row.sha256 for row in session.scalars(select(Artifact))}
            told = select(Attempt.run_id, func.count()).join(RunEvent, RunEvent.attempt_id == Attempt.id)
            events = {run: count for run, count in session.execute(told.group_by(Attempt.run_id))}  # noqa: C416
        there = 0
        for (run, name), sha256 in self.files.items():
            got = self.line.http.get(f"/api/v1/runs/{run}/artifacts/{name}")
            there += kept.get((run, name)) == sha256 == hashlib.sha256(got.content).hexdigest()
        return {
            "scores": len(set(self.scores) - scores),
            "events": sum(abs(count - events.get(run, 0)) for run, count in self.events.items()),
            "files": len(self.files) - there,
        }


def measure_ours(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Two web processes of ours."""
    with ExitStack() as stack:
        url = stack.enter_context(own_postgres())
        more = {"PAIRBOARD_DATABASE_URL": url, "PAIRBOARD_WEB_PROCESSES": "2", "PAIRBOARD_LEASE_SECONDS": "86400"}
        line = stack.enter_context(set_up(folder, **more))
        ours = Ours(line, args.experiments)
        told = under_load(line.url, ours.calls(), args.seconds)
        found = told.figures() | {"lost": ours.lost()}
        ours.database.dispose()
        line.stop("web")
    return found


def measure_mlflow(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The same number of runs, callers and bytes."""
    folder.mkdir()
    python, port = args.mlflow or install_mlflow(folder, "psycopg2-binary"), 5996
    with own_postgres() as url, (folder / "log").open("wb") as log:
        command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
        command += ["--backend-store-uri", make_url(url).set(drivername="postgresql+psycopg2").render_as_string(False)]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=600) as http:
                wait(http)
                calls, lost = mlflow_calls(http, args.experiments)
                told = under_load(f"http://127.0.0.1:{port}", calls, args.mlflow_seconds or args.seconds)
                return told.figures() | {"lost": lost()}
        finally:
            server.terminate()
            server.wait(60)


def mlflow_calls(http: httpx2.Client, runs: int) -> tuple[dict[str, list[Call]], Callable[[], dict[str, int]]]:
    """Its callers over a filled table, and how what it answered for is looked up."""
    api, kept = "/api/2.0/mlflow", {"scores": 0, "events": 0, "files": 0}
    experiment = ok(http.post(f"{api}/experiments/create", json={"name": "load"}))["experiment_id"]
    params = [{"key": f"field.{number}", "value": str(number)} for number in range(100)]
    made = []
    for number in range(runs):
        body = {"experiment_id": experiment, "start_time": number}
        made.append(ok(http.post(f"{api}/runs/create", json=body))["run"]["info"]["run_id"])
        metrics = [{"key": key, "value": 0.8, "timestamp": 1, "step": 0} for key in ("train", "valid", "online")]
        ok(http.post(f"{api}/runs/log-batch", json={"run_id": made[-1], "metrics": metrics, "params": params}))
    lock = threading.Lock()

    def count(kind: str, number: int) -> None:
        with lock:
            kept[kind] += number

    def page(http: httpx2.Client, _number: int) -> None:
        asked = {"experiment_ids": [experiment], "max_results": 100, "order_by": ["metrics.valid DESC"]}
        assert len(ok(http.post(f"{api}/runs/search", json=asked))["runs"]) == min(100, runs)

    def score(place: int) -> Call:
        def call(http: httpx2.Client, number: int) -> None:
            point = {"key": "sent", "value": number, "timestamp": number * 10 + place, "step": number * 10 + place}
            ok(http.post(f"{api}/runs/log-batch", json={"run_id": made[place], "metrics": [point]}))
            count("scores", 1)

        return call

    def event(place: int) -> Call:
        def call(http: httpx2.Client, number: int) -> None:
            steps = range(number * EVENTS, number * EVENTS + EVENTS)
            points = [{"key": "loss", "value": 1 / (step + 1), "timestamp": step, "step": step} for step in steps]
            ok(http.post(f"{api}/runs/log-batch", json={"run_id": made[10 + place], "metrics": points}))
            count("events", EVENTS)

        return call

    def file(place: int) -> Call:
        def call(http: httpx2.Client, number: int) -> None:
            at = f"/api/2.0/mlflow-artifacts/artifacts/{experiment}/{made[place]}/artifacts/{number}.bin"
            ok(http.put(at, content=drawn_file(place, number)))
            count("files", 1)

        return call

    def points(run: str, key: str) -> int:
        found, asked = 0, {"run_id": run, "metric_key": key, "max_results": 25_000}
        while True:
            answer = ok(http.get(f"{api}/metrics/get-history", params=asked))
            found += len(answer.get("metrics", ()))
            if not answer.get("next_page_token"):
                return found
            asked["page_token"] = answer["next_page_token"]

    def lost() -> dict[str, int]:
        there = {"scores": sum(points(run, "sent") for run in made[: LANES["scores"][0]])}
        there["events"] = sum(points(run, "loss") for run in made[10 : 10 + LANES["events"][0]])
        there["files"] = 0
        for run in made[: LANES["files"][0]]:
            asked = {"path": f"{experiment}/{run}/artifacts"}
            there["files"] += len(ok(http.get("/api/2.0/mlflow-artifacts/artifacts", params=asked))["files"])
        return {kind: number - there[kind] for kind, number in kept.items()}

    places = {kind: range(count) for kind, (count, _) in LANES.items()}
    calls: dict[str, list[Call]] = {"pages": [page for _ in places["pages"]]}
    for kind, maker in (("scores", score), ("events", event), ("files", file)):
        calls[kind] = [maker(place) for place in places[kind]]
    return calls, lost


def main() -> None:
    """Ours, then MLflow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--mlflow-seconds", type=float, help="as many as for ours, unless given")
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--mlflow", help="a python with mlflow and psycopg2")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pairboard-load-") as name:
        ours = measure_ours(Path(name), args)
        print("pairboard", json.dumps(ours), flush=True)
        theirs = measure_mlflow(Path(name) / "mlflow", args)
        print("mlflow", json.dumps(theirs), flush=True)
    summary = {
        "seconds": args.seconds,
        "mlflow_seconds": args.mlflow_seconds or args.seconds,
        "experiments": args.experiments,
        "errors": sum(ours["errors"].values()),
        "lost": sum(ours["lost"].values()),
        "pages_p99_ms": ours["pages"]["p99"],
        "mlflow_errors": sum(theirs["errors"].values()),
        "mlflow_lost": sum(theirs["lost"].values()),
    }
    summary |= {f"{kind}_p99_vs_mlflow": round(theirs[kind]["p99"] / ours[kind]["p99"], 1) for kind in LANES}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
