"""What the tests of sealed contests share."""

import pytest
from starlette.testclient import TestClient

from tests.app.sealed.house import House


@pytest.fixture
def house(client: TestClient, worker_headers: dict[str, str]) -> House:
    """Nothing sealed yet."""
    return House(client, worker_headers)
