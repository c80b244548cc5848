"""A whole pairboard that may be broken at will: its own Postgres and Redis (or SQLite and files), two web processes,
two workers, and a TCP proxy between workers and web. Everything here belongs to the bench and dies with it."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx2
import redis

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = 6.0
Pair = Literal["embedded", "servers"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Proxy:
    """Passes TCP connections on to one of several ports; told to, it refuses, delays or cuts them."""

    def __init__(self, targets: list[int], draw: random.Random) -> None:
        self.mode: Literal["ok", "refuse", "delay", "cut"] = "ok"
        self._targets, self._draw = targets, draw
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        if self.mode == "refuse":
            client.close()
            return
        for port in self._draw.sample(self._targets, len(self._targets)):
            with contextlib.suppress(OSError):
                web = socket.create_connection(("127.0.0.1", port), timeout=2)
                break
        else:
            client.close()
            return
        web.settimeout(None)
        self._open.add(web)
        for source, target in ((client, web), (web, client)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        left = self._draw.randrange(1, 200_000)  # bytes that a connection in mode cut passes before it breaks
        with contextlib.suppress(OSError):
            while data := source.recv(16_384):
                if self.mode == "delay":
                    time.sleep(self._draw.random())
                left -= len(data)
                if self.mode == "refuse" or (self.mode == "cut" and left < 0):
                    break
                target.sendall(data)
                self.passed(source, len(data))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
            self._open.discard(end)

    def passed(self, source: socket.socket, size: int) -> None:
        """Called for bytes that went through."""

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for end in list(self._open):
            end.close()


class Bench:
    """Use as a context. Processes are known by name; `alive` says which should run, `mend` starts what does not."""

    def __init__(self, folder: Path, pair: Pair, draw: random.Random) -> None:
        self.folder, self.pair, self.draw = folder, pair, draw
        self.ports = [free_port(), free_port()]
        self.proxy = Proxy(self.ports, draw)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.redis_port, self.postgres_port = free_port(), free_port()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PAIRBOARD_")}
        self.env = {
            **plain,
            "PAIRBOARD_DATA_DIR": str(folder / "data"),
            "PAIRBOARD_LEASE_SECONDS": str(LEASE_S),
            "PAIRBOARD_SWEEP_SECONDS": "0.5",
            "PAIRBOARD_WORKER_SERVER": f"http://127.0.0.1:{self.proxy.port}",
            "PAIRBOARD_WORKER_HEARTBEAT_SECONDS": "1",
            "PAIRBOARD_WORKER_THREADS": "1",
            "PAIRBOARD_WORKER_CHECKPOINT_SECONDS": "0.3",
            "PAIRBOARD_ALLOWED_HOSTS": "127.0.0.1",
        }
        if pair == "servers":
            self.env["PAIRBOARD_DATABASE_URL"] = f"postgresql://postgres@127.0.0.1:{self.postgres_port}/postgres"
            self.env["PAIRBOARD_BROKER_URL"] = f"redis://127.0.0.1:{self.redis_port}/0"

    # -- parts

    def __enter__(self) -> "Bench":
        self.folder.chmod(0o755)
        if self.pair == "servers":
            self._init_postgres()
            self.start_postgres()
            self.start_redis()
        self.cli("migrate")
        self.env["PAIRBOARD_WORKER_TOKEN"] = self.cli("token", "add", "chaos", "--scope", "worker").strip()
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        for name in [name for name in self.processes if name.startswith("worker")]:
            self.signal(name, signal.SIGCONT)
            self.processes[name].terminate()
        for name, process in self.processes.items():
            if name.startswith("worker"):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(30)
            process.kill()
            process.wait()
        if self.pair == "servers":
            self._pg_ctl("stop", "-m", "immediate")
        self.proxy.close()

    def cli(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "app", *args], env=self.env, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, name: str, command: list[str], **env: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env={**self.env, **env}, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def mend(self) -> None:
        """Start every web process and worker that is not there, as a supervisor does."""
        for number, port in enumerate(self.ports):
            if not self.runs(f"web{number}"):
                self.start(f"web{number}", [sys.executable, "-m", "app", "web"], PAIRBOARD_PORT=str(port))
        for number in range(2):
            if not self.runs(f"worker{number}"):
                self.start(f"worker{number}", [sys.executable, "-m", "worker"], PAIRBOARD_WORKER_NAME=f"w{number}")

    def runs(self, name: str) -> bool:
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def signal(self, name: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait()

    def trainers(self) -> list[int]:
        """Processes that work in a folder of an attempt."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").resolve().is_relative_to(self.folder / "data" / "worker"):
                    found.append(int(entry.name))
        return found

    # -- servers

    def start_redis(self) -> None:
        """Empty: what was in it is lost."""
        command = ["redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--save", ""]
        self.start("redis", command)
        with redis.Redis(port=self.redis_port) as client:
            _until(lambda: _answers(client), "Redis")

    def _as_postgres(self) -> list[str]:
        """Postgres refuses to run as root."""
        return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def _pg(self, program: str) -> str:
        found = shutil.which(program) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{program}")), None)
        assert found is not None, f"no {program}"
        return found

    def _init_postgres(self) -> None:
        place = self.folder / "postgres"
        place.mkdir()
        if os.geteuid() == 0:
            shutil.chown(place, "postgres")
            for parent in place.parents[:-1]:  # it must get there
                parent.chmod(parent.stat().st_mode | 0o011)
        subprocess.run(
            [*self._as_postgres(), self._pg("initdb"), "-D", str(place), "-U", "postgres", "-A", "trust", "-E", "UTF8"],
            check=True,
            capture_output=True,
            cwd="/",
        )

    def _pg_ctl(self, *args: str) -> None:
        place = self.folder / "postgres"
        command = [*self._as_postgres(), self._pg("pg_ctl"), "-D", str(place), "-w", *args]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def start_postgres(self) -> None:
        options = f"-p {self.postgres_port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._pg_ctl("start", "-l", str(self.folder / "postgres" / "log"), "-o", options)

    def restart_postgres(self) -> None:
        """As after a power cut."""
        self._pg_ctl("stop", "-m", "immediate")
        time.sleep(self.draw.random() * 2)
        self.start_postgres()

    # -- people

    def people(self) -> httpx2.Client:
        """They reach the first web process that answers, past the proxy."""
        return httpx2.Client(timeout=10)

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _until(holds: object, what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"{what} does not answer"
        time.sleep(0.1)


@contextlib.contextmanager
def bench(folder: Path, pair: Pair, draw: random.Random) -> Iterator[Bench]:
    folder.mkdir(parents=True)
    with Bench(folder, pair, draw) as made:
        yield made
