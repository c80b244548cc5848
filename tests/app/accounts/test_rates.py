"""A token makes no more requests in any minute than it may, and is told how long to wait."""

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.errors import TooMany
from app.rates import Rates


class Clock:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def let(
    rates: Rates, clock: Clock, seconds: float, step: float, token: int = 1, *, worker: bool = False
) -> list[float]:
    """When requests got through that come every `step` seconds."""
    through = []
    for _ in range(round(seconds / step)):
        try:
            rates.take(token, worker=worker)
            through.append(clock.now)
        except TooMany:
            pass
        clock.now += step
    return through


def test_no_minute_holds_more_than_the_limit() -> None:
    clock = Clock()
    through = let(Rates(60, 1, clock), clock, 300, 0.1)
    for start in range(2400):
        assert sum(start / 10 <= moment < start / 10 + 60 for moment in through) <= 61
    assert len(through) == pytest.approx(10 + 50 * 5, abs=2), "it is poured in steadily"


def test_a_steady_program_below_the_limit_is_never_refused() -> None:
    clock = Clock()
    assert len(let(Rates(60, 1, clock), clock, 600, 60 / 50)) == 500


def test_each_token_for_itself_and_workers_ten_times() -> None:
    clock = Clock()
    rates = Rates(60, 1, clock)
    assert len(let(rates, clock, 0.5, 0.01, token=1)) == len(let(rates, clock, 0.5, 0.01, token=2)) == 10
    assert len(let(rates, clock, 0.9, 0.001, token=3, worker=True)) == pytest.approx(107, abs=3)
    assert len(let(Rates(0, 1, clock), clock, 10, 0.001)) == 10_000, "0: any number"


def test_several_processes_share_the_limit() -> None:
    clock = Clock()
    parts = [let(Rates(60, 4, clock), clock, 120, 0.1) for _ in range(4)]
    assert sum(map(len, parts)) <= 2 * 60 + 4 * 3


def test_the_answer_says_how_long(app: FastAPI, client: TestClient) -> None:
    token = client.post("/api/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json()["token"]
    app.state.rates = Rates(6, 1, Clock())
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v1/me", headers=headers).status_code == 200
    refused = client.get("/api/v1/me", headers=headers)
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "12"
    assert "more than 6 requests a minute" in refused.json()["error"]["message"]
    assert client.get("/api/v1/me").status_code == 200, "people are not counted"
