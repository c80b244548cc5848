"""What a stranger without a key, a worker, an attempt of before and a member of another contest reach for."""

import base64
import hashlib
import inspect
import json

import itsdangerous

from app.accounts import queries, service
from tests.factories import TINY, experiment_over_http, upload_over_http
from tests.security.house import HOST, PASSWORD, House, refused
from tests.security.table import attack

MEMBERS_ONLY = ("/api/v1/contests", "/api/v1/experiments/1", "/api/v1/contests/oppo/leaderboard", "/api/v1/workers")


@attack("key: none at all, on every route that reads or writes")
def no_key(house: House) -> None:
    open_ones = {"/health", "/health/live", "/health/ready"}
    for path, methods in house.app.openapi()["paths"].items():
        for method in methods:
            if path not in open_ones:
                filled = path.replace("{", "").replace("}", "")
                assert house.stranger.request(method, filled, json={}).status_code in {401, 422}, (method, path)
    for path in ("/", "/contests/oppo", "/experiments/1", "/queue", "/contests/oppo/leaderboard.csv", "/runs/1/log"):
        answer = house.stranger.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in")


@attack("key: a guessed token")
def guessed(house: House) -> None:
    for token in ("pb-member_guessed", "' OR 1=1 --", "x" * 10_000, "\u00e9"):
        headers = {"Authorization": f"Bearer {token}".encode()}
        refused(house.stranger.get("/api/v1/contests", headers=headers), 401)


@attack("key: the digest that a stolen database holds, as a token")
def digest(house: House) -> None:
    stolen = hashlib.sha256(house.member_token.encode()).hexdigest()
    refused(house.stranger.get("/api/v1/contests", headers={"Authorization": f"Bearer {stolen}"}), 401)


@attack("key: a token in the address, where logs and histories keep it")
def in_the_address(house: House) -> None:
    for name in ("token", "access_token", "authorization"):
        refused(house.stranger.get(f"/api/v1/contests?{name}={house.member_token}"), 401)


@attack("key: timing of the token check")
def timing(house: House) -> None:
    """What is compared is a digest, looked up by an index: how much of a guess is right shows nowhere."""
    source = inspect.getsource(queries)
    assert "Token.digest ==" in source
    with house.app.state.database.reading() as session:
        kept = {row.digest for row in session.query(queries.Token)}
    assert house.member_token not in kept
    assert service.digest(house.member_token) in kept


@attack("key: timing of signing in, to find out which names exist")
def timing_of_names(house: House) -> None:
    source = inspect.getsource(service._fits)
    assert "_nobody()" in source, "a password is verified for an unknown name, too"
    known = house.stranger.post("/sign-in", data={"name": "ada", "password": "wrong wrong wrong"})
    unknown = house.stranger.post("/sign-in", data={"name": "eve", "password": "wrong wrong wrong"})
    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("ada", "eve") == unknown.text


@attack("session: fixation, a cookie that was there before signing in")
def fixation(house: House) -> None:
    with house.browser() as browser:
        browser.post("/preferences", data={"theme": "dark"})
        before = {name: value for name, value in browser.cookies.items() if "theme" not in name}
        before = before or {"pairboard": "planted", "pairboard_session": "planted"}
        for name, value in before.items():
            browser.cookies.set(name, value, domain=HOST)
        signed = browser.post("/sign-in", data={"name": "ada", "password": PASSWORD})
        assert signed.status_code == 303
        given = " ".join(signed.headers.get_list("set-cookie"))
        assert not [value for value in before.values() if value in given]
    with house.browser() as thief:
        for name, value in before.items():
            thief.cookies.set(name, value, domain=HOST)
        assert thief.get("/").status_code == 303


@attack("session: a cookie signed with a guessed secret")
def forged(house: House) -> None:
    data = base64.b64encode(json.dumps({"member": "ada"}).encode())
    for secret in ("", "secret", "pairboard"):
        cookie = itsdangerous.TimestampSigner(secret).sign(data).decode() if secret else data.decode()
        for name in ("pairboard", "pairboard_session"):
            answer = house.stranger.get("/api/v1/contests", headers={"Cookie": f"{name}={cookie}"})
            refused(answer, 401)


