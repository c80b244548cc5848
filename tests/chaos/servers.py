"""A Postgres and a Redis of one's own, in a folder and on free ports, to be killed at will."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for it, or fail and say for what."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


class Postgres:
    """Made by `create`; `url` is good from `start` on. Not for pytest's tmp_path: each pytest that starts closes its
    folder to the user postgres again."""

    def __init__(self, folder: Path) -> None:
        self._place, self._port = folder / "postgres", free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    @staticmethod
    def find(program: str) -> str | None:
        """One of Postgres's programs: Debian keeps them off the PATH."""
        return shutil.which(program) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{program}")), None)

    def create(self) -> None:
        self._place.mkdir(parents=True)
        if os.geteuid() == 0:
            shutil.chown(self._place, "postgres")
            for parent in self._place.parents[:-1]:  # it must get there
                parent.chmod(parent.stat().st_mode | 0o011)
        options = ["-D", str(self._place), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*self._program("initdb"), *options], check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        self._pg_ctl("start", "-l", str(self._place / "log"), "-o", options)

    def cut_off(self) -> None:
        """As a power cut does."""
        if (self._place / "postmaster.pid").exists():
            self._pg_ctl("stop", "-m", "immediate")

    def _pg_ctl(self, *args: str) -> None:
        """Its word goes to a file: a pipe would stay open as long as the server that it starts."""
        command = [*self._program("pg_ctl"), "-D", str(self._place), "-w", *args]
        said = self._place.with_suffix(".said")
        with said.open("w") as out:
            done = subprocess.run(command, check=False, stdout=out, stderr=out, cwd="/")
        assert done.returncode == 0, f"pg_ctl {args[0]} ended with {done.returncode}: {said.read_text()}"

    def _program(self, name: str) -> list[str]:
        """Postgres refuses to run as root."""
        found = self.find(name)
        assert found is not None, f"no {name}"
        return ["runuser", "-u", "postgres", "--", found] if os.geteuid() == 0 else [found]


class Redis:
    """Without persistence: what was in it when it is killed is lost."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def client(self) -> redis.Redis:
        return redis.Redis(port=self._port)

    def start(self) -> None:
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--save", ""]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, start_new_session=True)
        with self.client() as client:
            until(lambda: _answers(client), "Redis")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def restart_empty(self, draw: random.Random) -> None:
        self.kill()
        time.sleep(draw.random() * 2)
        self.start()


def _answers(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False
