"""The place that is attacked: the app as it is bound to the network, and one on loopback, each with something to lose.

Attacks change nothing that others of the table look at; what they need beside this they make themselves.
"""

import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from app.accounts import queries, tokens
from app.accounts import service as accounts
from app.accounts.access import Role
from app.contests import queries as contests
from app.db import Database
from app.main import create_app
from app.settings import Settings
from tests.factories import TINY, contest_over_http, experiment_over_http, pair_text

HOST = "bench.example"
PASSWORD = "correct horse battery"
#: what a page must never hold as an element, however it got there
PAYLOAD = (
    "<script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a>\"'><svg/onload=alert(1)>"
)


@dataclass
class House:
    """Clients of both apps, and the keys to them."""

    app: FastAPI
    local_app: FastAPI
    folder: Path
    member: TestClient
    stranger: TestClient
    local: TestClient
    worker_token: str
    member_token: str
    runs: list[int] = field(default_factory=list)
    secret: str = "s" * 40
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def worker(self) -> dict[str, str]:
        """Headers of a worker."""
        return {"Authorization": f"Bearer {self.worker_token}"}

    def claimed(self, seed: int) -> tuple[int, dict[str, str]]:
        """A run under way, of an experiment of its own, and the headers of its attempt."""
        config = {**TINY, "pretrain": None, "seed": seed}
        run: int = experiment_over_http(self.member, name=f"seed {seed}", config=config)["runs"][0]["id"]
        who = {"worker": f"w{seed}", "boot_id": "boot-one"}
        answer = self.stranger.post(f"/api/v1/runs/{run}/claim", json=who, headers=self.worker)
        assert answer.status_code == 200, answer.text
        return run, {"Authorization": f"Bearer {answer.json()['token']}"}

    def browser(self, ip: str = "10.0.0.7", host: str = HOST) -> TestClient:
        """One more, nobody signed in."""
        return TestClient(self.app, base_url=f"http://{host}", client=(ip, 4000), follow_redirects=False)

    def address(self) -> str:
        """One from which nobody came so far: tries of passwords are counted by it."""
        number = next(self.numbers)
        return f"10.9.{number // 250}.{number % 250}"

    def person(self, role: Role = "member", name: str = "") -> TestClient:
        """A member of this role, signed in from an address of their own. `headers["x-name"]` is the name."""
        name = name or f"{role} {next(self.numbers)}"
        with self.app.state.database.writing() as session:
            known = queries.member_by_name(session, "ada")
            assert known is not None
            # a password takes long to hash, on purpose, and here it is always the same
            made = accounts.add_known_elsewhere(session, name)
            made.password_hash, made.role = known.password_hash, role
        browser = self.browser(self.address())
        browser.headers["x-name"] = name
        assert self.signs_in(browser, name).status_code == 303
        return browser

    @staticmethod
    def of_name(session: Any, name: str) -> Any:
        """The row of a member."""
        found = queries.member_by_name(session, name)
        assert found is not None
        return found

    def number_of(self, browser: TestClient) -> int:
        """Of a person's account."""
        with self.app.state.database.reading() as session:
            number: int = self.of_name(session, browser.headers["x-name"]).id
        return number

    @staticmethod
    def signs_in(browser: TestClient, name: str, password: str = PASSWORD) -> Any:
        """Tries to."""
        return browser.post("/sign-in", data={"name": name, "password": password})

    def thief(self, browser: TestClient) -> TestClient:
        """Somebody elsewhere, with the cookies that this browser has now."""
        made = self.browser(self.address())
        for name, value in browser.cookies.items():
            made.cookies.set(name, value, domain=HOST)
        return made

    def token(self, *scopes: str, of: TestClient | None = None, contest: str = "", **more: Any) -> dict[str, str]:
        """Headers of a program with a new token, of a person if one is named."""
        with self.app.state.database.writing() as session:
            bound = contests.contest(session, contest).id if contest else None
            maker = self.of_name(session, of.headers["x-name"]).id if of else None
            asked = tokens.Wanted(f"token {next(self.numbers)}", scopes, bound, more.get("days"), maker)
            plain = tokens.issue(session, asked)[1]
        return {"Authorization": f"Bearer {plain}"}


def prepared(folder: Path, url: str, **changes: Any) -> FastAPI:
    """An app on a migrated database with its files in this folder; beyond loopback with a member."""
    settings = Settings(data_dir=folder, database_url=url, sweep_seconds=600, **changes)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if not settings.on_loopback:
        database = Database(settings.database)
        with database.writing() as session:
            accounts.add_member(session, "ada", PASSWORD)
        database.dispose()
    return create_app(settings)


def built(folder: Path, url: str, local_url: str) -> House:
    """Both apps, each on a migrated database of its own; ada has signed in, and has a contest with an experiment, as
    the local user does."""
    app = prepared(folder / "public", url, host="0.0.0.0", secret="s" * 40, allowed_hosts=HOST)
    local_app = prepared(folder / "local", local_url)
    with app.state.database.writing() as session:
        worker, member = (accounts.issue_token(session, name, name) for name in ("worker", "member"))

    def client(of: FastAPI, ip: str, host: str) -> TestClient:
        return TestClient(of, base_url=f"http://{host}", client=(ip, 4000), follow_redirects=False)

    house = House(
        app=app,
        local_app=local_app,
        folder=folder,
        member=client(app, "10.0.0.9", HOST),
        stranger=client(app, "10.0.0.66", HOST),
        local=client(local_app, "127.0.0.1", "127.0.0.1:8000"),
        worker_token=worker,
        member_token=member,
    )
    signed = house.signs_in(house.member, "ada")
    assert signed.status_code == 303, signed.text
    for inside in (house.member, house.local):
        contest_over_http(inside)
        made = experiment_over_http(inside, config={**TINY, "pretrain": None})
        house.runs.append(made["runs"][0]["id"])
        assert inside.post("/api/v1/contests", json={"name": "Other", "slug": "other"}).status_code == 201
        files = {"file": ("train.tsv", pair_text(60, seed=2).encode())}
        assert inside.post("/api/v1/contests/other/files", files=files, data={"kind": "train"}).status_code == 201
        experiment_over_http(inside, slug="other", config={**TINY, "pretrain": None})
    return house


def refused(answer: Any, *statuses: int) -> str:
    """Assert that it was; its text."""
    assert answer.status_code in (statuses or (400, 401, 403, 404, 409, 413, 422)), (answer.status_code, answer.text)
    text: str = answer.text
    return text


class Dangers(HTMLParser):
    """What a browser would run of a page: inline scripts, handlers, addresses of scripts, inline styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._script = tag == "script" and "src" not in given
        if tag in {"iframe", "object", "embed", "base"}:
            self.found.append(tag)
        for name, value in attrs:
            bare = re.sub(r"[\x00-\x20]", "", value or "").lower()
            if name.startswith("on") or name == "style" or bare.startswith(("javascript:", "data:text", "vbscript:")):
                self.found.append(f"<{tag} {name}={value}>")
            if name in {"src", "href"} and tag in {"script", "link", "img"} and "//" in bare:
                self.found.append(f"<{tag} {name}={value}>")

    def handle_data(self, data: str) -> None:
        if self._script and data.strip():
            self.found.append(f"<script>{data[:80]}")

    def handle_endtag(self, tag: str) -> None:
        self._script = self._script and tag != "script"


def dangers(html: str) -> list[str]:
    """Of a page."""
    reader = Dangers()
    reader.feed(html)
    return reader.found