@attack("session: a cookie that was changed by a letter")
def tampered(house: House) -> None:
    for name, value in house.member.cookies.items():
        changed = value[:-2] + ("AA" if value[-2:] != "AA" else "BB")
        refused(house.stranger.get("/api/v1/contests", headers={"Cookie": f"{name}={changed}"}), 401)


@attack("worker token: reads the table, experiments and members' pages")
def worker_reads(house: House) -> None:
    for path in (*MEMBERS_ONLY, "/", "/contests/oppo", "/contests/oppo/files", "/contests/oppo/leaderboard.csv"):
        refused(house.stranger.get(path, headers=house.worker), 403)


@attack("worker token: reads answers, the labels of a train file and predictions")
def worker_reads_answers(house: House) -> None:
    paths = ("/api/v1/contests/oppo/files/1/pairs", "/api/v1/runs/1/artifacts/valid_predictions.tsv")
    for path in (*paths, "/contests/oppo/files/1/pairs.csv", "/api/v1/runs/1/job"):
        refused(house.stranger.get(path, headers=house.worker), 403, 404)


@attack("worker token: changes what people decide")
def worker_writes(house: House) -> None:
    for method, path in (
        ("POST", "/api/v1/contests"),
        ("POST", "/api/v1/contests/oppo/experiments"),
        ("POST", "/api/v1/experiments/1/online-scores"),
        ("POST", "/api/v1/runs/1/cancel"),
        ("PUT", "/api/v1/queues/gpu/pause"),
    ):
        body = {"name": "x", "value": 0.9, "reason": ""}
        refused(house.stranger.request(method, path, json=body, headers=house.worker), 403, 422)
        assert house.member.get("/api/v1/experiments/1").json()["scores"] == []


@attack("member token: does a worker's work")
def member_works(house: House) -> None:
    headers = {"Authorization": f"Bearer {house.member_token}"}
    who = {"worker": "w1", "boot_id": "boot-one"}
    refused(house.stranger.post("/api/v1/runs/1/claim", json=who, headers=headers), 403)
    refused(house.stranger.post("/api/v1/workers/heartbeat", json=who, headers=headers), 403)


@attack("attempt token: of an attempt whose run was given to another")
def stale(house: House) -> None:
    run, old = house.claimed(201)
    assert house.member.post(f"/api/v1/runs/{run}/cancel").status_code == 200
    ended = {"first": 1, "events": [{"type": "cancelled"}]}
    assert house.stranger.post(f"/api/v1/runs/{run}/events", json=ended, headers=old).status_code == 200
    told = {"first": 2, "events": [{"type": "finished", "seconds": 1}]}
    refused(house.stranger.post(f"/api/v1/runs/{run}/events", json=told, headers=old), 409)
    refused(house.stranger.post(f"/api/v1/runs/{run}/heartbeat", headers=old), 409)
    upload = {"name": "a.txt", "sha256": "0" * 64, "size": 1}
    refused(house.stranger.post(f"/api/v1/runs/{run}/uploads", json=upload, headers=old), 409)


@attack("attempt token: reaches into another run")
def other_run(house: House) -> None:
    run, mine = house.claimed(202)
    other, _ = house.claimed(203)
    for method, path in (("POST", "heartbeat"), ("POST", "events"), ("GET", f"inputs/{'0' * 64}")):
        body = {"json": {"first": 1, "events": []}} if method == "POST" else {}
        refused(house.stranger.request(method, f"/api/v1/runs/{other}/{path}", headers=mine, **body), 403)
    refused(house.stranger.get(f"/api/v1/experiments/{run}", headers=mine), 401, 403)


