"""The real processes of a set-up: a web server and a worker, started, killed and stopped by a test."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app import schema
from app.db import Database
from app.settings import load
from app.worker_token import leave_worker_token

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 240.0
#: each look has the web process work: as many set-ups as cores would look at themselves half of the time
LOOK_S = 0.3


class SetUp:
    """pairboard on a free port, with its own database, broker and data folder."""

    def __init__(self, folder: Path, **env: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PAIRBOARD_")}
        self.env = {
            **plain,
            "PAIRBOARD_DATA_DIR": str(folder / "data"),
            "PAIRBOARD_PORT": str(port),
            "PAIRBOARD_SWEEP_SECONDS": "0.5",
            "PAIRBOARD_WORKER_SERVER": self.url,
            "PAIRBOARD_WORKER_HEARTBEAT_SECONDS": "1",
            "PAIRBOARD_WORKER_THREADS": "1",
            **env,
        }
        self.http = httpx2.Client(base_url=self.url, timeout=30)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @staticmethod
    def command(*args: str) -> list[str]:
        """`pairboard <args>`."""
        return [sys.executable, "-m", "app", *args]

    def cli(self, *args: str) -> str:
        """`pairboard <args>`: its stdout."""
        done = subprocess.run(self.command(*args), env=self.env, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *args: str) -> str:
        """What `pairboard <args>` says when it does not do it."""
        done = subprocess.run(self.command(*args), env=self.env, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        return done.stderr

    def prepare(self) -> None:
        """As `pairboard setup` does, without the seconds that a process takes to start."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                if name.startswith("PAIRBOARD_"):
                    patch.setenv(name, value)
            settings = load()
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        database = Database(settings.database)
        schema.upgrade(database.write_engine)
        leave_worker_token(settings, database)
        database.dispose()
        self.env["PAIRBOARD_WORKER_TOKEN"] = settings.token_file.read_text().strip()

    def start_web(self) -> None:
        """The web server, until it answers."""
        self._start("web", "app", "web")
        self.until(lambda: self.answers(), "the web server to answer")

    def start_worker(self, name: str = "") -> None:
        """A worker; with a name, one of several."""
        if name:
            self.env["PAIRBOARD_WORKER_NAME"] = name
        self._start(name or "worker", "worker")

    def _start(self, name: str, module: str, *args: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *args], env=self.env, cwd=ROOT, stdout=log, stderr=log
            )

    def answers(self) -> bool:
        """Whether the web server does."""
        try:
            return bool(self.http.get("/health").is_success)
        except httpx2.TransportError:
            return False

    def kill(self, name: str) -> None:
        """kill -9."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def pid(self, name: str) -> int:
        """Of a process that runs."""
        return self._running[name].pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """A signal, without waiting for what it does."""
        self._running[name].send_signal(number)

    def stop(self, name: str) -> int:
        """SIGTERM; the exit code."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(30)

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """Wait until `holds()` is true, and return it; fails with the processes' logs."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for name, process in self._running.items():
                assert process.poll() is None, f"{name} ended with {process.returncode}\n{self.logs()}"
            if found := holds():
                return found
            time.sleep(LOOK_S)
        raise AssertionError(f"waited {PATIENCE_S} s for {what}\n{self.logs()}")

    def logs(self) -> str:
        """What the processes wrote."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-4000:]}" for path in sorted(self.folder.glob("*.log")))

    def experiment(self, number: int) -> dict[str, Any]:
        """GET /api/v1/experiments/{id}."""
        found: dict[str, Any] = self.http.get(f"/api/v1/experiments/{number}").raise_for_status().json()
        return found

    def finished(self, number: int) -> dict[str, Any]:
        """Wait for the experiment's end, which must be a good one."""

        def ended() -> dict[str, Any] | None:
            found = self.experiment(number)
            return found if found["status"] not in {"queued", "running"} else None

        found: dict[str, Any] = self.until(ended, f"experiment {number} to end")
        assert found["status"] == "finished", f"{found}\n{self.logs()}"
        return found

    def close(self) -> None:
        """End whatever still runs."""
        self.http.close()
        for process in self._running.values():
            process.kill()
            process.wait()


@contextmanager
def set_up(folder: Path, **env: str) -> Iterator[SetUp]:
    """A prepared set-up whose processes are gone afterwards."""
    made = SetUp(folder, **env)
    try:
        made.prepare()
        yield made
    finally:
        made.close()
