"""Every route declares who may call it, and refuses every token of another scope; a token of one contest, and a member
who does not see a contest, find nothing of it at any address."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text
from starlette.testclient import TestClient

from app import schema, security
from app.accounts import queries, service, tokens
from app.accounts.access import SCOPES
from app.contests import queries as contest_queries
from app.db import Database
from app.errors import AppError
from app.main import create_app
from app.settings import Settings
from tests.factories import TINY, contest_over_http, experiment_over_http

ME = ("127.0.0.1", 50000)
#: what each declared scope is answered to; an attempt's own token is no row of tokens
LETS = {
    "self": {"admin"},
    "anyone": set(SCOPES),
    "attempt": set[str](),
    **{scope: {scope} for scope in SCOPES},
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """Two contests, each with a file, an experiment and its runs; the second one is private."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("scopes") / "data", sweep_seconds=600, token_requests_per_minute=0
    )
    settings.data_dir.mkdir()
    database = Database(settings.database)
    schema.upgrade(database.write_engine)
    database.dispose()
    made = create_app(settings)
    with client_of(made) as client:
        for slug in ("ours", "theirs"):
            contest_over_http(client, slug=slug)
            experiment_over_http(client, slug, name=f"first of {slug}")
            planned(client, slug)
            hook = {"url": "https://93.184.216.34/", "events": ["score.best"]}
            assert client.post(f"/api/v1/contests/{slug}/webhooks", json=hook).status_code == 201
        assert client.put("/api/v1/contests/theirs/private", json={"private": True}).status_code == 204
    yield made
    made.state.database.dispose()


def planned(client: TestClient, slug: str) -> None:
    number = client.get(f"/api/v1/contests/{slug}/leaderboard").json()["rows"][0]["id"]
    assert client.post(f"/api/v1/experiments/{number}/submissions", json={}).status_code == 201


def client_of(app: FastAPI, token: str = "") -> TestClient:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    return TestClient(app, base_url="http://127.0.0.1:8000", client=ME, follow_redirects=False, headers=headers)


def token_of(app: FastAPI, *scopes: str, **more: Any) -> str:
    with app.state.database.writing() as session:
        return tokens.issue(session, tokens.Wanted("t", scopes, **more))[1]


def routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Each route, once a method."""
    found = [(method, route) for route in security.all_routes(app) for method in sorted(route.methods or ())]
    assert len(found) > 140
    return found


def filled(path: str, **values: object) -> str:
    """The path of a route with something in each place."""
    return re.sub(r"{(\w+)}", lambda part: str(values.get(part[1], "1")), path)


def test_every_route_declares_its_scope(app: FastAPI) -> None:
    silent = [f"{method} {route.path}" for method, route in routes(app) if security.declared(route) is None]
    assert silent == []
    open_to_all = {route.path for _, route in routes(app) if security.declared(route) == "anyone"}
    assert open_to_all == {
        *("/health", "/api/v1/health", "/health/live", "/health/ready", "/docs", "/keyboard", "/preferences"),
        *("/sign-in", "/sign-out", "/join", "/sign-in/openid", "/sign-in/openid/back"),
    }
    reading = [route for _, route in routes(app) if security.declared(route) == "read"]
    assert {method for route in reading for method in route.methods or ()} == {"GET"}, "a reader changes nothing"


@pytest.mark.parametrize("how", ["of the app", "taken over", "included"])
def test_the_app_does_not_start_with_a_route_that_declares_nothing(how: str) -> None:
    app, router = FastAPI(), APIRouter()

    @(app if how == "of the app" else router).get("/forgotten")
    def forgotten() -> str:
        return ""

    if how == "taken over":
        app.router.routes.extend(router.routes)
    elif how == "included":
        app.include_router(router)
    with pytest.raises(AppError, match=r"declare no scope .*GET /forgotten"):
        security.require_declared(app)


def test_the_nearest_declaration_counts() -> None:
    app = FastAPI(dependencies=[Depends(security.member)])

    @app.post("/plain")
    def plain() -> str:
        return ""

    @app.post("/named", dependencies=[Depends(security.needs("submit"))])
    def named() -> str:
        return ""

    found = {route.path: security.declared(route) for route in security.all_routes(app)}
    assert found == {"/plain": "run", "/named": "submit"}


@pytest.mark.parametrize("scope", SCOPES)
def test_each_route_with_each_scope(app: FastAPI, scope: str) -> None:
    """Wrong scopes are refused before anything of the request is read; the right one gets further than the door."""
    wrong = []
    with client_of(app, token_of(app, scope)) as client:
        for method, route in routes(app):
            declared = security.declared(route) or ""
            path = filled(route.path, experiment_id=10**6, run_id=10**6, submission_id=10**6, slug="none")
            status = client.request(method, path).status_code
            if (status not in {401, 403}) != (scope in LETS[declared]):
                wrong.append(f"{method} {path} declares {declared}: {status} for {scope}")
    assert wrong == []


def test_no_token_at_all_gets_nowhere(app: FastAPI) -> None:
    with TestClient(app, base_url="http://127.0.0.1:8000", client=("10.0.0.9", 4000), follow_redirects=False) as client:
        let = []
        for method, route in routes(app):
            answer = client.request(method, filled(route.path))
            to_sign_in = answer.status_code == 303 and answer.headers["location"] == "/sign-in"
            if security.declared(route) != "anyone" and answer.status_code != 401 and not to_sign_in:
                let.append(f"{method} {route.path}: {answer.status_code}")
        assert let == []


def test_an_attempts_token_reaches_its_own_run_alone(app: FastAPI) -> None:
    with app.state.database.reading() as session:
        found = session.execute(text("SELECT id FROM runs WHERE status = 'queued' ORDER BY id")).scalars().all()
    with client_of(app) as client:
        first = experiment_over_http(client, "ours", name="claimed", config={**TINY, "pretrain": None, "seed": 99})
    run = first["runs"][0]["id"]
    who = {"worker": "w1", "boot_id": "boot-one"}
    with client_of(app, token_of(app, "worker")) as client:
        token = client.post(f"/api/v1/runs/{run}/claim", json=who).json()["token"]
    with client_of(app, token) as client:
        assert client.post(f"/api/v1/runs/{run}/heartbeat").status_code == 200
        other = next((number for number in found if number != run), run - 1)
        assert client.post(f"/api/v1/runs/{other}/heartbeat").status_code == 403
        named = {"name": "x", "sha256": "0" * 64, "size": 1}
        assert client.post(f"/api/v1/runs/{other}/uploads", json=named).status_code == 403
        assert client.get(f"/api/v1/runs/{other}/inputs/{'0' * 64}").status_code == 403
        let = []
        for method, route in routes(app):
            path = filled(route.path, run_id=run, experiment_id=first["id"], slug="ours")
            status = client.request(method, path).status_code
            to_sign_in = status == 303 or status == 401
            if security.declared(route) not in {"attempt", "anyone"} and not to_sign_in:
                let.append(f"{method} {path}: {status}")
        assert let == [], "it opens nothing else"


def ids(app: FastAPI, slug: str) -> dict[str, object]:
    with client_of(app) as client:
        row = client.get(f"/api/v1/contests/{slug}/leaderboard").json()["rows"][0]
        found = client.get(f"/api/v1/experiments/{row['id']}").json()
        file = client.get(f"/api/v1/contests/{slug}").json()["files"][-1]
        plan = client.get(f"/api/v1/contests/{slug}/submissions").json()[0]
        hook = client.get(f"/api/v1/contests/{slug}/webhooks").json()[0]
    numbers = {"experiment_id": found["id"], "run_id": found["runs"][-1]["id"], "file_id": file["id"]}
    return {"slug": slug, **numbers, "submission_id": plan["id"], "webhook_id": hook["id"]}


def of_contests(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Routes that name a contest or a row of one in their path, but for the workers'."""
    named = [item for item in routes(app) if re.search(r"{(slug|experiment_id|run_id|submission_id)}", item[1].path)]
    return [(method, route) for method, route in named if security.declared(route) not in {"attempt", "worker"}]


def missed(app: FastAPI, client: TestClient, expected: set[int]) -> list[str]:
    """What is answered otherwise than expected at the addresses of the contest `theirs`."""
    found = []
    for method, route in of_contests(app):
        path = filled(route.path, **ids_of_theirs(app))
        status = client.request(method, path).status_code
        if status not in expected and security.declared(route) != "admin":
            found.append(f"{method} {path}: {status}")
    return found


