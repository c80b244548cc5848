"""What a program does with a token that is over, that is of another contest, or whose maker may less than before."""

from datetime import timedelta

from sqlalchemy import select

from app.accounts.models import Token
from tests.factories import TINY
from tests.security.house import House, refused
from tests.security.table import attack

WORKER = {"worker": "w7", "boot_id": "boot-one"}


def status(house: House, headers: dict[str, str], path: str = "/api/v1/me") -> int:
    found: int = house.stranger.get(path, headers=headers).status_code
    return found


@attack("token: one that has expired")
def expired(house: House) -> None:
    headers = house.token("read", days=1)
    assert status(house, headers) == 200
    with house.app.state.database.writing() as session:
        row = session.scalars(select(Token).order_by(Token.id.desc()).limit(1)).one()
        row.expires_at -= timedelta(days=1, seconds=1)
    for path in ("/api/v1/me", "/contests/oppo/leaderboard.csv", "/api/v1/contests/oppo/leaderboard", "/queue"):
        assert status(house, headers, path) in {303, 401}
    assert "expired" in house.stranger.get("/api/v1/me", headers=headers).json()["error"]["message"]


@attack("token: one that was revoked, from the next request on")
def revoked(house: House) -> None:
    maker = house.person()
    for method, path in (("DELETE", "/api/v1/tokens/{id}"), ("POST", "/account/tokens/{id}/revoke")):
        made = maker.post("/api/v1/tokens", json={"name": "x", "scopes": ["read"]}).json()
        headers = {"Authorization": f"Bearer {made['token']}"}
        assert status(house, headers) == 200
        assert maker.request(method, path.replace("{id}", str(made["id"]))).status_code in {204, 303}
        assert status(house, headers) == 401


@attack("token: another member's revoked, or read, by its number")
def anothers(house: House) -> None:
    mallory, victim = house.person(), house.person()
    made = victim.post("/api/v1/tokens", json={"name": "of the victim", "scopes": ["read"]}).json()
    refused(mallory.delete(f"/api/v1/tokens/{made['id']}"), 404)
    refused(mallory.post(f"/account/tokens/{made['id']}/revoke"), 404)
    assert mallory.get("/api/v1/tokens").json() == []
    assert "of the victim" not in mallory.get("/account").text
    assert status(house, {"Authorization": f"Bearer {made['token']}"}) == 200
    assert made["token"] not in victim.get("/api/v1/tokens").text + victim.get("/account").text, "shown once"


@attack("token: of somebody whose account was closed, or whose role is less now")
def of_the_demoted(house: House) -> None:
    maker = house.person("owner")
    number, headers = house.number_of(maker), house.token("read", "run", "admin", of=maker)
    assert status(house, headers, "/api/v1/members") == 200
    house.member.patch(f"/api/v1/members/{number}", json={"role": "viewer"})
    refused(house.stranger.get("/api/v1/members", headers=headers), 403)
    refused(house.stranger.post("/api/v1/contests", json={"name": "x"}, headers=headers), 403)
    assert status(house, headers) == 200
    house.member.patch(f"/api/v1/members/{number}", json={"left": True})
    assert status(house, headers) == 401
    house.member.patch(f"/api/v1/members/{number}", json={"left": False})
    assert status(house, headers) == 401, "opened again, the account's tokens stay revoked"


@attack("token: a worker's, of an owner who is none any longer, to report scores of one's own")
def workers_of_the_demoted(house: House) -> None:
    maker = house.person("owner")
    headers = house.token("worker", of=maker)
    beat = {**WORKER, "busy_run_id": None}
    assert house.stranger.post("/api/v1/workers/heartbeat", json=beat, headers=headers).status_code == 200
    house.member.patch(f"/api/v1/members/{house.number_of(maker)}", json={"role": "member"})
    refused(house.stranger.post("/api/v1/workers/heartbeat", json=beat, headers=headers), 403)
    refused(house.stranger.post("/api/v1/workers/claim", json=WORKER, headers=headers), 403)


@attack("token: of one contest, on another contest's rows by their numbers, by REST and on pages")
def of_another_contest(house: House) -> None:
    headers = house.token("read", "submit", "run", contest="other")
    ours = house.member.get("/api/v1/contests/oppo").json()
    theirs = house.member.get("/api/v1/contests/oppo/leaderboard").json()["rows"][0]["id"]
    run, file = house.member.get(f"/api/v1/experiments/{theirs}").json()["runs"][0]["id"], ours["files"][0]["id"]
    assert status(house, headers, "/api/v1/contests/other/leaderboard") == 200
    for path in (
        *(f"/api/v1/experiments/{theirs}", f"/api/v1/runs/{run}", f"/api/v1/contests/oppo/files/{file}/pairs"),
        *("/api/v1/contests/oppo", "/api/v1/contests/oppo/leaderboard", f"/api/v1/curves?run={run}&series=loss"),
        *(f"/api/v1/contests/other/files/{file}/pairs", f"/api/v1/experiments/{theirs}/submission-file"),
        *(f"/experiments/{theirs}", f"/runs/{run}/log", "/contests/oppo", f"/contests/oppo/files/{file}/pairs"),
        *(f"/contests/oppo/files/{file}/pairs.csv", "/contests/oppo/leaderboard.csv", f"/curves?run={run}&series=loss"),
        *(f"/contests/other/compare?ids={theirs}", f"/contests/other?against={theirs}"),
    ):
        refused(house.stranger.get(path, headers=headers), 404)
    body = {"name": "x", "config": TINY}
    for path, sent in (
        (f"/api/v1/experiments/{theirs}/online-scores", {"value": 0.9}),
        ("/api/v1/contests/oppo/experiments", body),
        (f"/api/v1/runs/{run}/cancel", {}),
    ):
        refused(house.stranger.post(path, json=sent, headers=headers), 404)
    for sent in ({"parent_id": theirs}, {"train_file_id": file}):
        refused(house.stranger.post("/api/v1/contests/other/experiments", json={**body, **sent}, headers=headers), 404)
    refused(house.stranger.patch(f"/api/v1/experiments/{theirs}", json={"note": "x"}, headers=headers), 404)
    for path in ("/api/v1/queue", "/queue", "/api/v1/workers", "/metrics"):
        refused(house.stranger.get(path, headers=headers), 403)
    assert "oppo" not in house.stranger.get("/api/v1/search?q=first", headers=headers).text
