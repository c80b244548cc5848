"""Who reaches for the sealed answers of a contest, and with what files."""

import hashlib
import re
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.contests import queries as contests
from app.keeping import manifest
from app.sealed import answers, queries
from app.security import all_routes, declared
from tests.factories import TINY, experiment_over_http, pair_text
from tests.security.house import House, refused
from tests.security.table import attack

ROWS = 40
URL = "/api/v1/contests/{slug}/sealed"
#: an answer to each test row; by chance so many zeros and ones stand nowhere in this order
LABELS = [int(sign) for sign in f"{0xA3C5F19E7D:040b}"]
RUN = 24
SECRETS = ["".join(map(str, LABELS[first : first + RUN])).encode() for first in range(ROWS - RUN + 1)]
BUT_DIGITS = bytes(set(range(256)) - set(b"01"))


def leaked(content: bytes) -> bool:
    """Whatever stands between the answers."""
    words = content.replace(b"true", b"1").replace(b"false", b"0")
    found = (words, words.replace(b".0", b""), b"".join(re.findall(rb"label\W{1,4}([01])\b", words)))
    return any(secret in text.translate(None, BUT_DIGITS) for secret in SECRETS for text in found)


def sealed(house: House, slug: str, **terms: str) -> str:
    """The name of the file in which the answers of a new contest lie."""
    assert house.member.post("/api/v1/contests", json={"name": slug, "slug": slug}).status_code == 201
    for kind in ("train", "test"):
        files = {"file": (f"{kind}.tsv", pair_text(ROWS, seed=7, label=kind == "train").encode())}
        path = f"/api/v1/contests/{slug}/files"
        assert house.member.post(path, files=files, data={"kind": kind}).status_code == 201
    told = {"answers": ("answers.txt", "".join(f"{label}\n" for label in LABELS).encode())}
    made = house.member.post(URL.format(slug=slug), files=told, data={"uploads_a_day": "3", **terms})
    assert made.status_code == 201, made.text
    with house.app.state.database.reading() as session:
        return queries.sealed(session, contests.contest(session, slug)).stored


def send(house: House, slug: str, content: bytes, headers: dict[str, str], name: str = "p.tsv", **data: str) -> Any:
    files = {"file": (name, content)}
    return house.stranger.post(f"{URL.format(slug=slug)}/uploads", files=files, data=data, headers=headers)


def predictions(seed: int) -> bytes:
    return "".join(f"0.{(number * 7919 + seed) % 9973:04d}\n" for number in range(ROWS)).encode()


def addresses(house: House, slug: str, fills: dict[str, list[str]]) -> Iterator[str]:
    """Every address at which something may be read, with each name filled in."""
    for route in all_routes(house.app):
        if "GET" not in (route.methods or ()) or route.path.endswith("/stream") or declared(route) == "anyone":
            continue
        found = [route.path.replace("{slug}", slug)]
        for name in set(re.findall(r"\{(\w+)", route.path)) - {"slug"}:
            given = fills.get(name, ["1"])
            found = [re.sub(rf"\{{{name}(:path)?\}}", fill, item) for item in found for fill in given]
        yield from found


@attack("sealed: the answers read by a worker, an attempt, a program or a person, at every address")
def every_address(house: House) -> None:
    name = sealed(house, "asked")
    content = (answers.folder_of(house.app.state.settings) / name).read_bytes()
    assert leaked(content), "or nothing could be found"
    member, reader = house.person(), house.token("read")
    attempt = house.claimed(801)[1]
    file = next(item for item in house.member.get("/api/v1/contests/asked").json()["files"] if item["kind"] == "test")
    made = experiment_over_http(house.member, "asked", config={**TINY, "pretrain": None, "seed": 802})
    send(house, "asked", predictions(1), house.token("read", "submit"))
    sha256 = hashlib.sha256(content).hexdigest()
    numbers = {"experiment_id": [str(made["id"])], "run_id": [str(made["runs"][0]["id"])]}
    names = {"sha256": [sha256, name], "name": [name, f"..%2Fsealed%2F{name}"], "file_id": [str(file["id"])]}
    found, called, failed = [], 0, []
    for address in addresses(house, "asked", {**numbers, **names}):
        asked = "?everyone=true&private=true&limit=1000&run=1&series=loss&ids=1&q=0"
        known = (house.stranger, reader) if address.startswith("/api/") else (member, {})
        for client, headers in ((house.stranger, house.worker), (house.stranger, attempt), known):
            answer = client.get(address + asked, headers=headers)
            called += 1
            failed += [address] if answer.status_code >= 500 else []
            found += [address] if leaked(answer.content + str(answer.headers).encode()) else []
    assert found == []
    assert failed == []
    assert called > 300