def ids_of_theirs(app: FastAPI) -> dict[str, object]:
    if not hasattr(app.state, "theirs"):
        app.state.theirs = ids(app, "theirs")
    found: dict[str, object] = app.state.theirs
    return found


def test_a_token_of_one_contest_finds_nothing_of_another(app: FastAPI) -> None:
    with app.state.database.reading() as session:
        ours = contest_queries.contest(session, "ours").id
    other = ids_of_theirs(app)
    with client_of(app, token_of(app, "read", "submit", "run", contest_id=ours)) as client:
        assert missed(app, client, {404}) == []
        own = ids(app, "ours")
        for path in ("/contests/{slug}", "/experiments/{experiment_id}", "/runs/{run_id}", "/runs/{run_id}/log"):
            assert client.get("/api/v1" + filled(path, **own).replace("/log", "/log.txt")).status_code == 200
        assert [item["slug"] for item in client.get("/api/v1/contests").json()] == ["ours"]
        assert "theirs" not in client.get("/").text + client.get("/search?q=oppo").text
        assert found_in(client) == ["ours"]
        assert client.get(f"/api/v1/curves?run={other['run_id']}&series=loss").status_code == 404
        assert client.get(f"/api/v1/curves/new?after={other['run_id']}:1:1&series=loss").status_code == 404
        assert client.get(f"/curves?run={other['run_id']}&series=loss").status_code == 404
        assert client.get("/experiments/new?contest=theirs").status_code == 404
        assert client.post("/experiments", data={"contest": "theirs", "name": "x"}).status_code == 404
        for path in ("/api/v1/queue", "/api/v1/workers", "/metrics", "/queue"):
            assert client.get(path).status_code == 403, "these are of all contests"
        assert client.post("/api/v1/contests", json={"name": "x"}).status_code == 403
        score = f"/api/v1/experiments/{own['experiment_id']}/online-scores"
        assert client.post(score, json={"value": 0.7}).status_code == 201
        named = "/api/v1/contests/ours/online-scores"
        for of in ({"experiment": other["experiment_id"]}, {"experiment": "first of theirs"}):
            assert client.post(named, json={"value": 0.7, **of}).status_code == 404
        assert client.post(named, json={"value": 0.7, "submission": other["submission_id"]}).status_code == 404
        assert client.post(score, json={"value": 0.7, "submission": other["submission_id"]}).status_code == 404
        assert client.get(f"/api/v1/submissions/{own['submission_id']}").status_code == 200
        withdrawn = client.post(f"/api/v1/submissions/{own['submission_id']}/withdraw", json={})
        assert withdrawn.status_code in {200, 409}, "let in; 409 once it got the score"
        both = f"ids={own['experiment_id']},{other['experiment_id']}"
        for path in ("compare", "significance", "significance/paired", "blend", "significance/standing"):
            answer = client.get(f"/api/v1/contests/ours/{path}?{both}&id={other['experiment_id']}")
            assert answer.status_code in {404, 422} or "first of theirs" not in answer.text, path


def test_a_route_that_names_no_contest_is_closed_to_a_token_of_one_unless_it_says_so(app: FastAPI) -> None:
    with app.state.database.reading() as session:
        ours = contest_queries.contest(session, "ours").id
    let = set()
    with client_of(app, token_of(app, "read", "submit", "run", contest_id=ours)) as client:
        named = {f"{method} {route.path}" for method, route in of_contests(app)}
        for method, route in routes(app):
            called = f"{method} {route.path}"
            if called in named or security.declared(route) in {"anyone", "attempt", "worker"}:
                continue
            if client.request(method, filled(route.path)).status_code != 403:
                let.add(called)
    assert let == set(security.ACROSS)


