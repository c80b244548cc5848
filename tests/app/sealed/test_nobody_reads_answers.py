"""Every route of the app, called by everyone who can call any, with names and bodies that might fetch or provoke
answers: in no reply, log line or row is any of them. And the test finds them where they are."""

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select
from starlette.testclient import TestClient

from app.db import Base
from app.sealed import answers
from app.sealed.automatic import score_finished
from app.settings import Settings
from tests.app.sealed.house import LABELS, ROWS, URL, House, answers_text, file_of, headers_of, predictions
from tests.factories import TINY, experiment_over_http

#: by chance so many zeros and ones stand nowhere in the order of the answers
RUN = 32
SECRETS = ["".join(map(str, LABELS[first : first + RUN].tolist())).encode() for first in range(ROWS - RUN + 1)]
BUT_DIGITS = bytes(set(range(256)) - set(b"01"))
#: streams that end with the run alone
ENDLESS = re.compile(r"/stream$")


def leaked(content: bytes) -> bool:
    """Whatever stands between the answers: line ends, commas, brackets, tags, keys, or nothing."""
    words = content.replace(b"true", b"1").replace(b"false", b"0")
    labels = b"".join(re.findall(rb"label\W{1,4}([01])\b", words))
    found = (words.translate(None, BUT_DIGITS), words.replace(b".0", b"").translate(None, BUT_DIGITS), labels)
    return any(secret in text for secret in SECRETS for text in found) or bytes(LABELS[:RUN].astype("int8")) in content


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """With those of the routers that the app includes."""
    waiting: list[Any] = list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            yield route
        inside = getattr(route, "original_router", None)
        if inside is not None:
            waiting += inside.routes


def addresses(route: APIRoute, fills: dict[str, list[str]]) -> list[str]:
    """The route's path with each name filled in; one address for each thing that a name may stand for."""
    names = re.findall(r"\{(\w+)(?::path)?\}", route.path)
    found = [route.path]
    for name in names:
        found = [re.sub(rf"\{{{name}(:path)?\}}", fill, item) for item in found for fill in fills[name]]
    return found


@pytest.fixture
def everyone(house: House, app: FastAPI, settings: Settings) -> dict[str, dict[str, str]]:
    """A sealed contest with uploads, scored runs and a run at work; who there is and what each of them sends."""
    house.make(uploads_a_day=500)
    ann = headers_of(house.client, "ann")
    house.send(file_of(predictions(1)), ann)
    house.send(b"0.5\nx\n", ann)
    house.finish(predictions(2), seed=2)
    score_finished(app.state.database, app.state.storage, answers.folder_of(settings))
    made = experiment_over_http(house.client, name="at work", config={**TINY, "pretrain": None, "seed": 3})
    body = {"worker": "w1", "boot_id": "boot-one"}
    run = made["runs"][0]["id"]
    claim = house.client.post(f"/api/v1/runs/{run}/claim", json=body, headers=house.worker_headers).json()
    attempt = {"Authorization": f"Bearer {claim['token']}"}
    return {"local": {}, "member": ann, "owner": house.owner, "worker": house.worker_headers, "attempt": attempt}


def fills_of(settings: Settings) -> dict[str, list[str]]:
    """What might lead to the answers: the name and the hash of their file, and paths to it."""
    (path,) = (item for item in answers.folder_of(settings).iterdir() if not item.name.startswith("incoming-"))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    uploaded = hashlib.sha256(answers_text()).hexdigest()
    numbers = ["1", "2"]
    return {
        "slug": ["oppo"],
        "experiment_id": numbers,
        "run_id": numbers,
        "webhook_id": numbers,
        **dict.fromkeys(("member_id", "session_id", "token_id", "invitation_id"), numbers),
        "submission_id": numbers,
        "file_id": numbers,
        "number": numbers,
        "id": numbers,
        "sha256": [sha256, uploaded, path.name],
        "name": ["test_predictions.tsv", path.name, f"..%2Fsealed%2F{path.name}", "w1", "pairboard"],
        "tag": ["x"],
        "series": ["loss"],
    }


BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"json": {}},
    {"json": {"ids": [1], "sealed": True, "answers": True, "private": True}},
    {"data": {"answers": "x", "everyone": "true"}},
    {"files": {"file": ("a.tsv", b"0.5\nx\n"), "answers": ("a", b"0\nx\n")}},
)


