"""What the tests share: databases, rolled-back sessions, a client of the app, and what must exist in CI."""

import gc
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from argon2 import PasswordHasher
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app import schema
from app.accounts import service as accounts
from app.db import Database
from app.main import create_app
from app.settings import Settings
from tests.emptied import Emptied

# Several tests train at once: threads that wait for each other must not keep the cores busy meanwhile.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

CI = bool(os.environ.get("CI"))
POSTGRES = os.environ.get("PAIRBOARD_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("PAIRBOARD_TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
DATABASES = ("sqlite", "postgres")


def missing(reason: str) -> None:
    """Skip with the reason; in CI everything is there, so there it is a failure."""
    if CI:
        pytest.fail(f"CI must have this: {reason}")
    pytest.skip(reason)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that start whole set-ups first, which take minutes: at the end the other processes would wait for them.
    Each of the processes begins with its share, for xdist gives each a piece of the list."""
    whole = [item for item in items if item.path.parent == Path(__file__).parent]
    rest = [item for item in items if item.path.parent != Path(__file__).parent]
    pieces = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    modules = sorted({item.path for item in whole})
    ordered: list[pytest.Item] = []
    for piece in range(pieces):
        own = set(modules[piece::pieces])
        ordered += [item for item in whole if item.path in own]
        ordered += rest[len(rest) * piece // pieces : len(rest) * (piece + 1) // pieces]
    items[:] = ordered


def pytest_collection_finish() -> None:
    """What importing has made stays: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PAIRBOARD_") and not name.startswith("PAIRBOARD_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True, scope="session")
def _quick_passwords() -> Iterator[None]:
    """Argon2 is slow on purpose: here it does the least it can. Processes that tests start do the whole of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data files, beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        missing(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis that answers."""
    try:
        with redis.Redis.from_url(REDIS, socket_connect_timeout=2) as client:
            client.ping()
    except redis.RedisError as error:
        missing(f"no Redis at {REDIS}: {error}")
    return REDIS


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing("no chromium on the PATH")
        raise AssertionError
    return path


def new_postgres(template: str = "template1") -> str:
    """A fresh Postgres database, empty or as the template; dropped by `drop_postgres`."""
    name = f"pairboard_test_{uuid.uuid4().hex[:12]}"
    try:
        with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    except psycopg.OperationalError as error:
        missing(f"no Postgres at {POSTGRES}: {error}")
    return POSTGRES.rsplit("/", 1)[0] + f"/{name}"


def drop_postgres(url: str) -> None:
    """Drop it, whoever is still connected."""
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{url.rsplit("/", 1)[1]}" WITH (FORCE)')


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    url = new_postgres()
    yield url
    drop_postgres(url)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database that nobody writes to: copied in a moment, where migrating takes a second."""
    path = tmp_path_factory.mktemp("migrated") / "migrated.db"
    database = Database(f"sqlite:///{path}")
    schema.upgrade(database.write_engine)
    database.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgres() -> Iterator[str]:
    """The same as the name of a Postgres database, that others are made like."""
    url = new_postgres()
    database = Database(url)
    schema.upgrade(database.write_engine)
    database.dispose()
    yield url.rsplit("/", 1)[1]
    drop_postgres(url)


@pytest.fixture(scope="session")
def emptied(migrated_postgres: str) -> Iterator[Emptied]:
    """The Postgres database that one test after the other has for itself."""
    made = Emptied(lambda: new_postgres(migrated_postgres), drop_postgres)
    yield made
    made.close()


@pytest.fixture(params=DATABASES)
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of each kind, of the test alone."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "migrated.db")
        return f"sqlite:///{tmp_path / 'migrated.db'}"
    lent: str = request.getfixturevalue("emptied").lent()
    return lent


@pytest.fixture(scope="session", params=DATABASES)
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A migrated database of each kind, shared by the tests that roll back."""
    postgres = request.param == "postgres"
    url = new_postgres() if postgres else f"sqlite:///{tmp_path_factory.mktemp('db') / 'shared.db'}"
    database = Database(url)
    schema.upgrade(database.write_engine)
    yield database
    database.dispose()
    if postgres:
        drop_postgres(url)


@pytest.fixture
def session(migrated: Database) -> Iterator[Session]:
    """A session whose work is undone after the test, commits included."""
    with migrated.write_engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as inner:
            yield inner
        outer.rollback()


@pytest.fixture
def settings(tmp_path: Path, migrated_url: str) -> Settings:
    """The embedded defaults in a folder of the test, on each database."""
    return Settings(data_dir=tmp_path / "data", database_url=migrated_url, sweep_seconds=600)


@pytest.fixture
def app(settings: Settings) -> Iterator[FastAPI]:
    """The app on a migrated database. Its sweeper looks too seldom to disturb a test."""
    settings.data_dir.mkdir(parents=True)
    made = create_app(settings)
    yield made
    made.state.database.dispose()


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A browser or program on this machine."""
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000), follow_redirects=False) as made:
        yield made


@pytest.fixture
def worker_headers(app: FastAPI) -> dict[str, str]:
    """What a worker sends to be known."""
    with app.state.database.writing() as session:
        token = accounts.issue_token(session, "test worker", "worker")
    return {"Authorization": f"Bearer {token}"}