def test_webhooks_of_every_contest_are_there_only_for_owners_of_all(app: FastAPI) -> None:
    """They are told of contests that others do not see."""
    hook = {"url": "https://93.184.216.35/", "events": ["score.best"], "every_contest": True}
    with app.state.database.writing() as session:
        service.add_member(session, "the first", "correct horse battery")
        cy = service.add_member(session, "cy", "correct horse battery")
        service.set_contest_role(session, contest_queries.contest(session, "ours").id, cy, "owner")
        session.flush()
        of_one = tokens.issue(session, tokens.Wanted("cy's", ("admin",), member_id=cy.id))[1]
    with client_of(app, token_of(app, "admin")) as client:
        every = client.post("/api/v1/contests/ours/webhooks", json=hook).json()["id"]
    with client_of(app, of_one) as client:
        found = client.get("/api/v1/contests/ours/webhooks").json()
        assert [item["every_contest"] for item in found] == [False]
        assert client.get(f"/api/v1/contests/ours/webhooks/{every}/deliveries").status_code == 404
        assert client.delete(f"/api/v1/contests/ours/webhooks/{every}").status_code == 404
        assert (
            client.post("/api/v1/contests/ours/webhooks", json={**hook, "url": "https://93.184.216.36/"}).status_code
            == 403
        )
    with client_of(app) as client:
        assert client.delete(f"/api/v1/contests/ours/webhooks/{every}").status_code == 204


def test_what_only_owners_and_only_submitters_may(app: FastAPI) -> None:
    found = {f"{method} {route.path}": security.declared(route) for method, route in routes(app)}
    submits = [
        called for called in found if re.search(r"online-scores|/submissions(/{|$)|sealed/uploads|ons/csv", called)
    ]
    assert {found[called] for called in submits if not called.startswith("GET")} == {"submit"}
    sealing = [called for called in found if re.search(r"/sealed(/(terms|reveal|unseal))?$", called)]
    assert {found[called] for called in sealing if not called.startswith("GET")} == {"admin"}
    assert {found[called] for called in found if "/webhooks" in called} == {"admin"}


def found_in(client: TestClient) -> list[str]:
    """Contests in which the search over everything finds an experiment."""
    return [item["contest"] for item in client.get("/api/v1/search?q=first").json()["inside"]]


def test_a_member_sees_a_private_contest_only_with_a_role_in_it(app: FastAPI) -> None:
    with app.state.database.writing() as session:
        service.add_member(session, "the owner", "correct horse battery")
        ben = service.add_member(session, "ben", "correct horse battery")
        token = tokens.issue(session, tokens.Wanted("ben's", ("read", "submit", "run"), member_id=ben.id))[1]
        theirs = contest_queries.contest(session, "theirs").id
    with client_of(app, token) as client:
        assert missed(app, client, {404}) == []
        assert [item["slug"] for item in client.get("/api/v1/contests").json()] == ["ours"]
        assert client.get("/api/v1/queue").status_code == 200
        assert found_in(client) == ["ours"]
    with app.state.database.writing() as session:
        service.set_contest_role(session, theirs, queries.member(session, ben.id), "viewer")
    unsafe = [item for item in of_contests(app) if item[0] != "GET"]
    assert unsafe
    with client_of(app, token) as client:
        assert client.get("/contests/theirs").status_code == 200
        assert found_in(client) == ["theirs", "ours"]
        let = []
        for method, route in unsafe:
            path = filled(route.path, **ids_of_theirs(app))
            if client.request(method, path).status_code not in {403, 404}:
                let.append(f"{method} {path}")
        assert let == [], "a viewer changes nothing there"
    with app.state.database.writing() as session:
        service.set_contest_role(session, theirs, queries.member(session, ben.id), "owner")
        session.flush()
        wide = tokens.issue(session, tokens.Wanted("t", ("read", "run", "admin"), member_id=ben.id))[1]
    with client_of(app, wide) as client:
        assert client.get("/api/v1/contests/theirs/members").json() == {"private": True, "members": {"ben": "owner"}}
        assert client.get("/api/v1/contests/ours/members").status_code == 403, "an owner of one contest"
        assert client.get("/api/v1/members").status_code == 403


def test_the_reference_names_no_row(app: FastAPI, tmp_path: Path) -> None:
    """/openapi.json and the mounted files are all that is no route of ours."""
    others = {
        getattr(item, "path", "") for item in app.routes if not isinstance(item, APIRoute) and hasattr(item, "path")
    }
    assert others - {None} == {"/openapi.json", "/static", "/bokeh", "/swagger"}
