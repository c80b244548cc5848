"""A whole pairboard that may be broken at will: its own Postgres and Redis (or SQLite and files), two web processes,
two workers, and a TCP proxy between workers and web. Everything here belongs to the bench and dies with it."""

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from app.settings import Settings
from tests.chaos.proxy import Proxy
from tests.chaos.servers import Postgres, Redis, free_port

ROOT = Path(__file__).resolve().parents[2]
LEASE_S = 6.0
TMPFS_MB = 64
Pair = Literal["embedded", "servers"]


class Bench:
    """Use as a context. Processes are known by name; `mend` starts what is not there. `small_disk`: why the workers'
    disk can't be filled, empty where it can."""

    def __init__(self, folder: Path, pair: Pair, draw: random.Random) -> None:
        self.folder, self.pair, self.draw = folder, pair, draw
        self.ports = [free_port(), free_port()]
        self.proxy = Proxy(self.ports, draw)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.postgres = Postgres(folder) if pair == "servers" else None
        self.redis = Redis(folder) if pair == "servers" else None
        self.worker_disk = folder / "data" / "worker"
        self.small_disk = ""
        self.settings = Settings(
            data_dir=folder / "data",
            database_url=self.postgres.url if self.postgres else "",
            broker_url=self.redis.url if self.redis else "filesystem://",
            lease_seconds=LEASE_S,
            sweep_seconds=0.5,
        )
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PAIRBOARD_")}
        self.env = {
            **plain,
            "PAIRBOARD_DATA_DIR": str(self.settings.data_dir),
            "PAIRBOARD_BROKER_URL": self.settings.broker_url.get_secret_value(),
            "PAIRBOARD_DATABASE_URL": self.settings.database_url.get_secret_value(),
            "PAIRBOARD_LEASE_SECONDS": str(LEASE_S),
            "PAIRBOARD_SWEEP_SECONDS": str(self.settings.sweep_seconds),
            "PAIRBOARD_WORKER_SERVER": f"http://127.0.0.1:{self.proxy.port}",
            "PAIRBOARD_WORKER_HEARTBEAT_SECONDS": "1",
            "PAIRBOARD_WORKER_THREADS": "1",
            "PAIRBOARD_WORKER_CHECKPOINT_SECONDS": "0.3",
        }

    # -- parts

    def __enter__(self) -> "Bench":
        self.folder.chmod(0o755)
        if self.postgres and self.redis:
            self.postgres.create()
            self.postgres.start()
            self.redis.start()
        self.cli("migrate")
        self.env["PAIRBOARD_WORKER_TOKEN"] = self.cli("token", "add", "chaos", "--scope", "worker").strip()
        self._mount_small_disk()
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        workers = [name for name in self.processes if name.startswith("worker")]
        for name in workers:
            self.signal(name, signal.SIGCONT)
            self.processes[name].terminate()
        for name in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.processes[name].wait(30)
        for name in self.processes:
            self.kill(name)
        if self.postgres and self.redis:
            self.postgres.cut_off()
            self.redis.kill()
        self.proxy.close()
        if not self.small_disk:  # lazily: it goes when the last file of it is closed
            subprocess.run(["umount", "-l", str(self.worker_disk)], check=False)

    def _mount_small_disk(self) -> None:
        """A disk that can be filled, for the workers; only root may mount one."""
        self.worker_disk.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "chaos", str(self.worker_disk)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            self.small_disk = f"no tmpfs can be mounted (root with CAP_SYS_ADMIN may): {done.stderr.strip()}"

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

    def start_worker(self, name: str, **env: str) -> None:
        self.start(name, [sys.executable, "-m", "worker"], PAIRBOARD_WORKER_NAME=f"w{name[-1]}", **env)

    def mend(self) -> None:
        """Start every web process and worker that is not there, as a supervisor does."""
        for number, port in enumerate(self.ports):
            if not self.runs(f"web{number}"):
                self.start(f"web{number}", [sys.executable, "-m", "app", "web"], PAIRBOARD_PORT=str(port))
        for name in ("worker0", "worker1"):
            if not self.runs(name):
                self.start_worker(name)

    def runs(self, name: str) -> bool:
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def signal(self, name: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.processes[name].send_signal(number)

    def kill(self, name: str) -> bool:
        """kill -9. Whether there was something to kill."""
        lived = self.runs(name)
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait()
        return lived

    def trainers(self) -> list[int]:
        """Processes that work in a folder of an attempt."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").resolve().is_relative_to(self.worker_disk):
                    found.append(int(entry.name))
        return found

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log")))


@contextlib.contextmanager
def bench(folder: Path, pair: Pair, draw: random.Random) -> Iterator[Bench]:
    folder.mkdir(parents=True)
    with Bench(folder, pair, draw) as made:
        yield made