@attack("attempt token: fetches a file that its job does not name")
def other_input(house: House) -> None:
    run, mine = house.claimed(204)
    hidden = house.member.get("/api/v1/contests/other").json()["files"][0]["sha256"]
    refused(house.stranger.get(f"/api/v1/runs/{run}/inputs/{hidden}", headers=mine), 404)
    refused(house.stranger.get(f"/api/v1/runs/{run}/inputs/..%2f..%2fpairboard.db", headers=mine), 404)


@attack("attempt token: gets at a contest's file by naming its hash as an upload")
def hash_as_proof(house: House) -> None:
    run, mine = house.claimed(205)
    found = house.member.get("/api/v1/contests/other").json()["files"][0]
    told = {"name": "mine.tsv", "sha256": found["sha256"], "size": found["size"]}
    answer = house.stranger.post(f"/api/v1/runs/{run}/uploads", json=told, headers=mine)
    assert answer.json()["artifact"] is None


@attack("another contest's rows: by their ids in ours")
def other_contests_rows(house: House) -> None:
    theirs = house.member.get("/api/v1/contests/other/leaderboard").json()["rows"][0]["id"]
    file = house.member.get("/api/v1/contests/other").json()["files"][0]["id"]
    assert house.member.get(f"/api/v1/contests/oppo/leaderboard?search=id:{theirs}").json()["total"] == 0
    for path in (f"compare?ids={theirs}", f"significance?ids={theirs},1"):
        refused(house.member.get(f"/api/v1/contests/oppo/{path}"), 404, 422)
    for path in (f"?against={theirs}", f"/compare?ids={theirs}", f"/rows?against={theirs}"):
        refused(house.member.get(f"/contests/oppo{path}"), 404, 422)
    refused(house.member.get(f"/contests/oppo/files/{file}/pairs"), 404)
    body = {"name": "x", "config": TINY, "train_file_id": file}
    refused(house.member.post("/api/v1/contests/oppo/experiments", json=body), 404, 422)
    body = {"name": "x", "config": TINY, "parent_id": theirs}
    refused(house.member.post("/api/v1/contests/oppo/experiments", json=body), 404, 422)


@attack("another contest's rows: thrown away with ours")
def other_contests_trash(house: House) -> None:
    theirs = house.member.get("/api/v1/contests/other/leaderboard").json()["rows"][0]["id"]
    house.member.post("/contests/oppo/selection", data={"action": "archive", "ids": str(theirs)})
    house.member.post("/contests/oppo/trash", data={"ids": str(theirs), "action": "throw"})
    assert house.member.get(f"/api/v1/experiments/{theirs}").json()["archived_at"] is None


@attack("replay: events that were stored before, and some that skip a number")
def replayed(house: House) -> None:
    run, mine = house.claimed(206)
    score = {"type": "log", "level": "info", "message": "once"}
    for _ in range(2):
        body = {"first": 1, "events": [score]}
        assert house.stranger.post(f"/api/v1/runs/{run}/events", json=body, headers=mine).json()["stored"] == 1
    refused(house.stranger.post(f"/api/v1/runs/{run}/events", json={"first": 9, "events": [score]}, headers=mine), 422)


@attack("replay: an idempotency key for another score")
def key_twice(house: House) -> None:
    number = experiment_over_http(house.member, config={**TINY, "pretrain": None, "seed": 207})["id"]
    path, key = f"/api/v1/experiments/{number}/online-scores", {"Idempotency-Key": "k1"}
    assert house.member.post(path, json={"value": 0.8}, headers=key).status_code == 201
    refused(house.member.post(path, json={"value": 0.9}, headers=key), 409)


@attack("artifact: another file under the name of one that was sent")
def swapped(house: House) -> None:
    run, mine = house.claimed(208)
    upload_over_http(house.stranger, run, "model.safetensors", b"one", mine)
    other = hashlib.sha256(b"two").hexdigest()
    address = f"/api/v1/runs/{run}/uploads/{other}?offset=0&size=3"
    assert house.stranger.patch(address, content=b"two", headers=mine).status_code == 200
    told = {"name": "model.safetensors", "sha256": other, "size": 3}
    refused(house.stranger.post(f"/api/v1/runs/{run}/uploads", json=told, headers=mine), 409)