def call(client: TestClient, method: str, address: str, headers: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Every reply, its headers included."""
    queries = (
        ("",)
        if method != "GET"
        else ("", "?everyone=true&private=true&limit=1000&against=1&run=1&series=loss&ids=1,2&q=0&experiment=1")
    )
    for query in queries:
        for body in BODIES if method in {"POST", "PUT", "PATCH"} else BODIES[:1]:
            answer = client.request(method, address + query, headers=headers, **body)
            yield f"{method} {address}{query} {answer.status_code}", answer.content + str(answer.headers).encode()


def test_the_answers_are_found_where_they_are(house: House, settings: Settings) -> None:
    house.make()
    (path,) = answers.folder_of(settings).iterdir()
    assert leaked(path.read_bytes())
    assert leaked(answers_text())
    assert leaked(json.dumps({"labels": LABELS.tolist()}).encode())
    assert leaked(json.dumps([{"line": n, "label": label} for n, label in enumerate(LABELS.tolist())]).encode())
    assert leaked(json.dumps([bool(label) for label in LABELS.tolist()]).encode())
    assert leaked(repr(LABELS.astype(float).tolist()).encode())
    assert leaked(bytes(LABELS.astype("int8")))
    assert not leaked(file_of(predictions(1)))


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_no_route_tells_an_answer(
    client: TestClient,
    app: FastAPI,
    settings: Settings,
    everyone: dict[str, dict[str, str]],
    method: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    quiet = TestClient(
        app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50000), follow_redirects=False,
        raise_server_exceptions=False,
    )  # fmt: skip
    quiet.portal = client.portal
    fills, called, found, failed = fills_of(settings), set[str](), [], set[str]()
    routes = [route for route in routes_of(app) if method in (route.methods or set()) or method == "HEAD"]
    for route in sorted(routes, key=lambda item: item.path):
        if ENDLESS.search(route.path):
            continue
        for address in addresses(route, fills):
            for who, headers in everyone.items():
                for name, content in call(quiet, method, address, headers):
                    called.add(route.path)
                    failed |= {name} if name.endswith(" 500") else set()
                    found += [f"{who}: {name}"] if leaked(content) else []
    assert found == []
    assert failed == set()
    assert not leaked(caplog.text.encode())
    if method == "GET":
        assert {URL.replace("oppo", "{slug}"), "/contests/{slug}/sealed", "/runs/{run_id}/log"} <= called
        assert len(called) > 60


@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
def test_no_path_leads_out_of_the_folders_that_are_served(
    client: TestClient, settings: Settings, everyone: dict[str, dict[str, str]]
) -> None:
    (path,) = answers.folder_of(settings).iterdir()
    for base in ("/static", "/bokeh", "/swagger", "/docs", "/api/v1/runs/1/artifacts", "/contests/oppo"):
        for up in ("../", "..%2f", "%2e%2e/", "..%5c", "....//"):
            for inside in (f"data/sealed/{path.name}", f"sealed/{path.name}", str(path)):
                for headers in everyone.values():
                    answer = client.get(f"{base}/{up * 6}{inside}", headers=headers)
                    assert not leaked(answer.content)
                    assert answer.status_code in {307, 401, 403, 404, 422}, answer.text


def test_no_row_of_the_database_holds_an_answer(
    app: FastAPI, settings: Settings, everyone: dict[str, dict[str, str]]
) -> None:
    with app.state.database.reading() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(select(table)):
                assert not leaked(repr(tuple(row)).encode()), table.name
    for path in settings.data_dir.rglob("*"):
        if path.is_file() and path.parent != answers.folder_of(settings):
            assert not leaked(path.read_bytes()), path


def test_a_traceback_with_values_shows_none(house: House, settings: Settings) -> None:
    held = answers.Answers(LABELS.astype("int8"), LABELS == 1)
    assert not leaked(repr(held).encode())
    assert "1" not in repr(held).partition(" at ")[0]


def test_a_file_of_ones_and_zeros_tells_no_row(house: House) -> None:
    """What comes back is one number of the public part, of five decimals: no line, no row, no part of a row."""
    house.make()
    got = house.send(file_of(LABELS), headers_of(house.client, "ann")).json()
    assert got["public_score"] == 1.0
    assert set(got) == {
        *("id", "kind", "status", "fault", "message", "file_name", "sha256", "size", "remark"),
        *("public_score", "private_score", "experiment_id", "run_id", "made_by", "sent_at", "checks"),
    }
    assert got["private_score"] is None
    told = house.client.get(URL).json()
    assert not {"stored", "sha256", "seed", "labels", "positives"} & set(told)
