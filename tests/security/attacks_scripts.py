"""Scripts that somebody leaves where others read: in each place that shows what was typed, sent or logged."""

from typing import Any

from tests.factories import TINY, experiment_over_http, pair_text
from tests.security.house import PAYLOAD, House, dangers
from tests.security.table import attack


def harmless(house: House, *paths: str, shown: str = "&lt;script&gt;") -> None:
    """Each page shows what was planted as text, and a browser would run nothing of it."""
    for path in paths:
        answer = house.member.get(path)
        assert answer.status_code in {200, 404, 422}, (path, answer.text)
        assert dangers(answer.text) == [], path
        assert shown in answer.text, path


def planted(house: House, seed: int, **changes: Any) -> int:
    """An experiment of this seed; its number."""
    body = {"config": {**TINY, "pretrain": None, "seed": seed}, **changes}
    number: int = experiment_over_http(house.member, **body)["id"]
    return number


@attack("XSS: in a contest's name")
def contest_name(house: House) -> None:
    slug = house.member.post("/api/v1/contests", json={"name": PAYLOAD}).json()["slug"]
    harmless(house, "/", f"/contests/{slug}", f"/contests/{slug}/files", "/search?q=script")


@attack("XSS: in an experiment's name")
def experiment_name(house: House) -> None:
    number = planted(house, 301, name=PAYLOAD)
    pages = (f"/experiments/{number}", f"/experiments/{number}/edit", "/contests/oppo", "/contests/oppo/rows", "/queue")
    harmless(house, *pages, f"/contests/oppo/compare?ids={number}", f"/experiments/new?contest=oppo&clone={number}")


@attack("XSS: in a note, as raw HTML")
def note_html(house: House) -> None:
    number = planted(house, 302, name="n", note=PAYLOAD)
    harmless(house, f"/experiments/{number}", f"/experiments/{number}/edit", "/contests/oppo")


@attack("XSS: in a note, as Markdown's own links, images and titles")
def note_markdown(house: House) -> None:
    note = "\n\n".join(
        (
            "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](java\tscript:alert(1))",
            "[d](&#106;avascript:alert(1))",
            "[e](data:text/html,<script>alert(1)</script>) [f](vbscript:x) <javascript:alert(1)>",
            '![g](x "onerror=alert(1)") [h](https://ok.example "\\" onmouseover=alert(1) \\"")',
            "```<script>\nalert(1)\n```",
            "[i]: javascript:alert(1)\n[i]",
            "# <svg onload=alert(1)>",
        )
    )
    number = planted(house, 303, name="n", note=note)
    harmless(house, f"/experiments/{number}", shown="ok.example")
    shown = house.member.post("/notes/preview", data={"note": note})
    assert dangers(shown.text) == []


@attack("XSS: in a verdict")
def verdict(house: House) -> None:
    number = planted(house, 304, name="v")
    told = {"verdict": "<script>alert(1)</script>"}
    assert house.member.patch(f"/api/v1/experiments/{number}", json=told).status_code == 200
    harmless(house, f"/experiments/{number}", f"/experiments/{number}/edit")


@attack("XSS: in the remark of a score")
def remark(house: House) -> None:
    number = planted(house, 305, name="s")
    body = {"value": 0.8, "note": PAYLOAD}
    assert house.member.post(f"/api/v1/experiments/{number}/online-scores", json=body).status_code == 201
    harmless(house, f"/experiments/{number}", "/contests/oppo")


@attack("XSS: in the name of a saved view")
def view_name(house: House) -> None:
    name = "<script>alert(1)</script>"
    answer = house.member.post("/contests/oppo/views", data={"action": "save", "name": name})
    assert answer.status_code == 303, answer.text
    harmless(house, "/contests/oppo")
    house.member.post("/contests/oppo/views", data={"action": "delete", "of": name})


@attack("XSS: in a tag")
def tag(house: House) -> None:
    number = planted(house, 306, name="t")
    answer = house.member.post("/contests/oppo/selection", data={"action": "tag", "ids": number, "tag": "<b>x</b>"})
    assert answer.status_code == 303
    page = house.member.get("/contests/oppo")
    assert "<b>x</b>" not in page.text
    assert dangers(page.text) == []


@attack("XSS: in what is searched for")
def searched(house: House) -> None:
    from urllib.parse import quote

    text = quote("<script>alert(1)</script>")
    harmless(house, f"/search?q={text}", f"/contests/oppo?search={text}")


