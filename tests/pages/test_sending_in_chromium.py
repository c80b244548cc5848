"""From the contest's form to a score in a real browser: checked, planned, downloaded, sent, its score typed in; on a
desk and on a phone."""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from ml.contract.events import Finished
from tests.factories import TINY, experiment_over_http, pair_text, upload_over_http
from tests.pages.conftest import SIZES, fits, opened
from tests.processes import SetUp, set_up

ROWS = 40


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    with set_up(tmp_path_factory.mktemp("sending-pages")) as made:
        made.start_web()
        yield made


@pytest.fixture(params=list(SIZES))
def page(request: pytest.FixtureRequest, chromium: str, line: SetUp) -> Iterator[Page]:
    """A page of that width, dark on a phone."""
    theme = "dark" if request.param == "phone" else "light"
    with opened(chromium, line.url, SIZES[request.param], harmless=("422",), color_scheme=theme) as made:
        yield made


def finished(line: SetUp, slug: str) -> int:
    """An experiment of a contest with a test file; its run left predictions, as a worker would."""
    line.http.post("/api/v1/contests", json={"name": "Oppo 小布", "slug": slug}).raise_for_status()
    for kind in ("train", "test"):
        text = pair_text(60 if kind == "train" else ROWS, seed=len(slug), label=kind == "train")
        sent = {"file": (f"{kind}.tsv", text.encode())}
        line.http.post(f"/api/v1/contests/{slug}/files", files=sent, data={"kind": kind}).raise_for_status()
    made = experiment_over_http(line.http, slug, name="first 一号", config={**TINY, "pretrain": None})
    run, worker = made["runs"][0]["id"], {"Authorization": f"Bearer {line.env['PAIRBOARD_WORKER_TOKEN']}"}
    who = {"worker": "w1", "boot_id": "boot-one"}
    claim = line.http.post(f"/api/v1/runs/{run}/claim", json=who, headers=worker).raise_for_status().json()
    held = {"Authorization": f"Bearer {claim['token']}"}
    values = np.random.default_rng(run).random(ROWS).tolist()
    upload_over_http(line.http, run, "test_predictions.tsv", "".join(f"{p!r}\n" for p in values).encode(), held)
    body = {"first": 1, "events": [Finished(seconds=1).model_dump(mode="json")]}
    line.http.post(f"/api/v1/runs/{run}/events", json=body, headers=held).raise_for_status()
    number: int = made["id"]
    return number


def test_from_the_form_to_the_score(page: Page, line: SetUp, tmp_path: Path) -> None:
    slug = f"sent-{(page.viewport_size or {})['width']}"
    number = finished(line, slug)

    # the contest's form; the way to it is beside the submissions
    page.goto(f"/contests/{slug}/submissions")
    page.get_by_role("link", name="Form of prediction files").click()
    page.get_by_label("Columns", exact=True).fill("id, probability")
    page.get_by_label("Header").fill("id,score")
    page.get_by_label("Columns are divided by").select_option("comma")
    page.get_by_label("Decimals").fill("2")
    page.get_by_label("In a zip").check()
    page.get_by_label("Name of the file").fill("result.csv")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#sample")).to_contain_text("result.zip, in it result.csv")

    # two decimals make ties: it is said before the file is planned
    page.goto(f"/experiments/{number}")
    page.get_by_role("link", name="Check before sending, plan").click()
    checks = page.get_by_role("region", name="Checks")
    expect(checks).to_contain_text("result.zip (id, probability) is read back as the contest reads it")
    expect(checks).to_contain_text("different values: ")
    fits(page, "check-ties")
    page.get_by_role("link", name="in this form").click()
    page.get_by_label("Decimals").fill("")
    page.get_by_role("button", name="Save").click()
    page.goto(f"/experiments/{number}/submission")
    expect(page.get_by_role("region", name="Checks")).to_contain_text(f"{ROWS} different values in {ROWS} rows")
    page.get_by_role("textbox", name="Board").fill("A")  # that of the folded form is hidden
    fits(page, "check")
    page.get_by_role("button", name="Plan for that day").click()
    online = page.locator("#online")
    expect(online.get_by_role("region", name="Submissions")).to_contain_text("planned")

    # the one download: its hash is the one that is shown, and the one of the plan
    with page.expect_download() as caught:
        online.get_by_role("link", name="Download the file for the contest").click()
    path = tmp_path / caught.value.suggested_filename
    caught.value.save_as(path)
    assert path.name == "result.zip"
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert online.locator(f'code[title="{sha256}"]').count() == 2
    with zipfile.ZipFile(path) as archive:
        assert archive.read("result.csv").decode().startswith("id,score\n0,")
    online.get_by_text("The same by REST").click()
    expect(online.locator("#post-curl")).to_contain_text(sha256)
    expect(online.locator("#post-python")).to_contain_text(sha256)
    fits(page, "experiment-planned")

    page.goto(f"/contests/{slug}/submissions")
    planned = page.get_by_role("region", name="Planned")
    expect(planned).to_contain_text("result.zip")
    fits(page, "submissions-planned")
    planned.get_by_role("button", name="Mark as sent").click()
    for value in ("0.86", "0.84"):
        page.locator("#online").get_by_label("Online AUC").fill(value)
        page.locator("#online").get_by_role("button", name="Add", exact=True).click()
        expect(page.get_by_role("region", name="Online scores")).to_contain_text(value)
    row = page.get_by_role("region", name="Submissions").locator("tbody tr").last
    expect(row).to_contain_text("sent")
    expect(row).to_contain_text("0.86")
    fits(page, "experiment-scored")

    # what the downloaded file got comes by its hash alone
    body = {"value": 0.85, "file_sha256": sha256}
    line.http.post(f"/api/v1/contests/{slug}/online-scores", json=body).raise_for_status()
    page.goto(f"/contests/{slug}")
    expect(page.locator("main table").first).to_contain_text("0.85000")
    expect(page.locator("main table").first).to_contain_text("best 0.86000")
    page.goto(f"/contests/{slug}/submissions")
    expect(page.get_by_role("region", name="Sent").locator("tbody tr")).to_have_count(3)
    fits(page, "submissions-sent")
