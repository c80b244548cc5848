"""Too much, too deep, too slow, and numbers that are none."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from unittest import mock

import uvicorn

from app import bodies, heads
from app.contests import report
from app.processes import _options
from tests.factories import TINY, experiment_over_http
from tests.security.house import HOST, House, refused
from tests.security.table import attack

JSON = {"Content-Type": "application/json"}


@contextmanager
def served(house: House) -> Iterator[int]:
    """The app of the network behind the real server; its port on loopback."""
    options = {**_options(house.app.state.settings), "host": "127.0.0.1", "port": 0}
    server = uvicorn.Server(uvicorn.Config(house.app, lifespan="off", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def said(port: int, start: bytes, pieces: bytes = b"", times: int = 0, wait: float = 0.0) -> bytes:
    """What the server answers to bytes that are sent as they are, until it closes, or is silent for a while."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
        line.sendall(start)
        with suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(times):
                line.sendall(pieces)
                time.sleep(wait)
        with suppress(ConnectionResetError, TimeoutError):
            while piece := line.recv(65536):
                answer += piece
    return answer


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {HOST}", *lines, "", "")).encode()


@attack("10 GB body: announced")
def announced(house: House) -> None:
    with served(house) as port:
        for path, kind in (
            ("/api/v1/contests", "application/json"),
            ("/sign-in", "application/x-www-form-urlencoded"),
            ("/sign-in", "multipart/form-data; boundary=x"),
        ):
            began = time.monotonic()
            told = said(port, head(path, f"Content-Type: {kind}", f"Content-Length: {10 << 30}"))
            assert told.split(b" ")[1] == b"413", (kind, told)
            assert time.monotonic() - began < 4, "the connection is closed at once"


@attack("10 GB body: in chunks that announce nothing")
def in_chunks(house: House) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with served(house) as port:
        for path, kind in (("/api/v1/contests", "application/json"), ("/sign-in", "application/x-www-form-urlencoded")):
            start = head(path, f"Content-Type: {kind}", "Transfer-Encoding: chunked")
            told = said(port, start, chunk, times=200)
            assert not told or told.split(b" ")[1] in {b"400", b"413"}, told
    for kind in ("application/json", "text/plain", "application/octet-stream"):
        body = (b"x" * 65536 for _ in range(200))
        refused(house.stranger.post("/api/v1/contests", content=body, headers={"Content-Type": kind}), 413)


@attack("10 GB body: a file from a stranger, to fill the disk before he is asked who he is")
def strangers_file(house: House) -> None:
    boundary = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield boundary
        for _ in range(400):
            sent += 65536
            yield b"x" * 65536

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in ("/api/v1/contests/oppo/files", "/contests/oppo/files", "/sign-in", "/experiments"):
        assert "sign in" in refused(house.stranger.post(path, content=body(), headers=headers), 401)


@attack("10 GB body: a file of a member beyond the limit")
def members_file(house: House) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(10 << 30)}
    answer = house.member.post("/api/v1/contests/oppo/files", content=b"--x", headers=headers)
    assert "PAIRBOARD_MAX_UPLOAD_MB" in refused(answer, 413)


@attack("10 GB body: JSON in memory")
def large_json(house: House) -> None:
    answer = house.member.post("/api/v1/contests", content=b" " * (9 << 20), headers=JSON)
    assert "PAIRBOARD_MAX_BODY_MB" in refused(answer, 413)


