"""Passwords that are guessed, names that are found out, and who is locked out by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from sqlalchemy import select

from app.accounts import service, throttle
from app.accounts.models import SignInTry
from app.db import clock
from app.main import create_app
from tests.security.house import HOST, PASSWORD, House, refused
from tests.security.table import attack

WRONG = "wrong wrong wrong"


def tries(house: House, ip: str, name: str, password: str = WRONG) -> Any:
    return house.signs_in(house.browser(ip), name, password)


def fails(house: House, name: str, ip: str, times: int) -> None:
    """As often, each try as soon as it is allowed; by the throttle itself, that no password need be hashed."""
    with house.app.state.database.writing() as session:
        for _ in range(times):
            for row in session.scalars(select(SignInTry)):
                row.until = row.last_at
            throttle.admit(session, name, ip)


def waits(house: House, name: str, ip: str) -> float:
    """How long the next try has to wait, 0 for not at all."""
    with house.app.state.database.writing() as session:
        now = clock(session)
        keys = list(throttle._keys(name, ip))
        found = session.scalars(select(SignInTry).where(SignInTry.key.in_(keys)))
        return max(0.0, *((row.until - now).total_seconds() for row in found), 0.0)


@contextmanager
def behind(house: House, proxies: str) -> Iterator[Any]:
    """The same rows, with proxies that are trusted."""
    settings = house.app.state.settings.model_copy(update={"trusted_proxies": proxies})
    made = create_app(settings)
    kept, house.app = house.app, made
    try:
        yield made
    finally:
        house.app = kept
        made.state.database.dispose()


@attack("guessing: many passwords of one account from one address")
def one_account(house: House) -> None:
    victim, thief = house.person(), house.address()
    name = victim.headers["x-name"]
    for _ in range(throttle.PAIR.free + 1):
        refused(tries(house, thief, name), 401)
    fails(house, name, thief, 5)
    answer = tries(house, thief, name, PASSWORD)
    refused(answer, 429)
    assert int(answer.headers["retry-after"]) > 30, "even the right one waits"
    assert "pairboard_session" not in answer.headers.get("set-cookie", "")
    assert victim.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303, "the owner does not"


@attack("guessing: one account from everywhere, to find its password or to lock its owner out")
def from_everywhere(house: House) -> None:
    victim = house.person()
    name = victim.headers["x-name"]
    for number in range(throttle.ACCOUNT.free + 12):
        fails(house, name, f"10.8.0.{number}", 1)
    refused(tries(house, house.address(), name, PASSWORD), 429)
    assert waits(house, name, house.address()) <= throttle.ACCOUNT.most <= 60, "never for long"
    assert victim.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303


@attack("guessing: one password for many accounts from one address")
def many_accounts(house: House) -> None:
    ip, victim = house.address(), house.person()
    for number in range(throttle.ADDRESS.free + 5):
        fails(house, f"somebody {number}", ip, 1)
    refused(tries(house, ip, victim.headers["x-name"], PASSWORD), 429)
    assert tries(house, house.address(), victim.headers["x-name"], PASSWORD).status_code == 303


@attack("guessing: from ever another address of one IPv6 network, which one machine has whole")
def one_network(house: House) -> None:
    victim = house.person()
    for number in range(throttle.ADDRESS.free + 5):
        fails(house, f"somebody {number}", f"2001:db8:1:2::{number:x}", 1)
    refused(tries(house, "2001:db8:1:2:ffff::1", victim.headers["x-name"], PASSWORD), 429)
    assert tries(house, "2001:db8:1:3::1", victim.headers["x-name"], PASSWORD).status_code == 303
    for number in range(throttle.PAIR.free + 4):
        fails(house, victim.headers["x-name"], f"2001:db8:5:6::{number:x}", 1)
    assert waits(house, victim.headers["x-name"], "2001:db8:5:6::9999") > 4


@attack("guessing: X-Forwarded-For of a peer that is no proxy of ours, to begin anew each time")
def forwarded_by_nobody(house: House) -> None:
    for proxies in ("", "10.77.0.1"):
        with behind(house, proxies):
            victim, ip = house.person(), house.address()
            fails(house, victim.headers["x-name"], ip, throttle.PAIR.free + 6)
            for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
                told = {name: "for=203.0.113.5" if name == "Forwarded" else "203.0.113.5"}
                sent = {"name": victim.headers["x-name"], "password": PASSWORD}
                refused(house.browser(ip).post("/sign-in", data=sent, headers=told), 429)


@attack("guessing: X-Forwarded-For with addresses of one's own, through a proxy that is trusted")
def forwarded_by_a_proxy(house: House) -> None:
    with behind(house, "10.77.0.1, 10.77.0.2"):
        victim = house.person()
        sent = {"name": victim.headers["x-name"], "password": PASSWORD}
        fails(house, victim.headers["x-name"], "198.51.100.7", throttle.PAIR.free + 6)
        for invented in ("203.0.113.1", "127.0.0.1", "10.77.0.2", "x", ""):
            told = {"X-Forwarded-For": f"{invented}, 198.51.100.7, 10.77.0.2"}
            refused(house.browser("10.77.0.1").post("/sign-in", data=sent, headers=told), 429)
        others = {"X-Forwarded-For": "198.51.100.8"}
        assert house.browser("10.77.0.1").post("/sign-in", data=sent, headers=others).status_code == 303


@attack("guessing: which names exist, by what is answered and by the work that is done")
def names(house: House) -> None:
    closed, elsewhere, known = house.person(), house.person(), house.person()
    house.member.patch(f"/api/v1/members/{house.number_of(closed)}", json={"left": True})
    with house.app.state.database.writing() as session:
        house.of_name(session, elsewhere.headers["x-name"]).password_hash = ""
    told, work = set(), set()
    for name in ("nobody at all", *(person.headers["x-name"] for person in (closed, elsewhere, known))):
        verify = mock.Mock(wraps=service._HASHER.verify)
        with mock.patch.object(service, "_HASHER", mock.Mock(verify=verify, hash=service._HASHER.hash)):
            answer = tries(house, house.address(), name)
        refused(answer, 401)
        told.add(answer.text.replace(name, "NAME"))
        # the parameters of argon2, by which a hash takes its time, and how often
        work.add(
            (verify.call_count, tuple(call.args[0].rpartition("$")[0].rpartition("$")[0] for call in verify.mock_calls))
        )
    assert len(told) == 1
    assert len(work) == 1, work
    assert next(iter(work))[0] == 1


@attack("guessing: which names exist, by who has to wait")
def names_by_waiting(house: House) -> None:
    known = house.person().headers["x-name"]
    seconds = []
    for name in (known, "nobody is called so"):
        ip = house.address()
        fails(house, name, ip, throttle.PAIR.free + 4)
        answer = tries(house, ip, name)
        seconds.append((answer.status_code, round(int(answer.headers["retry-after"]) / 4)))
    assert seconds[0] == seconds[1]


@attack("guessing: the old password, by a session that was left open")
def old_password(house: House) -> None:
    for path, kind in (("/account/password", "data"), ("/api/v1/me/password", "json")):
        victim = house.person()
        body: dict[str, Any] = {kind: {"old": "wrong wrong wrong", "new": "another password"}}
        right: dict[str, Any] = {kind: {"old": PASSWORD, "new": "another password"}}
        for _ in range(throttle.PAIR.free + 1):
            refused(victim.post(path, **body), 422)
        answer = victim.post(path, **right)
        refused(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        refused(house.signs_in(house.browser(house.address()), victim.headers["x-name"], "another password"), 401)
        elsewhere = house.browser(house.address())
        assert house.signs_in(elsewhere, victim.headers["x-name"]).status_code == 303, "from elsewhere it goes on"
        assert elsewhere.post(path, **right).status_code in {200, 303}


@attack("guessing: a NUL, a megabyte and blanks as a name or a password")
def odd_names(house: House) -> None:
    for form in (
        {"name": "ada\0", "password": PASSWORD},
        {"name": "ada", "password": PASSWORD + "\0"},
        {"name": "a" * 1_000_000, "password": PASSWORD},
        {"name": "ada", "password": "a" * 1_000_000},
        {"name": "", "password": ""},
        {"name": "ADA", "password": PASSWORD},
        {"name": "ada' --", "password": "x"},
    ):
        answer = house.browser(house.address()).post("/sign-in", data=form)
        refused(answer, 401, 413, 422)
        assert len(answer.text) < 100_000, "what was typed does not come back a megabyte long"
    assert HOST  # the same door for all
