"""Signing in is slowed down where it fails, for the account and the address, and never for good."""

from datetime import timedelta

import pytest
from fastapi import FastAPI
from httpx2 import Response
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.accounts import throttle
from app.accounts.models import SignInTry
from app.db import clock
from app.errors import TooMany
from tests.app.accounts.conftest import PASSWORD, browser


def attempt(client: TestClient, password: str, name: str = "ada") -> Response:
    return client.post("/sign-in", data={"name": name, "password": password})


def wait(app: FastAPI, seconds: float) -> None:
    """As if time had passed."""
    with app.state.database.writing() as session:
        for row in session.scalars(select(SignInTry)):
            if row.until > row.last_at:
                row.until -= timedelta(seconds=seconds)
            row.last_at -= timedelta(seconds=seconds)
            row.succeeded_at = row.succeeded_at and row.succeeded_at - timedelta(seconds=seconds)


def test_after_a_few_failures_even_the_right_password_waits_for_a_while(public: FastAPI) -> None:
    client = browser(public)
    for _ in range(throttle.PAIR.free + 1):
        assert attempt(client, "wrong").status_code == 401
    wait(public, -60)  # or a slow machine is past the 2 seconds before it tries
    refused = attempt(client, PASSWORD)
    assert refused.status_code == 429
    assert 30 < int(refused.headers["retry-after"]) <= 62
    assert f"wait {refused.headers['retry-after']} seconds" in refused.text
    assert attempt(browser(public, "10.0.0.10"), PASSWORD).status_code == 303, "from elsewhere it goes on"
    wait(public, 63)
    assert attempt(client, PASSWORD).status_code == 303
    assert attempt(client, "wrong").status_code == 401, "and all is forgotten"


def fail(session: Session, name: str, address: str, times: int) -> None:
    """Failed tries, each as soon as it is allowed."""
    for _ in range(times):
        for row in session.scalars(select(SignInTry)):
            row.until = row.last_at
        throttle.admit(session, name, address)


def delay(session: Session, name: str, address: str) -> float:
    """What the next try has to wait for."""
    with pytest.raises(TooMany) as found:
        throttle.admit(session, name, address)
    return found.value.seconds


def test_delays_double_up_to_a_limit_and_end(session: Session) -> None:
    waits = []
    for count in range(1, 13):
        fail(session, "ada", "10.0.0.9", throttle.PAIR.free + 1 if count == 1 else 1)
        waits.append(delay(session, "ada", "10.0.0.9"))
    assert waits == pytest.approx([2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900], abs=1)
    for row in session.scalars(select(SignInTry)):
        row.last_at -= throttle.FORGOTTEN_AFTER
        row.until -= throttle.FORGOTTEN_AFTER
    throttle.admit(session, "ada", "10.0.0.9")
    assert max(session.scalars(select(SignInTry.failures))) == 1, "after a day it begins anew"


def test_strangers_from_everywhere_do_not_keep_the_owner_out(session: Session) -> None:
    throttle.succeeded(session, "ada", "10.0.0.9")
    for number in range(throttle.ACCOUNT.free + 5):
        fail(session, "ada", f"10.1.0.{number}", 1)
    assert delay(session, "ada", "10.2.0.1") == pytest.approx(32, abs=1), "a new address waits"
    assert throttle.ACCOUNT.most <= 60, "and never long"
    throttle.admit(session, "ada", "10.0.0.9")
    throttle.succeeded(session, "ada", "10.0.0.9")
    throttle.admit(session, "ada", "10.2.0.1")


def test_one_address_that_tries_many_accounts_is_slowed_down(session: Session) -> None:
    for number in range(throttle.ADDRESS.free + 3):
        fail(session, f"name {number}", "10.0.0.9", 1)
    assert delay(session, "someone else", "10.0.0.9") == pytest.approx(8, abs=1)
    throttle.admit(session, "someone else", "10.0.0.10")


def test_what_is_forgotten_goes(session: Session) -> None:
    throttle.admit(session, "ada", "10.0.0.9")
    throttle.succeeded(session, "ben", "10.0.0.9")
    now = clock(session)
    throttle.clear(session, now + throttle.FORGOTTEN_AFTER * 2)
    assert len(session.scalars(select(SignInTry)).all()) == 1, "that ben was here counts for longer"
    throttle.clear(session, now + throttle.OWN_FOR * 2)
    assert session.scalars(select(SignInTry)).all() == []