@attack("XSS: in an address that leads nowhere")
def nowhere(house: House) -> None:
    harmless(house, "/%3Cscript%3Ealert(1)%3C/script%3E", "/contests/%3Cscript%3Ealert(1)%3C/script%3E", shown="script")


@attack("XSS: in the sentences of a data file")
def sentences(house: House) -> None:
    rows = pair_text(30, seed=7) + "<script>alert(1)</script>\t<img src=x onerror=alert(1)>\t1\n"
    files = {"file": ("<b>.tsv", rows.encode())}
    made = house.member.post("/api/v1/contests/other/files", files=files, data={"kind": "train"})
    assert made.status_code == 201, made.text
    harmless(house, f"/contests/other/files/{made.json()['id']}/pairs?search=script", shown="&lt;")
    page = house.member.get("/contests/other/files")
    assert dangers(page.text) == []
    assert "<b>.tsv" not in page.text


@attack("XSS: in the rows of a file that is refused")
def refused_rows(house: House) -> None:
    files = {"file": ("x.tsv", b"a\tb\t1\nc\td\t0\n<script>alert(1)</script>\tb\tmaybe\n")}
    answer = house.member.post("/contests/oppo/files", files=files, data={"kind": "train"})
    assert answer.status_code == 422
    assert "&lt;script&gt;" in answer.text
    assert dangers(answer.text) == []


@attack("XSS: in what a form says back of a wrong value")
def wrong_value(house: House) -> None:
    typed = {"contest": "oppo", "name": PAYLOAD, "note": PAYLOAD, "encoder.hidden_size": PAYLOAD, "seed": PAYLOAD}
    answer = house.member.post("/experiments", data={**typed, "encoder.size": "explicit"})
    assert answer.status_code == 422
    assert dangers(answer.text) == []
    for path, form in (
        ("/contests", {"name": "", "slug": PAYLOAD}),
        ("/experiments/1/online-scores", {"value": PAYLOAD}),
    ):
        answer = house.member.post(path, data=form)
        assert answer.status_code == 422
        assert dangers(answer.text) == []


@attack("XSS: in the name that could not sign in")
def signed_in_as(house: House) -> None:
    answer = house.stranger.post("/sign-in", data={"name": PAYLOAD, "password": "x" * 12})
    assert answer.status_code == 401
    assert dangers(answer.text) == []


@attack("XSS: in a worker's log lines, failure and traceback")
def from_a_worker(house: House) -> None:
    run, mine = house.claimed(307)
    events = [
        {"type": "log", "level": "error", "message": PAYLOAD},
        {"type": "failed", "reason": PAYLOAD, "detail": PAYLOAD},
    ]
    answer = house.stranger.post(f"/api/v1/runs/{run}/events", json={"first": 1, "events": events}, headers=mine)
    assert answer.status_code == 200, answer.text
    harmless(house, f"/runs/{run}/log", f"/contests/oppo?search={'status:failed'}")
    number = house.member.get("/api/v1/contests/oppo/leaderboard?search=status:failed").json()["rows"][0]["id"]
    harmless(house, f"/experiments/{number}", f"/experiments/{number}/status")


@attack("XSS: in the names of a worker's machine")
def machine(house: House) -> None:
    hardware = {"cpu_count": 1, "cpu_percent": 1, "memory_bytes": 1, "memory_used_bytes": 1, "disk_free_bytes": 1}
    told = {"host": PAYLOAD, "hardware": hardware, "versions": {"torch": PAYLOAD}}
    body = {"worker": "evil", "boot_id": "boot-one", "machine": told}
    house.stranger.post("/api/v1/workers/heartbeat", json=body, headers=house.worker)
    named = {"worker": "<script>alert(1)</script>", "boot_id": "boot-one"}
    assert house.stranger.post("/api/v1/workers/heartbeat", json=named, headers=house.worker).status_code == 422
    assert dangers(house.member.get("/workers").text) == []


@attack("XSS: in the reason of a paused queue")
def paused(house: House) -> None:
    assert house.member.put("/api/v1/queues/gpu/pause", json={"reason": PAYLOAD}).status_code == 204
    harmless(house, "/queue")
    house.member.delete("/api/v1/queues/gpu/pause")


@attack("XSS: in cookies that choose theme and language")
def cookies(house: House) -> None:
    headers = {"Cookie": 'pairboard_theme="><script>alert(1)</script>; pairboard_language="><script>alert(1)</script>'}
    answer = house.stranger.get("/sign-in", headers=headers)
    assert answer.status_code == 200
    assert "alert(1)" not in answer.text
