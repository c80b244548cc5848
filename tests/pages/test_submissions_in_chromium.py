"""Submissions in a real browser: checked, planned, sent, scored and corrected; what the page offers to paste works."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from app.accounts import service as accounts
from app.db import Database
from ml.contract.events import Finished
from tests.factories import TINY, pair_text, upload_over_http
from tests.pages.conftest import SHOTS, SIZES, fits, opened
from tests.pages.test_for_everyone import RULES
from tests.processes import SetUp, set_up

ROWS = 500
NAME = 'it\'s "n-gram" $HOME 一号'


def finished(line: SetUp, name: str, seed: int, **changes: Any) -> dict[str, Any]:
    """An experiment whose run finished, with a file to send."""
    config = {**TINY, "pretrain": None, "seed": seed}
    body = {"name": name, "config": config}
    found = line.http.post("/api/v1/contests/oppo/experiments", json=body, **changes).raise_for_status().json()
    run, worker = found["runs"][0]["id"], {"Authorization": f"Bearer {line.env['PAIRBOARD_WORKER_TOKEN']}"}
    who = {"worker": "w1", "boot_id": "boot-one"}
    claim = line.http.post(f"/api/v1/runs/{run}/claim", json=who, headers=worker).raise_for_status().json()
    headers = {"Authorization": f"Bearer {claim['token']}"}
    truth, noise = np.random.default_rng(7).random(ROWS), np.random.default_rng(seed).random(ROWS)
    text = "".join(f"{float(value)!r}\n" for value in (3 * truth + noise) / 4)
    upload_over_http(line.http, run, "test_predictions.tsv", text.encode(), headers)  # type: ignore[arg-type]
    events = {"first": 1, "events": [Finished(seconds=1).model_dump(mode="json")]}
    line.http.post(f"/api/v1/runs/{run}/events", json=events, headers=headers).raise_for_status()
    return dict(found)


def contest(line: SetUp, **options: Any) -> None:
    line.http.post("/api/v1/contests", json={"name": "Oppo", "slug": "oppo"}, **options).raise_for_status()
    for kind, rows in (("train", 60), ("test", ROWS)):
        files = {"file": (f"{kind}.tsv", pair_text(rows, label=kind == "train").encode())}
        answer = line.http.post("/api/v1/contests/oppo/files", files=files, data={"kind": kind}, **options)
        answer.raise_for_status()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[SetUp]:
    with set_up(tmp_path, PAIRBOARD_SWEEP_SECONDS="600") as made:
        made.start_web()
        contest(made)
        finished(made, "first", 1)
        finished(made, NAME, 2)
        made.http.post("/api/v1/experiments/1/online-scores", json={"value": 0.86}).raise_for_status()
        yield made


def scores(line: SetUp) -> list[dict[str, Any]]:
    return [score for score in line.experiment(2)["scores"] if score["split"] == "online"]


def everyone(page: Page, name: str) -> None:
    """Nothing sticks out, and no rule of accessibility is broken."""
    fits(page, name)
    found = Axe().run(page, options=RULES).response["violations"]
    assert [(item["id"], [node["html"][:200] for node in item["nodes"][:3]]) for item in found] == [], name


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("script", [True, False], ids=["scripts", "plain"])
def test_plan_send_score_and_correct(chromium: str, line: SetUp, size: str, script: bool) -> None:
    harmless = ("404", "409", "422")
    with opened(chromium, line.url, SIZES[size], harmless=harmless, java_script_enabled=script) as page:
        page.goto("/contests/oppo/submissions")
        page.get_by_label("Time zone of the contest").fill("Mars/Olympus")
        page.get_by_label("Files a day").fill("2")
        page.get_by_role("button", name="Keep").click()
        expect(page.get_by_role("alert")).to_contain_text("'Mars/Olympus' is no time zone")
        expect(page.get_by_label("Files a day")).to_have_value("2")
        page.get_by_label("Time zone of the contest").fill("Asia/Shanghai")
        page.get_by_role("button", name="Keep").click()
        expect(page.locator("main")).to_contain_text("1 used, 0 planned, 1 left of 2")

        page.goto("/experiments/2")
        page.get_by_role("link", name="Check before sending").click()
        expect(page.get_by_role("region", name="Checks").locator("tbody tr")).to_have_count(9)
        expect(page.get_by_role("region", name="Checks")).to_contain_text("500 rows, as many as the test file has")
        expect(page.get_by_role("region", name="Histogram").locator("tbody tr")).to_have_count(20)
        expect(page.get_by_role("region", name="Likeness")).to_contain_text("0.86")
        if script:
            everyone(page, "check-before-sending")
        expect(page.get_by_role("button", name="Check it")).to_be_hidden()  # a file made elsewhere is folded away
        form = page.locator("form").filter(has=page.get_by_role("button", name="Plan for that day"))
        form.get_by_role("textbox", name="Board").fill("A")
        form.get_by_label("Remark").fill("hope")
        form.get_by_role("button", name="Plan for that day").click()
        page.wait_for_url("**/experiments/2#online")
        expect(page.locator("#online")).to_contain_text("1 used, 1 planned, 0 left of 2")

        page.goto("/contests/oppo/submissions")
        planned = page.get_by_role("region", name="Planned")
        expect(planned).to_contain_text("hope")
        if script:
            everyone(page, "submissions")
        planned.get_by_role("button", name="Mark as sent").click()
        page.wait_for_url("**/experiments/2#online")
        expect(page.locator("#online")).to_contain_text("2 used, 0 planned, 0 left of 2")

        page.goto("/experiments/2/submission?board=A")
        page.get_by_role("button", name="It was sent just now").click()
        expect(page.get_by_role("alert")).to_contain_text("exactly this file was sent before")
        expect(page.get_by_role("button", name="It was sent just now")).to_be_visible()

        page.goto("/experiments/2")
        form = page.locator("#online > form").last
        form.get_by_label("Online AUC").fill("87.8")
        form.get_by_role("button", name="Add").click()
        expect(page.get_by_role("alert")).to_contain_text("did you mean 0.878?")
        form.get_by_label("Online AUC").fill("0.88")
        form.get_by_role("button", name="Add").dblclick()
        table = page.get_by_role("region", name="Online scores")
        expect(table.locator("tbody tr")).to_have_count(1)
        table.get_by_text("Correct", exact=True).click()
        table.get_by_label("Right value").fill("0.78")
        table.get_by_label("Remark").fill("misread")
        table.get_by_role("button", name="Add the correction").click()
        expect(table.locator("tbody tr")).to_have_count(2)
        expect(table.locator("del")).to_have_text("0.88")
        expect(page.get_by_role("region", name="Submissions", exact=True)).to_contain_text("0.88 A, 0.78 A")
        if script:
            everyone(page, "experiment-with-scores")
        found = scores(line)
        assert [(score["value"], score["counts"], score["board"]) for score in found] == [
            (0.88, False, "A"),
            (0.78, True, "A"),
        ]
        assert found[1]["corrects_id"] == found[0]["id"]
        page.goto("/contests/oppo")
        expect(page.locator(".board tbody tr").first).to_contain_text("0.78")
        expect(page.locator(".board tbody tr").first).to_contain_text("board A")
        fits(page, "board-with-boards")


def run(command: list[str], **env: str) -> dict[str, Any]:
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_pasted_works(chromium: str, line: SetUp, tmp_path: Path) -> None:
    """As it stands on the page, with the reader's own host, number and name; twice the same line is one score."""
    with opened(chromium, line.url, SIZES["desktop"]) as page:
        page.goto("/experiments/2")
        page.get_by_text("The same by REST").click()
        pasted = {name: page.locator(f"#post-{name}").inner_text() for name in ("curl", "python", "command")}
        page.goto("/contests/oppo/submissions")
        page.get_by_text("One score by REST").click()
        by_hash = page.locator("#post-curl").inner_text()
    assert "\n" not in pasted["curl"]
    assert f"{line.url}/api/v1/contests/oppo/online-scores" in pasted["curl"]
    first, again = (run(["bash", "-c", pasted["curl"]]) for _ in range(2))
    assert first == again
    python = run([sys.executable, "-c", pasted["python"]])
    assert [score["id"] for score in scores(line)] == [first["id"], python["id"]]
    assert {score["value"] for score in scores(line)} == {0.8778}
    told = line.cli(*shlex.split(pasted["command"])[1:])
    assert NAME in told
    name = re.search(r"sha256sum (\S+) ", by_hash)
    assert name is not None
    (tmp_path / name[1]).write_bytes(line.http.get("/api/v1/experiments/2/submission-file").content)
    assert run(["bash", "-c", f"cd {tmp_path} && {by_hash}"])["submission_id"]
    assert len(scores(line)) == 4


