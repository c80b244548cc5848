"""A new user in a real browser: contest, upload, form, live progress, three scores; on a desk and on a phone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.factories import TINY, pair_text
from tests.pages.conftest import SIZES, fits, opened
from tests.processes import SetUp, set_up
from tests.test_straight_line import flat


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    with set_up(tmp_path_factory.mktemp("pages")) as made:
        made.start_web()
        made.start_worker()
        yield made


@pytest.fixture(params=list(SIZES))
def page(request: pytest.FixtureRequest, chromium: str, line: SetUp) -> Iterator[Page]:
    """A page of that width, dark on a phone."""
    theme = "dark" if request.param == "phone" else "light"
    with opened(chromium, line.url, SIZES[request.param], harmless=("422",), color_scheme=theme) as made:
        yield made


def test_a_new_user(page: Page, line: SetUp, tmp_path: Path) -> None:
    slug = f"oppo-{(page.viewport_size or {})['width']}"
    page.goto("/")
    fits(page, "home")
    page.get_by_role("link", name="New contest").first.click()
    page.locator("[name=name]").fill("小布 sentence pairs")
    page.locator("[name=slug]").fill(slug)
    fits(page, "new-contest")
    page.locator("main form button").click()

    # a file with a bad row is refused with its line, and loaded without it on the user's word
    bad = tmp_path / "train.tsv"
    bad.write_text(pair_text(500, seed=len(slug)) + "1 2\t3 4\tmaybe\n")
    page.locator("[name=file]").set_input_files(bad)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("line 501: the label is 'maybe'")
    fits(page, "refused-file")
    page.locator("[name=file]").set_input_files(bad)
    page.get_by_label("Load it without its bad rows").check()
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("main")).to_contain_text("500 rows")
    fits(page, "files")

    page.goto(f"/contests/{slug}")
    fits(page, "empty-board")
    page.get_by_role("link", name="Queue the first one").click()
    page.locator("[name=name]").fill("first 一号")
    page.get_by_role("button", name="Open all").click()
    page.locator('[name="encoder.size"]').select_option("explicit")
    page.locator('[name="encoder.hidden_size"]').fill("33")
    for name, value in flat({key: TINY[key] for key in ("data", "tokens", "pretrain")}).items():
        page.locator(f'[name="{name}"]').fill(value)
    page.get_by_role("button", name="Queue experiment").click()
    expect(page.get_by_role("alert")).to_contain_text("1 field needs another value")
    expect(page.locator("main")).to_contain_text("hidden_size 33 is not a multiple of num_attention_heads 2")
    fits(page, "form-with-error")
    page.locator('[name="encoder.hidden_size"]').fill("32")
    page.locator('[name="finetune.num_train_epochs"]').fill("60")
    page.get_by_role("button", name="Queue experiment").click()

    # the row moves by itself: the same document, no reload
    page.goto(f"/contests/{slug}")
    page.evaluate("window.stillTheSame = true")
    bar = page.locator("tbody progress")
    expect(bar).to_be_visible(timeout=60_000)
    seen = bar.get_attribute("aria-label")
    page.wait_for_function(
        "seen => { const bar = document.querySelector('tbody progress');"
        " return bar && bar.getAttribute('aria-label') !== seen; }",
        arg=seen,
        timeout=60_000,
    )
    fits(page, "board-at-work")
    expect(page.locator("tbody .chip").first).to_have_text("finished", timeout=90_000)
    assert page.evaluate("window.stillTheSame") is True

    page.get_by_role("link", name="first 一号").click()
    page.locator("[name=value]").fill("0.8778")
    page.locator("#online [name=note]").fill("board A")
    fits(page, "experiment")
    page.get_by_role("button", name="Add").click()
    page.goto(f"/contests/{slug}")
    cells = page.locator("tbody td.num")
    expect(cells).to_have_count(3)
    for cell in cells.all():
        expect(cell).to_contain_text("0.")
    expect(cells.nth(2)).to_contain_text("0.8778")
    fits(page, "board")
    page.locator("a[data-sort=online]").click()
    page.wait_for_url("**sort=-online")  # and its scripts: without them the browser opens a window for such a click
    page.locator("a[data-sort=valid]").click(modifiers=["Shift"])
    page.wait_for_url("**sort=-online%2C-valid**")
    expect(page.locator("thead th[aria-sort=descending]")).to_have_text(re.compile("online"))

    # the address keeps what is asked for: the order, a search, more columns, a baseline
    page.get_by_label("Search", exact=True).fill("valid>0 status:finished finetune.num_train_epochs:60")
    page.get_by_label("gap").check()
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody td.num")).to_have_count(4)
    assert "sort=-online%2C-valid" in page.url
    page.locator(".board tbody tr").hover()
    page.get_by_role("link", name="compare with this").click()
    expect(page.locator("tbody .chip").last).to_have_text("baseline")
    fits(page, "board-searched")
    page.get_by_label("Search", exact=True).fill("nothing like it")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody")).to_contain_text("None of 1 rows is like that")
    page.get_by_role("link", name="Show them all").click()
    expect(page.locator("tbody td.num")).to_have_count(4)

    page.get_by_label("Group by").fill("encoder.hidden_size")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("main section")).to_contain_text("By encoder.hidden_size")
    fits(page, "board-grouped")
    page.go_back()

    # rows that are ticked: a tag, the archive and back
    bar = page.locator("form[data-selection]")
    expect(bar).to_be_hidden()
    page.get_by_label("all 1").check()
    expect(bar).to_contain_text("1 selected")
    bar.get_by_label("Tag").fill("send")
    fits(page, "board-selected")
    bar.get_by_label("Tag").press("Enter")
    expect(page.get_by_role("status")).to_have_text("1 tagged send.")
    expect(page.locator("tbody .tag")).to_have_text("send")
    page.get_by_label("select first 一号").check()
    page.get_by_role("button", name="Archive").click()
    expect(page.locator("tbody")).to_contain_text("Every row lies in the archive")
    page.get_by_role("link", name="1 in the archive").click()
    page.get_by_label("select first 一号").check()
    page.get_by_role("button", name="Restore").click()
    expect(page.get_by_role("status")).to_have_text("1 restored.")
    page.get_by_role("link", name="Back to the table").first.click()
    expect(page.locator("tbody .tag")).to_have_text("send")


def test_the_api_page_works_offline(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator(".swagger-ui .title").first).to_contain_text("pairboard", timeout=15_000)
    expect(page.locator("#swagger-ui")).to_contain_text("/api/v1/experiments/{experiment_id}/online-scores")