@attack("sealed: the answers' file as a run's input, as an upload by its hash, and as weights")
def by_its_hash(house: House) -> None:
    name = sealed(house, "hashed")
    path = answers.folder_of(house.app.state.settings) / name
    content, sha256 = path.read_bytes(), hashlib.sha256(path.read_bytes()).hexdigest()
    run, attempt = house.claimed(803)
    refused(house.stranger.get(f"/api/v1/runs/{run}/inputs/{sha256}", headers=attempt), 404)
    told = {"name": "mine.tsv", "sha256": sha256, "size": len(content)}
    answer = house.stranger.post(f"/api/v1/runs/{run}/uploads", json=told, headers=attempt)
    assert answer.json()["artifact"] is None, "to name the hash is not to have the file"
    for folder in (str(path), str(path.parent), f"{path.parent}/../sealed"):
        config = {**TINY, "pretrain": None, "encoder": {**TINY["encoder"], "weights": folder}}
        answer = house.member.post("/api/v1/contests/hashed/experiments", json={"name": "x", "config": config})
        assert answer.status_code != 201 or not leaked(answer.content)
        assert not leaked(answer.content)
    for base in ("/static", "/bokeh", f"/api/v1/runs/{run}/artifacts", "/contests/hashed/files"):
        for up in ("../", "..%2f", "%2e%2e/", "..%5c"):
            for inside in (f"sealed/{name}", str(path)):
                answer = house.member.get(f"{base}/{up * 6}{inside}")
                refused(answer, 303, 307, 404, 422)
                assert not leaked(answer.content)


@attack("sealed: the answers provoked out of an error message")
def by_errors(house: House) -> None:
    sealed(house, "provoked", uploads_a_day="500")
    who = house.token("read", "submit")
    good = predictions(3).splitlines()
    for line in (b"x", b"nan", b"", b"2", b"0.1\t0.2", b"\xff", b"=1+1", b"0." + b"1" * 5000):
        answer = send(house, "provoked", b"\n".join([*good[:5], line, *good[6:]]) + b"\n", who)
        refused(answer, 422)
        assert not leaked(answer.content)
    for content in (b"", b"0.5\n", predictions(4) * 2, bytes(range(256))):
        answer = send(house, "provoked", content, who)
        refused(answer, 422)
        assert not leaked(answer.content)
    owner = house.member
    for given in (b"0\n", b"x\n" * ROWS, "".join(f"{label}\n" for label in LABELS).encode() + b"7\n"):
        told = {"answers": ("a.txt", given)}
        answer = owner.post(URL.format(slug="provoked"), files=told, data={"uploads_a_day": "3"})
        refused(answer, 409, 422)
        assert not leaked(answer.content)


@attack("sealed: the answers taken away, changed or revealed by who did not seal them")
def by_others(house: House) -> None:
    sealed(house, "guarded")
    closed = {"closes_at": "2020-01-01T00:00:00+00:00"}
    for who in (house.person(), house.person("viewer"), house.person("owner")):
        refused(who.patch(URL.format(slug="guarded"), json={"uploads_a_day": 500}), 403)
        refused(who.patch(URL.format(slug="guarded"), json=closed), 403)
        refused(who.post(f"{URL.format(slug='guarded')}/reveal"), 403)
        refused(who.delete(URL.format(slug="guarded")), 403)
        form = {"uploads_a_day": "500", "runs_a_day": "500", "time_zone": "UTC"}
        refused(who.post("/contests/guarded/sealed/terms", data=form), 403, 422)
        refused(who.post("/contests/guarded/sealed/unseal"), 403)
    assert house.member.get(URL.format(slug="guarded")).json()["uploads_a_day"] == 3


@attack("sealed: the day's limit passed by many at once, by other tokens and by other names of one file")
def beyond_the_limit(house: House) -> None:
    sealed(house, "limited", uploads_a_day="1")
    person = house.person()
    keys = [house.token("read", "submit", of=person) for _ in range(4)]
    start, told = threading.Barrier(len(keys)), []

    def run(place: int) -> None:
        start.wait()
        told.append(send(house, "limited", predictions(place), keys[place], name=f"{place}.tsv").status_code)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(keys))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [201, 429, 429, 429]
    files = {"file": ("again.tsv", predictions(99))}
    refused(person.post(f"{URL.format(slug='limited')}/uploads", files=files), 429)
    refused(send(house, "limited", predictions(98), house.token("read", of=person)), 403)


@attack("sealed: the private scores, or another member's remarks, before the reveal")
def private_scores(house: House) -> None:
    sealed(house, "private")
    ann, ben = house.token("read", "submit", of=house.person()), house.token("read", "submit", of=house.person())
    assert send(house, "private", predictions(5), ann).json()["private_score"] is None
    for headers in (ann, ben):
        for path in ("/board", "/uploads?everyone=true", ""):
            answer = house.stranger.get(URL.format(slug="private") + path, headers=headers)
            assert answer.status_code == 200
            for word in ("private", "private_score"):
                for value in re.findall(rf'"{word}": ?([^,}}]+)', answer.text):
                    assert value == "null", answer.text
    for path in ("/contests/private/sealed", "/contests/private", "/contests/private/leaderboard.csv"):
        assert "private_score" not in house.stranger.get(path, headers=ann).text


@attack("sealed: a backup, or a copy of the database, fetched from the server")
def backups(house: House) -> None:
    assert not [route.path for route in all_routes(house.app) if re.search("backup|restore|dump|download", route.path)]
    assert manifest.__doc__, "they are made at the command line alone"
    for path in ("/pairboard.db", "/static/../pairboard.db", "/api/v1/backup", "/public.db", "/storage", "/sealed"):
        refused(house.member.get(path), 404)
    folder = answers.folder_of(house.app.state.settings)
    assert folder.stat().st_mode & 0o077 == 0
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(FileNotFoundError):
        (folder / secrets.token_hex(16)).stat()
