"""`make demo`: starts pairboard in an empty folder, and does what a user does, over REST; then stops it all.

It is a client like any other: everything goes through http://127.0.0.1:<port>/api/v1.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from sklearn.metrics import roc_auc_score

from app.contests.sample import write_sample
from app.errors import AppError

CONSOLE = Console(highlight=False)
STARTS_WITHIN_S = 60
LINE_EVERY_S = 5.0


def run(data: Path | None, preset: str, size: str = "") -> int:
    """The demonstration. 0 when the row is filled; 1 when the experiment did not finish."""
    if data is not None and not data.is_file():
        raise AppError(f"there is no file {data}")
    with tempfile.TemporaryDirectory(prefix="pairboard-demo-") as name:
        folder = Path(name)
        train, test, answers = folder / "sample-train.tsv", folder / "sample-test.tsv", folder / "answers"
        if data is None:
            write_sample(train, test, answers)
        files = {"train": data or train} | ({} if data else {"test": test})
        with started(folder) as http:
            experiment = queue(http, files, preset, size)
            done = follow(http, experiment["id"])
            if done["status"] == "finished":
                post_score(http, done, None if data else answers)
            show_table(http)
            CONSOLE.print("stopping …")
        return 0 if done["status"] == "finished" else 1


@contextmanager
def started(folder: Path, settings: dict[str, str] | None = None) -> Iterator[httpx2.Client]:
    """`pairboard up` on a free port with its own data folder and `settings`, whatever is configured around us."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PAIRBOARD_")}
    env |= {"PAIRBOARD_DATA_DIR": str(folder / "data"), "PAIRBOARD_PORT": str(port), **(settings or {})}
    process = subprocess.Popen([sys.executable, "-m", "app", "up", "--die-with-parent"], env=env, stdin=subprocess.PIPE)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            _wait_for(http, process)
            yield http
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for(http: httpx2.Client, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            health = http.get("/health").json()
        except httpx2.TransportError:
            health = {"workers": 0}
        if health["workers"]:
            return
        time.sleep(0.2)
    raise AppError(f"pairboard did not start within {STARTS_WITHIN_S} s: see its messages above")


def queue(http: httpx2.Client, files: dict[str, Path], preset: str, size: str) -> dict[str, Any]:
    """Contest, files, experiment: the three calls that a user makes."""
    contest = call(http, "POST", "/contests", json={"name": "Demo", "slug": "demo"})
    for kind, path in files.items():
        with path.open("rb") as file:
            form = {"kind": kind, "skip_bad_rows": str(kind == "train").lower()}
            stored = call(
                http, "POST", f"/contests/{contest['slug']}/files", files={"file": (path.name, file)}, data=form
            )
        report = stored["report"]
        balance = f", {report['positives'] / stored['rows']:.1%} positive" if kind == "train" else ""
        left_out = f" ({report['bad_rows']} bad rows left out)" if report["bad_rows"] else ""
        CONSOLE.print(f"{kind} file {path.name}: {stored['rows']:,} rows{balance}{left_out}")
    body = {"name": f"{preset} preset", "preset": preset, "size": size, "note": "queued by make demo"}
    experiment = call(http, "POST", f"/contests/{contest['slug']}/experiments", json=body)
    CONSOLE.print(f"queued experiment {experiment['id']}: {', '.join(run['kind'] for run in experiment['runs'])}")
    return experiment


def follow(http: httpx2.Client, experiment_id: int) -> dict[str, Any]:
    """Show live progress until the experiment ends."""
    columns = (TextColumn("{task.description:9}"), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn())
    with Progress(*columns, console=CONSOLE) as bars:
        tasks: dict[int, TaskID] = {}
        said = Said()
        while True:
            experiment = call(http, "GET", f"/experiments/{experiment_id}")
            for item in experiment["runs"]:
                if item["id"] not in tasks:
                    tasks[item["id"]] = bars.add_task(item["kind"], total=None, state="", start=False)
                _show_run(bars, tasks[item["id"]], item, said)
            if experiment["status"] not in {"queued", "running"}:
                break
            time.sleep(0.5)
    for item in experiment["runs"]:
        if item["status"] == "failed":
            CONSOLE.print(f"[red]{item['kind']} failed:[/red] {item['reason']}")
    return experiment


@dataclass
class Said:
    """When progress was last printed as a line, where there is no terminal to redraw."""

    at: float = 0.0


def _show_run(bars: Progress, task: TaskID, item: dict[str, Any], said: Said) -> None:
    now = item["progress"]
    if now is None:
        bars.update(task, state=item["status"])
        return
    bars.start_task(task)
    text = f"step {now['step']}/{now['total_steps']} loss {now['loss']:.4f} {now['samples_per_second']:.0f} rows/s"
    bars.update(task, total=now["total_steps"], completed=now["step"], state=f"{item['status']} {text}")
    if item["status"] != "running":
        bars.stop_task(task)
    elif not CONSOLE.is_terminal and time.monotonic() - said.at > LINE_EVERY_S:
        said.at = time.monotonic()
        CONSOLE.print(f"  {item['kind']}: {text}, {now['seconds_left']:.0f} s left")


def post_score(http: httpx2.Client, experiment: dict[str, Any], answers: Path | None) -> None:
    """What a user does after the contest has answered. The sample's test file has answers, so it is a real score;

    for a user's own file there is no contest to ask, so the valid score stands in, and its remark says so.
    """
    if answers is not None:
        finetune = experiment["runs"][-1]["id"]
        text = _raw(http, f"/runs/{finetune}/artifacts/test_predictions.tsv").decode()
        predicted = [float(line) for line in text.split("\n") if line]
        value = round(float(roc_auc_score([int(line) for line in answers.read_text().split()], predicted)), 6)
        note = "AUC on the sample's own answers"
    else:
        value = next(s["value"] for s in experiment["scores"] if (s["split"], s["metric"]) == ("valid", "roc_auc"))
        value, note = round(value, 4), "sample: the valid score stands in for a contest's answer"
    key = {"Idempotency-Key": str(uuid.uuid4())}
    call(
        http, "POST", f"/experiments/{experiment['id']}/online-scores", json={"value": value, "note": note}, headers=key
    )


def show_table(http: httpx2.Client) -> None:
    """The comparison table, as the leaderboard's REST call answers it."""
    board = call(http, "GET", "/contests/demo/leaderboard?sort=-online")
    table = Table("experiment", "train", "valid", "online", "remark", title=f"{board['contest']} ({board['metric']})")
    for row in board["rows"]:
        cells = [f"{row[split]['value']:.5f}" if row[split] else "–" for split in ("train", "valid", "online")]
        table.add_row(row["name"], *cells, row["online"]["note"] if row["online"] else row["status"])
    CONSOLE.print(table)


def call(http: httpx2.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    """A REST call that must succeed; its answer. Raises AppError with what the server said."""
    answer = http.request(method, f"/api/v1{path}", **more)
    if answer.is_error:
        error = answer.json().get("error", {})
        lines = "".join(f"\n  {item['field']}: {item['message']}" for item in error.get("fields", []))
        raise AppError(f"{method} {path} answered {answer.status_code}: {error.get('message', answer.text)}{lines}")
    found: dict[str, Any] = answer.json()
    return found


def _raw(http: httpx2.Client, path: str) -> bytes:
    answer = http.get(f"/api/v1{path}")
    if answer.is_error:
        raise AppError(f"GET {path} answered {answer.status_code}")
    content: bytes = answer.content
    return content
