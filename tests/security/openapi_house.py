"""The app that tests/security/openapi.py calls: bound to the network, with something behind every address.

Everybody who may call it has a key here, and `restore` brings everything back, whatever was done to it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import schema
from app.accounts import queries, tokens
from app.accounts import service as accounts
from app.contests import queries as contest_queries
from app.db import Database
from app.identity import SESSION_COOKIE
from ml.contract.events import Progress, Scored
from ml.contract.scores import Scores
from tests.conftest import POSTGRES
from tests.factories import TINY, contest_over_http, experiment_over_http, pair_text, upload_over_http
from tests.security.house import HOST, PASSWORD, prepared

ROWS = 60
#: rows of the train file that valid predictions are of
HELD_OUT = range(0, ROWS, 4)
WORKER = {"worker": "w1", "boot_id": "boot-one"}
#: the kinds of token that are made for a program, by what they may do
SCOPES: dict[str, tuple[str, ...]] = {
    "token: read": ("read",),
    "token: submit": ("read", "submit"),
    "token: run": ("read", "submit", "run"),
    "token: worker": ("worker",),
    "token: admin": ("read", "submit", "run", "admin"),
}
PEOPLE = {"owner": "ada", "member": "mel", "viewer": "vic"}


@dataclass
class House:
    """`callers`: what each kind of caller sends; `ids`: what really stands behind the names of parameters."""

    app: FastAPI
    folder: Path
    database_url: str
    callers: dict[str, dict[str, str]] = field(default_factory=dict)
    ids: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def _postgres(self) -> str:
        return "" if self._file else self.database_url.rsplit("/", 1)[1]

    @property
    def _file(self) -> str:
        return self.database_url.removeprefix("sqlite:///") if self.database_url.startswith("sqlite") else ""

    def keep(self) -> None:
        """As it is now it is to be again after each `restore`."""
        self.app.state.database.dispose()
        shutil.copytree(self.folder / "data", self.folder / "kept")
        if self._file:
            shutil.copy(self._file, self.folder / "kept.db")
        else:
            _as(f"{self._postgres}_kept", self._postgres)

    def restore(self) -> None:
        """Rows and files as they were."""
        self.app.state.database.dispose()
        shutil.rmtree(self.folder / "data")
        shutil.copytree(self.folder / "kept", self.folder / "data")
        if self._file:
            for left in ("-wal", "-shm"):
                Path(self._file + left).unlink(missing_ok=True)
            # in its place, not into it: who still has the old one open keeps that, and shares no lock with the new one
            shutil.copy(self.folder / "kept.db", f"{self._file}.new")
            Path(f"{self._file}.new").replace(self._file)
        else:
            _as(self._postgres, f"{self._postgres}_kept")

    def close(self) -> None:
        """Let go of the database, and drop the copy of it."""
        self.app.state.database.dispose()
        if self._postgres:
            with psycopg.connect(POSTGRES, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{self._postgres}_kept" WITH (FORCE)')


def _as(name: str, template: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


@contextmanager
def built(folder: Path, database_url: str) -> Iterator[House]:
    """A house on this database, empty or migrated. Passwords cost next to nothing here."""
    settings = {"host": "0.0.0.0", "secret": "s" * 40, "allowed_hosts": HOST, "token_requests_per_minute": 0}
    with patch.object(accounts, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)):
        database = Database(database_url)
        schema.upgrade(database.write_engine)
        database.dispose()
        house = House(prepared(folder / "data", database_url, **settings), folder, database_url)
        try:
            _furnish(house)
            house.keep()
            yield house
        finally:
            house.close()


def _client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=f"http://{HOST}", client=("10.0.0.9", 4000), follow_redirects=False)


def _furnish(house: House) -> None:
    """Two contests, the second one private; three experiments of the first: two finished, one under way."""
    owner = _signed_in(house, "ada")
    for name, role in (("mel", "member"), ("vic", "viewer")):
        told = {"name": name, "password": PASSWORD, "role": role}
        assert owner.post("/api/v1/members", json=told).status_code == 201
    house.callers = {"nobody": {}, "a guess": _bearer("pb-token-guessed")}
    house.callers |= {kind: _cookie(_signed_in(house, name)) for kind, name in PEOPLE.items()}
    contest_over_http(owner, ROWS)
    contest_over_http(owner, ROWS, slug="theirs")
    assert owner.put("/api/v1/contests/theirs/private", json={"private": True}).status_code == 204
    house.callers |= _tokens(house)
    done = [_experiment(house, owner, seed) for seed in (1, 2)]
    busy, attempt = _claimed(house, owner, 3)
    house.callers["token: attempt"] = _bearer(attempt)
    waiting = experiment_over_http(owner, name="waits", config={**TINY, "seed": 4})
    hidden = experiment_over_http(owner, "theirs", name="hidden", config=TINY)
    _behind_the_rest(house, owner, [*done, busy, waiting, hidden])


def _signed_in(house: House, name: str) -> TestClient:
    client = _client(house.app)
    assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303
    return client


def _cookie(client: TestClient) -> dict[str, str]:
    return {"Cookie": f"{SESSION_COOKIE}={client.cookies[SESSION_COOKIE]}"}


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _tokens(house: House) -> dict[str, dict[str, str]]:
    """Of each scope, one of a contest alone, one that has expired, one that was revoked."""
    found = {}
    with house.app.state.database.writing() as session:
        ada = queries.member_by_name(session, "ada")
        contest = contest_queries.contest(session, "oppo").id
        assert ada is not None
        for name, scopes in SCOPES.items():
            made_by = None if name == "token: worker" else ada.id
            found[name] = tokens.issue(session, tokens.Wanted(name, scopes, member_id=made_by))[1]
        wide = SCOPES["token: run"]
        found["token: of one contest"] = tokens.issue(session, tokens.Wanted("of one", wide, contest))[1]
        expired, found["token: expired"] = tokens.issue(session, tokens.Wanted("old", wide, days=1))
        expired.expires_at = datetime.now(UTC) - timedelta(days=1)
        revoked, found["token: revoked"] = tokens.issue(session, tokens.Wanted("gone", wide))
        tokens.revoke(session, revoked)
    return {name: _bearer(plain) for name, plain in found.items()}


def _claimed(house: House, owner: TestClient, seed: int) -> tuple[dict[str, Any], str]:
    made = experiment_over_http(owner, name=f"row {seed}", config={**TINY, "pretrain": None, "seed": seed})
    run = made["runs"][0]["id"]
    client = _client(house.app)
    answer = client.post(f"/api/v1/runs/{run}/claim", json=WORKER, headers=house.callers["token: worker"])
    assert answer.status_code == 200, answer.text
    progress = Progress(
        stage="finetune",
        step=1,
        total_steps=9,
        epoch=0.1,
        loss=0.7,
        learning_rate=1e-3,
        samples_per_second=9.0,
        seconds_left=8.0,
    )
    _tell(client, run, answer.json()["token"], 1, [progress.model_dump(mode="json")])
    return made, answer.json()["token"]


def _tell(client: TestClient, run: int, token: str, first: int, events: list[dict[str, Any]]) -> None:
    body = {"first": first, "events": events}
    answer = client.post(f"/api/v1/runs/{run}/events", json=body, headers=_bearer(token))
    assert answer.status_code == 200, answer.text


def _experiment(house: House, owner: TestClient, seed: int) -> dict[str, Any]:
    """One that has finished, with its predictions."""
    made, token = _claimed(house, owner, seed)
    run, client = made["runs"][0]["id"], _client(house.app)
    labels = [line.rsplit("\t", 1)[1] for line in pair_text(ROWS).splitlines()]
    valid = "".join(f"{row}\t{labels[row]}\t{(row * seed % 7 + 1) / 10}\n" for row in HELD_OUT)
    test = "".join(f"{(row * seed % 9 + 1) / 11}\n" for row in range(ROWS))
    events = []
    for name, text in (("valid_predictions.tsv", valid), ("test_predictions.tsv", test)):
        sha256 = upload_over_http(client, run, name, text.encode(), _bearer(token))
        events.append({"type": "artifact", "name": name, "path": name, "sha256": sha256, "size": len(text)})
        house.ids.setdefault("sha256", []).append(sha256)
    scores = Scores(roc_auc=0.7 + seed / 100, accuracy=0.7, f1=0.6, log_loss=0.5)
    scored = Scored(split="valid", rows=len(HELD_OUT), scores=scores).model_dump(mode="json")
    _tell(client, run, token, 2, [*events, scored, {"type": "finished", "seconds": 1}])
    return made


def _behind_the_rest(house: House, owner: TestClient, made: list[dict[str, Any]]) -> None:
    """Scores, plans, views, webhooks, invitations, sealed answers, a paused queue, a row in the trash; and the ids."""
    first, second = made[0]["id"], made[1]["id"]
    of = "/api/v1/contests/oppo"

    def put(method: str, path: str, body: dict[str, Any] | None = None, **more: Any) -> Any:
        answer = owner.request(method, path, json=body, **more)
        assert answer.status_code < 300, (path, answer.text)
        return answer.json() if answer.content else None

    score = put("POST", f"/api/v1/experiments/{first}/online-scores", {"value": 0.71, "board": "A"})
    plans = [put("POST", f"/api/v1/experiments/{number}/submissions", {"anyway": True}) for number in (first, second)]
    put("PUT", f"{of}/views/mine", {"sort": "-valid"})
    hooks = [
        put("POST", f"{of}/webhooks", {"url": f"https://93.184.216.{last}/", "events": ["score.best"]})
        for last in (34, 35)
    ]
    put("POST", f"{of}/webhooks/{hooks[0]['id']}/test")
    invited = [put("POST", "/api/v1/invitations", {"role": "member", **more}) for more in ({}, {"contest": "oppo"})]
    answers = "".join(f"{row % 2}\n" for row in range(ROWS)).encode()
    put("POST", f"{of}/sealed", files={"answers": ("answers.txt", answers)}, data={"uploads_a_day": "1000"})
    guesses = "".join(f"{(row % 5 + 1) / 9}\n" for row in range(ROWS)).encode()
    put("POST", f"{of}/sealed/uploads", files={"file": ("mine.tsv", guesses)})
    put("PUT", "/api/v1/queues/night/pause", {"reason": "backup"})
    put("PUT", f"{of}/members/2", {"role": "member"})
    gone = _experiment(house, owner, 5)["id"]
    put("POST", f"{of}/selection", {"ids": [gone], "action": "archive"})
    put("POST", f"{of}/trash", {"ids": [gone]})
    house.ids |= {
        "slug": ["oppo", "oppo", "oppo", "theirs"],
        "experiment_id": [*(item["id"] for item in made), gone],
        "run_id": [run["id"] for item in made for run in item["runs"]],
        "submission_id": [plan["id"] for plan in plans],
        "score_id": [score["id"]],
        "webhook_id": [hook["id"] for hook in hooks],
        "invitation_id": [item["id"] for item in invited],
        "token_id": [item["id"] for item in put("GET", "/api/v1/tokens")],
        "member_id": [item["id"] for item in put("GET", "/api/v1/members")],
        "session_id": [item["id"] for item in put("GET", "/api/v1/me/sessions")],
        "file_id": [item["id"] for item in put("GET", of)["files"]],
    }
    house.ids["sha256"] += [item["sha256"] for item in put("GET", of)["files"]]
