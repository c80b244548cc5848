"""The short run of tests/security/openapi.py: each operation by everybody, on both databases; and that it tells."""

import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel

from app import answers, main
from app.security import anyone
from tests.conftest import drop_postgres, new_postgres
from tests.security.house import HOST
from tests.security.openapi import short_run, wrong
from tests.security.openapi_cases import BODIES, drawn, operations, request_of
from tests.security.openapi_house import built
from tests.security.wire import Wire

#: operations that the short run gets a 2xx of, at least; the others need luck
REACHED = 70


class Shape(BaseModel):
    """Of an answer."""

    a: int


def test_every_operation_answers_everybody_as_documented(
    migrated_file: Path, migrated_postgres: str, tmp_path: Path
) -> None:
    """Each caller on one of the databases, each operation on both."""
    shutil.copy(migrated_file, tmp_path / "bench.db")
    url = new_postgres(migrated_postgres)
    try:
        with (
            built(tmp_path / "sqlite", f"sqlite:///{tmp_path / 'bench.db'}") as on_sqlite,
            built(tmp_path / "postgres", url) as on_postgres,
        ):
            outcome = short_run({"sqlite": on_sqlite, "postgres": on_postgres}, seed=1)
    finally:
        drop_postgres(url)
    assert outcome.findings == {}
    called = {operation.label for operation in operations(documented())}
    assert {label for label, _ in outcome.reached} == called
    assert sum(outcome.cases.values(), Counter()) == dict.fromkeys(on_sqlite.callers, len(called))
    assert len({label for label, status in outcome.reached if status < 300}) >= REACHED


@cache
def documented() -> dict[str, Any]:
    """/openapi.json."""
    app = FastAPI()
    main._routes(app)
    answers.describe(app)
    return app.openapi()


def test_each_operation_with_a_body_is_called_with_one_that_says_something() -> None:
    taking = {operation.label for operation in operations(documented()) if operation.body}
    assert taking == set(BODIES)


def asked(app: FastAPI, path: str) -> list[str]:
    """What is found wrong with an operation's answer."""
    [operation] = [item for item in operations(app.openapi()) if item.path == f"/api{path}"]
    wire = Wire(app, "10.0.0.9")
    try:
        [case] = drawn(operation, 1, seed=1)
        return wrong(case, wire.send(request_of(case, f"http://{HOST}", {})))
    finally:
        wire.close()


def test_a_wrong_answer_is_found() -> None:
    app = FastAPI(dependencies=[Depends(anyone)])
    answers_of = {
        "/fine": lambda: {"a": 1},
        "/late": lambda: Response(status_code=418),
        "/other": lambda: Response("a,b", media_type="text/csv"),
        "/shape": lambda: Response('{"a": "one"}', media_type="application/json"),
        "/infinite": lambda: Response('{"a": 1, "b": NaN}', media_type="application/json"),
        "/broken": lambda: 1 // 0,
    }
    for path, answer in answers_of.items():
        app.add_api_route(f"/api{path}", answer, response_model=Shape)
    app.add_api_route("/api/empty", lambda: Response("not so empty", 202), status_code=202, response_class=Response)
    answers.describe(app)
    assert asked(app, "/fine") == []
    for path, told in {
        "/late": "Undocumented status code",
        "/other": "Undocumented Content-Type",
        "/shape": "violates schema",
        "/infinite": "NaN is no number of JSON",
        "/broken": "status 500",
        "/empty": "has a body, and the document knows of none",
    }.items():
        assert told in "\n".join(asked(app, path)), path


@pytest.mark.parametrize(
    ("path", "method", "status", "content"),
    [
        ("/api/v1/contests/{slug}/files", "post", "200", "application/json"),
        ("/api/v1/contests/{slug}/audits", "post", "202", "application/json"),
        ("/api/v1/contests/{slug}/sealed/uploads", "post", "200", "application/json"),
        ("/api/v1/runs/{run_id}/job.sh", "get", "409", "application/json"),
        ("/api/v1/runs/{run_id}/job/inputs/{sha256}", "get", "200", "application/octet-stream"),
        ("/api/v1/runs/{run_id}/log.txt", "get", "200", "text/plain"),
        ("/api/v1/experiments/{experiment_id}/submission-file", "get", "200", "application/zip"),
        ("/api/v1/audit.csv", "get", "200", "text/csv"),
        ("/metrics", "get", "200", "text/plain"),
    ],
)
def test_what_was_answered_and_not_written(path: str, method: str, status: str, content: str) -> None:
    operation = documented()["paths"][path][method]
    found = operation["responses"][status]
    assert content in found["content"]


def test_refusals_are_written_once_and_keys_are_named() -> None:
    document = documented()
    operation = document["paths"]["/api/v1/runs/{run_id}/events"]["post"]
    assert operation["responses"]["422"] == {"$ref": "#/components/responses/422"}
    assert operation["security"] == [{"token": []}]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert document["components"]["responses"]["429"]["headers"]["Retry-After"]["required"] is True
    assert "HTTPValidationError" not in str(document)
