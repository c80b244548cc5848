"""`pairboard up`: the web server and one worker as children of one process, that ends them both.

The children hold our pipe as their stdin: should this process be killed, they notice and go. A worker or web server
that dies is started again.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from app import schema
from app.db import Database
from app.errors import AppError
from app.security import require_safe_start
from app.settings import Settings
from app.worker_token import leave_worker_token

STOP_AFTER_S = 28.0
LONGEST_PAUSE_S = 30.0


def run(settings: Settings, *, with_worker: bool = True) -> int:
    """Migrate, start, wait for Ctrl-C or SIGTERM, stop. Raises AppError when it is not safe to start."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database)
    if copy := schema.upgrade(database.write_engine):
        _say(f"migrated; a copy of the database as it was is in {copy}")
    require_safe_start(settings, database)
    _require_free_port(settings)
    leave_worker_token(settings, database)
    database.dispose()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    children = [Child("web", [sys.executable, "-m", "app", "web", "--die-with-parent"], {})]
    if with_worker:
        children.append(
            Child(
                "worker",
                [sys.executable, "-m", "worker", "--die-with-parent"],
                {"PAIRBOARD_WORKER_SERVER": settings.own_url},
            )
        )
    _say(
        f"pairboard on http://{settings.host}:{settings.port} (data in {settings.data_dir.resolve()}; Ctrl-C stops it)"
    )
    try:
        children[0].keep_running()
        _until_it_listens(settings, stop)  # a worker that starts first would report that the server is away
        while not stop.wait(0.2):
            for child in children:
                child.keep_running()
    finally:
        for child in reversed(children):  # the worker first: it tells the web server that its run goes back
            child.stop()
    return 0


def _require_free_port(settings: Settings) -> None:
    """Or the web server would be started again and again in vain. Raises AppError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        raise AppError(
            f"{settings.host}:{settings.port} can't be listened on ({error.strerror}): stop what listens there, or "
            "choose another PAIRBOARD_PORT"
        ) from error


def _until_it_listens(settings: Settings, stop: threading.Event) -> None:
    """Wait for the web server's port, but not for ever: a worker does without it for a while."""
    deadline = time.monotonic() + STOP_AFTER_S
    while time.monotonic() < deadline and not stop.wait(0.1):
        with contextlib.suppress(OSError), socket.create_connection((settings.own_host, settings.port), timeout=1):
            return


@dataclass
class Child:
    """A process that should run; started again when it dies, after a pause that grows while it keeps dying."""

    name: str
    command: list[str]
    extra_env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause: float = 0.5

    def keep_running(self) -> None:
        """Start it, or start it again."""
        now = time.monotonic()
        if self.process is not None:
            code = self.process.poll()
            if code is None:
                if now - self.started_at > 60:
                    self.pause = 0.5
                return
            if now - self.started_at < self.pause:
                return
            self._close()
            _say(f"{self.name} ended ({code}); starting it again")
            self.pause = min(self.pause * 2, LONGEST_PAUSE_S)
        self.started_at = now
        # its own session: Ctrl-C in the terminal reaches us alone, and we stop the children in order
        self.process = subprocess.Popen(
            self.command, env={**os.environ, **self.extra_env}, stdin=subprocess.PIPE, start_new_session=True
        )

    def stop(self) -> None:
        """SIGTERM, then after a while SIGKILL to whatever it started."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_AFTER_S)
        except subprocess.TimeoutExpired:
            _say(f"{self.name} does not stop; killing it")
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