@attack("slow body: a byte now and then")
def slow_body(house: House) -> None:
    with mock.patch.object(bodies, "SILENT_S", 0.5), served(house) as port:
        start = head("/sign-in", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 1000")
        told = said(port, start, b"a", times=12, wait=0.1)
        assert told.split(b" ")[1] == b"408", told
        assert b"connection: close" in told.lower()


@attack("slow body: one that never goes on")
def silent_body(house: House) -> None:
    with mock.patch.object(bodies, "SILENT_S", 0.3), served(house) as port:
        told = said(port, head("/api/v1/contests", "Content-Type: application/json", "Content-Length: 10"))
        assert told.split(b" ")[1] == b"408", told


@attack("slow head: headers that never end")
def slow_head(house: House) -> None:
    with mock.patch.object(heads, "HEAD_S", 0.4), served(house) as port:
        began = time.monotonic()
        assert said(port, b"GET / HTTP/1.1\r\n", b"X-A: b\r\n", times=10, wait=0.1) == b""
        assert said(port, b"") == b"", "nothing at all"
        assert time.monotonic() - began < 5
        assert b" 200 " in said(port, head("/health/live", "Connection: close", method="GET")), "others are served"


@attack("large head: a megabyte of headers")
def large_head(house: House) -> None:
    with served(house) as port:
        told = said(port, head("/", "X-Large: " + "x" * (1 << 20), method="GET"))
        assert not told or told.split(b" ")[1] in {b"400", b"431"}, told


@attack("smuggling: a length and chunks at once, and two lengths")
def smuggled(house: House) -> None:
    with served(house) as port:
        inner = b"0\r\n\r\nGET /api/v1/contests HTTP/1.1\r\nHost: x\r\n\r\n"
        for lines in (("Content-Length: 4", "Content-Length: 60"), ("Transfer-Encoding: xchunked",)):
            told = said(port, head("/sign-in", *lines) + inner)
            assert told.split(b" ")[1] in {b"400", b"501"}, told
        both = head("/sign-in", "Content-Length: 4", "Transfer-Encoding: chunked")
        assert said(port, both + inner).count(b"HTTP/1.1 200") == 0


@attack("deep JSON: 100,000 arrays in each other")
def deep_arrays(house: House) -> None:
    for path in ("/api/v1/contests", "/api/v1/contests/oppo/experiments", "/api/v1/experiments/1/online-scores"):
        refused(house.member.post(path, content="[" * 100_000 + "]" * 100_000, headers=JSON), 400, 422)


@attack("deep JSON: objects in a config, as deep as the reader takes and deeper")
def deep_objects(house: House) -> None:
    for depth in (50, 900, 5_000, 100_000):
        text = '{"name": "x", "config": {"encoder": ' + '{"a": ' * depth + "1" + "}" * depth + "}}"
        refused(house.member.post("/api/v1/contests/oppo/experiments", content=text, headers=JSON), 400, 422)
        typed = {"contest": "oppo", "name": "x", "json": text}
        assert house.member.post("/experiments/form", data=typed).status_code < 500


@attack("many parts: a form of 100,000 fields")
def many_fields(house: House) -> None:
    boundary = "".join(f'--x\r\nContent-Disposition: form-data; name="f{n}"\r\n\r\n1\r\n' for n in range(5_000))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = house.member.post("/experiments", content=boundary + "--x--\r\n", headers=headers)
    refused(answer, 400, 413, 422)


@attack("numbers: ids beyond 64 bits, in a path, a query and a body")
def beyond_64_bits(house: House) -> None:
    large = 10**30
    for path in (f"/api/v1/experiments/{large}", f"/experiments/{large}", f"/runs/{large}/log", f"/curves?run={large}"):
        refused(house.member.get(path), 404, 422)
    refused(house.member.get(f"/contests/oppo?offset={large}"), 404, 422)
    body = {"name": "x", "config": TINY, "parent_id": large}
    refused(house.member.post("/api/v1/contests/oppo/experiments", json=body), 404, 422)


@attack("numbers: NaN and infinity as a score that ranks")
def not_a_number(house: House) -> None:
    for text in ("NaN", "Infinity", "-Infinity", "1e999", '"NaN"', "1.5", "-0.1", "true", "1" + "0" * 400):
        path = "/api/v1/experiments/1/online-scores"
        refused(house.member.post(path, content=f'{{"value": {text}}}', headers=JSON), 422)
    for text in ("nan", "inf", "1e999", "-1", "0x1", "１"):
        if text != "１":  # a full-width digit is a digit
            refused(house.member.post("/experiments/1/online-scores", data={"value": text}), 422)
    assert house.member.get("/api/v1/experiments/1").json()["scores"] == []


@attack("numbers: NaN from a worker, in a score and in a loss")
def workers_nan(house: House) -> None:
    run, mine = house.claimed(401)
    scores = '{"roc_auc": NaN, "accuracy": 0.5, "f1": 0.5, "log_loss": 0.5}'
    text = f'{{"first": 1, "events": [{{"type": "scored", "split": "valid", "rows": 5, "scores": {scores}}}]}}'
    path = f"/api/v1/runs/{run}/events"
    refused(house.stranger.post(path, content=text, headers={**mine, **JSON}), 422)
    refused(house.stranger.post(path, content=text.replace("NaN", "1e999"), headers={**mine, **JSON}), 422)
    refused(house.stranger.post(path, content=text.replace("NaN", "7"), headers={**mine, **JSON}), 422)


@attack("numbers: NaN in a config")
def config_nan(house: House) -> None:
    for text in ("NaN", "Infinity", "1e999"):
        body = f'{{"name": "x", "config": {{"finetune": {{"learning_rate": {text}}}}}}}'
        refused(house.member.post("/api/v1/contests/oppo/experiments", content=body, headers=JSON), 400, 422)


@attack("text: half a character, and a NUL")
def half_a_character(house: House) -> None:
    for text in (r"\ud800", r"a\udfffb"):
        for field in ("name", "note"):
            body = json.dumps({"name": "x"})[:-1] + f', "{field}": "{text}"}}'
            refused(house.member.post("/api/v1/contests", content=body, headers=JSON), 400, 422)
    assert house.member.get("/contests/%00").status_code in {404, 422}
    assert house.member.get("/api/v1/contests/oppo/leaderboard?search=%00").status_code in {200, 422}


@attack("text: a note of a megabyte")
def long_note(house: House) -> None:
    long = "x" * (1 << 20)
    assert "at most" in refused(house.member.post("/api/v1/contests", json={"name": "x", "note": long}), 422)
    assert "at most" in refused(house.member.patch("/api/v1/experiments/1", json={"note": long}), 422)
    body = {"name": "x", "note": long, "config": TINY}
    refused(house.member.post("/api/v1/contests/oppo/experiments", json=body), 422)
    refused(house.member.post("/api/v1/contests/oppo/experiments", json={"name": long, "config": TINY}), 422)
    refused(house.member.patch("/api/v1/experiments/1", json={"verdict": long}), 422)


@attack("rows: more than the server takes")
def many_rows(house: House) -> None:
    rows = b"".join(b"%d\t%d\t%d\n" % (n, n + 1, n % 2) for n in range(40))
    with mock.patch.object(report, "MOST_ROWS", 30):
        answer = house.member.post(
            "/api/v1/contests/oppo/files", files={"file": ("x.tsv", rows)}, data={"kind": "train"}
        )
    assert "more than 30 rows" in refused(answer, 422)


@attack("rows: a page of a million")
def long_page(house: House) -> None:
    for path in (
        "leaderboard?limit=1000000",
        "leaderboard?limit=-1",
        "leaderboard?offset=-1",
        "files/1/pairs?offset=-5",
    ):
        refused(house.member.get(f"/api/v1/contests/oppo/{path}"), 422)


@attack("SQL: in sort")
def sql_in_sort(house: House) -> None:
    for sort in ("name;DROP TABLE runs", "(SELECT password_hash FROM members)", "name desc", "valid,1", "__class__"):
        answer = house.member.get("/api/v1/contests/oppo/leaderboard", params={"sort": sort})
        assert "choose one of" in refused(answer, 422)


@attack("SQL: in what is searched for, filtered by and grouped by")
def sql_in_search(house: House) -> None:
    quotes = (
        "' OR '1'='1",
        "id:1) OR (1=1",
        "valid>=0 OR 1=1",
        "%' UNION SELECT password_hash FROM members --",
        "\\' --",
    )
    for text in quotes:
        answer = house.member.get("/api/v1/contests/oppo/leaderboard", params={"search": text})
        assert answer.status_code in {200, 422}, answer.text
        if answer.status_code == 200:
            assert answer.json()["total"] == 0, text
        refused(house.member.get("/contests/oppo", params={"group": text}), 422)
        assert "$argon2" not in house.member.get("/search", params={"q": text}).text
    for key in ("members.password_hash:x", "__class__:x", "config.nothing:1"):
        refused(house.member.get("/api/v1/contests/oppo/leaderboard", params={"search": key}), 422)


@attack("SQL: wildcards that make a search slow or find all")
def wildcards(house: House) -> None:
    for text in ("%", "_", "%_%_%_%_%_%", "*"):
        answer = house.member.get("/api/v1/contests/oppo/leaderboard", params={"search": text})
        assert answer.status_code == 200
        assert answer.json()["total"] == 0, text


@attack("mass assignment: fields that nobody may set")
def mass_assignment(house: House) -> None:
    for extra in ({"made_by": "root"}, {"id": 1}, {"origin": "external"}, {"fingerprint": "x"}, {"scores": []}):
        body = {"name": "x", "config": TINY, **extra}
        refused(house.member.post("/api/v1/contests/oppo/experiments", json=body), 422)
        refused(house.member.patch("/api/v1/experiments/1", json=extra), 422)
    number = experiment_over_http(house.member, config={**TINY, "pretrain": None, "seed": 402})["id"]
    body = {"value": 0.5, "made_by": "root", "source": "rest"}
    refused(house.member.post(f"/api/v1/experiments/{number}/online-scores", json=body), 422)
