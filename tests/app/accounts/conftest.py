"""The app bound to every address, and browsers that visit it."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import schema
from app.accounts import service
from app.db import Database
from app.main import create_app
from app.settings import Settings

PASSWORD = "correct horse battery"
Visit = Callable[..., TestClient]


@pytest.fixture
def public(settings: Settings) -> Iterator[FastAPI]:
    """The app bound to every address, with an owner named ada."""
    outside = {"host": "0.0.0.0", "secret": type(settings.secret)("s" * 40), "allowed_hosts": "bench.example"}
    settings = settings.model_copy(update=outside)
    settings.data_dir.mkdir(parents=True)
    database = Database(settings.database)
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        service.add_member(session, "ada", PASSWORD)
    database.dispose()
    app = create_app(settings)
    yield app
    app.state.database.dispose()


def browser(app: FastAPI, ip: str = "10.0.0.9", scheme: str = "http") -> TestClient:
    """Somebody at this address."""
    agent = {"User-Agent": "Firefox on a test"}
    base = f"{scheme}://bench.example"
    return TestClient(app, base_url=base, client=(ip, 4000), follow_redirects=False, headers=agent)