def test_what_is_pasted_where_people_sign_in(tmp_path: Path) -> None:
    """The commands carry the token that the page names."""
    with set_up(tmp_path, PAIRBOARD_SECRET="s" * 40) as line:
        database = Database(f"sqlite:///{tmp_path / 'data' / 'pairboard.db'}")
        with database.writing() as session:
            accounts.add_member(session, "ann", "correct horse battery")
            token = accounts.issue_token(session, "script", "member")
        database.dispose()
        line.env["PAIRBOARD_HOST"] = "0.0.0.0"
        line.start_web()
        mine = {"Authorization": f"Bearer {token}"}
        contest(line, headers=mine)
        finished(line, "first", 1, headers=mine)
        html = line.http.get("/experiments/1", headers=mine).text
        pasted = dict(re.findall(r'<pre id="post-([\w-]+)" tabindex="0">(.*?)</pre>', html, re.DOTALL))
        import html as unescaping

        curl = unescaping.unescape(pasted["curl"])
        assert run(["bash", "-c", curl], PAIRBOARD_TOKEN=token)["made_by"] == "script"
        code = unescaping.unescape(pasted["python"])
        assert run([sys.executable, "-c", code], PAIRBOARD_TOKEN=token)["made_by"] == "script"
        assert httpx2.post(f"{line.url}/api/v1/experiments/1/online-scores", json={"value": 0.5}).status_code == 401


