"""The leaderboard in a real browser: filter, group, save a view, fuse, archive, throw away and empty the trash."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.factories import TINY, pair_text
from tests.processes import SetUp, set_up

SIZES = {"desktop": (1280, 900), "phone": (360, 800)}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    """A server without a worker: rows wait, are cancelled, or were trained elsewhere."""
    with set_up(tmp_path_factory.mktemp("board")) as made:
        made.start_web()
        yield made


@pytest.fixture(params=list(SIZES))
def page(request: pytest.FixtureRequest, chromium: str, line: SetUp) -> Iterator[Page]:
    """A page of that width, without and with JavaScript as the test says, whose scripts throw nothing."""
    width, height = SIZES[request.param]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(base_url=line.url, viewport={"width": width, "height": height})
        opened = context.new_page()
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        yield opened
        assert problems == []
        browser.close()


def contest(line: SetUp, slug: str) -> None:
    """Three queued rows: two of one split, one of another."""
    assert line.http.post("/api/v1/contests", json={"name": slug, "slug": slug}).status_code == 201
    for kind in ("train", "test"):
        text = pair_text(60, label=kind == "train")
        files = {"file": (f"{kind}.tsv", text.encode())}
        added = line.http.post(f"/api/v1/contests/{slug}/files", files=files, data={"kind": kind})
        assert added.status_code == 201, added.text
    for number, split in ((1, 1), (2, 1), (3, 2)):
        config = {**TINY, "pretrain": None, "seed": number, "data": {**TINY["data"], "split_seed": split}}
        body = {"name": f"row {number}", "config": config}
        assert line.http.post(f"/api/v1/contests/{slug}/experiments", json=body).status_code == 201


def fits(page: Page) -> None:
    """Nothing sticks out sideways."""
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"{page.url} is {over} px too wide"


def test_a_board(page: Page, line: SetUp) -> None:
    width = (page.viewport_size or {})["width"]
    slug = f"board-{width}"
    contest(line, slug)
    page.goto(f"/contests/{slug}")
    rows = page.locator(".board tbody tr")
    expect(rows).to_have_count(3)

    # a filter under a head is a term of the search, in the address
    if width > 640:
        page.get_by_label("rows with these words in name or note").fill("2")
        page.get_by_role("button", name="Filter").click()
        expect(rows).to_have_count(1)
        expect(page.get_by_label("Search", exact=True)).to_have_value("2")
        page.get_by_label("rows of this status").select_option("queued")
        page.get_by_label("rows with these words in name or note").press("Enter")
        expect(page.get_by_label("Search", exact=True)).to_have_value("2 status:queued")
    else:
        page.get_by_label("Search", exact=True).fill("2 status:queued")
        page.get_by_label("Search", exact=True).press("Enter")
        expect(rows).to_have_count(1)
    fits(page)

    # the view is saved, found again, and nothing else is marked
    page.get_by_text("Save this view").click()
    page.get_by_label("Name of the view").fill("the second")
    page.get_by_role("button", name="Save view").click()
    expect(page.get_by_role("status")).to_have_text("This view is saved as the second.")
    page.goto(f"/contests/{slug}?all")
    expect(rows).to_have_count(3)
    link = page.get_by_role("navigation", name="Saved views").get_by_role("link", name="the second")
    expect(link).not_to_have_attribute("aria-current", "true")
    link.click()
    expect(rows).to_have_count(1)
    expect(link).to_have_attribute("aria-current", "true")
    fits(page)

    # rows of one split go into the form of a fusion, others are refused with the reason
    page.goto(f"/contests/{slug}?group=data.split_seed")
    expect(page.locator("main section")).to_contain_text("By data.split_seed")
    page.get_by_label("select row 1").check()
    page.get_by_label("select row 3").check()
    page.get_by_role("button", name="Fuse").click()
    expect(page.get_by_role("status")).to_contain_text("are of different splits")
    page.get_by_label("select row 1").check()
    page.get_by_label("select row 2").check()
    page.get_by_role("button", name="Fuse").click()
    page.wait_for_url("**/experiments/new?**")
    expect(page.locator('[name="fusion.members"]')).to_have_value(re.compile(r"\d+, \d+"))

    # cancelled, archived, thrown away, taken out, emptied
    page.goto(f"/contests/{slug}?all")
    for action, told in (("Cancel", "1 cancelled."), ("Archive", "1 archived.")):
        page.get_by_label("select row 3").check()
        page.get_by_role("button", name=action, exact=True).click()
        expect(page.get_by_role("status")).to_have_text(told)
    page.get_by_role("link", name="1 in the archive").click()
    page.get_by_label("select row 3").check()
    page.get_by_role("button", name="To the trash").click()
    expect(page.locator("main")).to_contain_text("Put 1 row into the trash?")
    fits(page)
    page.get_by_role("button", name="Put into the trash").click()
    expect(page.get_by_role("status")).to_contain_text("1 row is in the trash; emptying it frees 0 B more.")
    page.get_by_label("select row 3").check()
    page.get_by_role("button", name="Take the ticked ones out again").click()
    expect(page.get_by_role("status")).to_have_text("1 row is in the archive again.")
    page.get_by_role("link", name="Back to the archive").click()
    page.get_by_label("select row 3").check()
    page.get_by_role("button", name="To the trash").click()
    page.get_by_role("button", name="Put into the trash").click()
    page.get_by_role("button", name="Empty the trash").click()
    expect(page.get_by_role("status")).to_contain_text("1 row is removed for good")
    expect(page.locator("main")).to_contain_text("Removed for good")
    fits(page)
    page.goto(f"/contests/{slug}?all")
    expect(rows).to_have_count(2)


def test_the_head_stays_in_sight(page: Page, line: SetUp, tmp_path: Path) -> None:
    width = (page.viewport_size or {})["width"]
    slug = f"long-{width}"
    assert line.http.post("/api/v1/contests", json={"name": slug, "slug": slug}).status_code == 201
    table = "| experiment | valid |\n|-|-|\n" + "".join(f"| row {number} | 0.8 |\n" for number in range(60))
    source = tmp_path / "table.md"
    source.write_text(table)
    line.cli("import-table", str(source), "--contest", slug)
    page.goto(f"/contests/{slug}")
    expect(page.locator(".board tbody tr")).to_have_count(60)
    head = page.locator("thead")
    if width > 640:
        before = (head.bounding_box() or {})["y"]
        page.evaluate("document.querySelector('.held').scrollTop = 1500")
        after = (head.bounding_box() or {})["y"]
        assert before - 100 < after <= before
        assert after >= (page.locator(".held").bounding_box() or {})["y"] - 1
    fits(page)