def test_pictures(chromium: str, line: SetUp) -> None:
    """Kept when asked for: each page of submissions in both languages and themes."""
    if not SHOTS:
        pytest.skip("PAIRBOARD_TEST_SCREENSHOTS names no folder")
    day = datetime.now(UTC).date().isoformat()
    line.http.patch("/api/v1/contests/oppo/quota", json={"submissions_a_day": 3}).raise_for_status()
    line.http.post("/api/v1/experiments/2/submissions", json={"board": "A", "day": day}).raise_for_status()
    wrong = line.http.post("/api/v1/experiments/1/online-scores", json={"value": 0.9, "board": "A"}).json()
    line.http.post("/api/v1/experiments/1/online-scores", json={"value": 0.85, "corrects": wrong["id"]})
    for language, theme in (("en", "light"), ("zh", "dark")):
        for size in SIZES.values():
            with opened(chromium, line.url, size) as page:
                kept = {"pairboard_language": language, "pairboard_theme": theme}
                page.context.add_cookies(
                    [{"name": key, "value": value, "url": line.url} for key, value in kept.items()]
                )
                for name, path in (
                    ("submissions", "/contests/oppo/submissions"),
                    ("check", "/experiments/2/submission"),
                    ("experiment", "/experiments/1"),
                    ("board", "/contests/oppo"),
                ):
                    page.goto(path)
                    fits(page, f"{name}-{language}-{theme}")
