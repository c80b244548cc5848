"""The form in a real browser: folding, finding, disabling with the reason, a clone's differences, JSON, keyboard."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.factories import TINY, pair_text
from tests.processes import SetUp, set_up

SHOTS = os.environ.get("PAIRBOARD_TEST_SCREENSHOTS")
NEW = "/experiments/new?contest=oppo"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    """A web server with a contest and an experiment that waits."""
    with set_up(tmp_path_factory.mktemp("form")) as made:
        made.start_web()
        with httpx2.Client(base_url=made.url) as client:
            client.post("/api/v1/contests", json={"name": "Oppo", "slug": "oppo"}).raise_for_status()
            files = {"file": ("train.tsv", pair_text(60).encode())}
            client.post("/api/v1/contests/oppo/files", files=files, data={"kind": "train"}).raise_for_status()
            client.post("/api/v1/contests/oppo/experiments", json={"name": "first", "config": TINY}).raise_for_status()
        yield made


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


def opened(browser: Browser, line: SetUp, **how: Any) -> Page:
    context = browser.new_context(base_url=line.url, **{"viewport": {"width": 1280, "height": 900}, **how})
    page = context.new_page()
    page.set_default_timeout(10_000)
    return page


@pytest.fixture
def page(browser: Browser, line: SetUp) -> Iterator[Page]:
    """A page whose scripts throw nothing."""
    page = opened(browser, line)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.context.close()
    assert problems == []


def shot(page: Page, name: str) -> None:
    """Nothing sticks out sideways; keeps a picture when asked to."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0


def field(page: Page, name: str) -> Any:
    return page.locator(f'[data-field="{name}"]')


def test_groups_fold_and_what_was_opened_stays_open(page: Page) -> None:
    page.goto(NEW)
    rate = page.locator('[name="finetune.learning_rate"]')
    expect(rate).to_be_hidden()
    expect(page.locator("#g-finetune summary")).to_contain_text("2 changed: Epochs 4, Learning rate 0.0005")
    page.locator("#g-finetune summary").click()
    rate.fill("5e-5")
    expect(page.locator("#g-finetune summary")).to_contain_text("Learning rate 5e-5")
    page.reload()
    expect(rate).to_be_visible()
    expect(page.locator('[name="tokens.min_count"]')).to_be_hidden()
    page.get_by_role("button", name="Open all").click()
    expect(page.locator('[name="tokens.min_count"]')).to_be_visible()
    page.get_by_role("button", name="Close all").click()
    page.reload()
    expect(rate).to_be_hidden()


def test_a_field_is_found(page: Page) -> None:
    page.goto(NEW)
    page.get_by_label("Find a field").fill("lookahead")
    expect(page.locator(".field[data-words]:visible")).to_have_count(4)
    expect(field(page, "finetune.lookahead_steps")).to_be_visible()
    page.get_by_label("Find a field").press("Enter")
    assert page.url.endswith(NEW), "it searches, and sends nothing"
    page.get_by_label("Find a field").fill("nothing like it")
    expect(page.locator(".finding")).to_contain_text("No field is called that.")
    page.get_by_label("Find a field").fill("")
    expect(page.locator("#g-finetune")).to_be_visible()
    expect(field(page, "finetune.lookahead_steps")).to_be_hidden()


def test_what_does_not_count_is_disabled_with_the_reason(page: Page) -> None:
    page.goto(NEW)
    page.get_by_role("button", name="Open all").click()
    width, order = page.locator('[name="encoder.embedding_size"]'), page.locator('[name="pretrain.sentence_order"]')
    expect(width).to_be_disabled()
    expect(field(page, "encoder.embedding_size")).to_contain_text("Counts only when Encoder is albert / electra.")
    page.locator('[name="encoder.model_type"]').select_option("albert")
    expect(width).to_be_enabled()
    expect(field(page, "encoder.embedding_size").locator(".reason")).to_be_hidden()
    width.fill("64")
    order.uncheck()
    page.locator('[name="encoder.model_type"]').select_option("bert")
    expect(order).to_be_disabled()
    expect(page.locator(".preview")).to_contain_text("Not read: Embedding size 64.")
    page.get_by_role("checkbox", name="Pretrain").uncheck()
    expect(page.locator('[name="pretrain.mlm_probability"]')).to_be_disabled()
    expect(page.locator("#g-pretrain")).to_contain_text("Counts only when Pretraining is on.")
    page.get_by_role("checkbox", name="Blend other experiments").check()
    expect(page.locator('[name="seed"]')).to_be_disabled()
    expect(page.locator('[name="fusion.members"]')).to_be_enabled()
    page.get_by_role("checkbox", name="Blend other experiments").uncheck()
    page.get_by_role("checkbox", name="Pretrain").check()

    page.locator('[name="data.folds"]').fill("5")
    whole = page.locator('[name="data.full_data"]')
    expect(whole).to_be_disabled()
    page.locator('[name="data.folds"]').fill("0")
    whole.check()
    expect(page.locator('[name="data.folds"]')).to_be_disabled()
    expect(whole).to_be_enabled()
    whole.uncheck()
    page.locator('[name="encoder.size"]').select_option("base")
    expect(page.locator('[name="encoder.hidden_size"]')).to_have_value("768")
    page.locator("#f-name").fill("keeps what is disabled")
    page.get_by_role("button", name="Queue experiment").click()
    page.get_by_role("link", name="JSON").click()
    config = json.loads(page.locator("pre").inner_text())
    assert (config["encoder"]["embedding_size"], config["pretrain"]["sentence_order"]) == (64, False)
    assert config["encoder"]["hidden_size"] == 768


def test_a_clone_shows_only_what_differs(page: Page) -> None:
    page.goto(f"{NEW}&clone=1")
    shown = page.locator("[data-recipe] .field:visible")
    expect(shown).to_have_count(0)
    expect(page.locator(".finding")).to_contain_text("Nothing differs from the parent yet")
    page.get_by_label("Find a field").fill("finetune.learning_rate")
    expect(shown).to_have_count(1)
    page.locator('[name="finetune.learning_rate"]').fill("2e-5")
    page.get_by_label("Find a field").fill("finetune.swap_at_test")
    page.locator('[name="finetune.swap_at_test"]').check()
    page.get_by_label("Find a field").fill("")
    expect(shown).to_have_count(2)
    expect(field(page, "finetune.learning_rate")).to_contain_text("parent: 0.001")
    expect(field(page, "finetune.swap_at_test")).to_contain_text("parent: off")
    shot(page, "clone-differs")
    field(page, "finetune.learning_rate").get_by_role("button").click()
    expect(page.locator('[name="finetune.learning_rate"]')).to_have_value("0.001")
    expect(page.locator('[name="finetune.learning_rate"]')).to_be_focused()
    page.locator("#f-name").focus()
    page.get_by_role("button", name="Show all fields").click()
    expect(page.locator("#g-data")).to_be_visible()
    page.get_by_role("button", name="Only what differs").click()
    expect(shown).to_have_count(1)
    page.get_by_role("button", name="Queue experiment").click()
    expect(page.locator("main")).to_contain_text("finetune.swap_at_test")


def test_json_and_back(page: Page, tmp_path: Path) -> None:
    page.goto(NEW)
    page.locator("#f-name").fill("as text")
    page.get_by_role("button", name="As JSON").click()
    text = page.get_by_label("The config as JSON")
    config = json.loads(text.input_value())
    assert config["finetune"]["learning_rate"] == 0.0005
    file = tmp_path / "config.json"
    file.write_text(json.dumps({**config, "seed": "many"}, indent=1))
    page.locator("#f-json-file").set_input_files(file)
    expect(text).to_have_value(file.read_text())
    page.get_by_role("button", name="Queue experiment").click()
    expect(page.get_by_role("alert")).to_contain_text("seed: line ")
    shot(page, "json-wrong")
    page.get_by_role("button", name="Back to fields").click()
    page.get_by_role("alert").get_by_role("link", name="Seed").click()
    expect(page.locator('[name="seed"]')).to_be_focused()
    expect(page.locator('[name="seed"]')).to_have_value("many")
    page.locator('[name="seed"]').fill("5")
    page.locator('[name="seed"]').press("Enter")
    expect(page.get_by_role("heading", name="as text")).to_be_visible()


def test_enter_sends_once(page: Page, line: SetUp) -> None:
    page.goto(NEW)
    page.locator("#f-name").fill("only once")
    page.evaluate(
        "() => { const form = document.querySelector('form.recipe'); form.requestSubmit(); form.requestSubmit(); }"
    )
    expect(page.get_by_role("heading", name="only once")).to_be_visible()
    rows = httpx2.get(f"{line.url}/api/v1/contests/oppo/leaderboard").json()["rows"]
    assert [row["name"] for row in rows].count("only once") == 1


def test_without_javascript(browser: Browser, line: SetUp) -> None:
    page = opened(browser, line, java_script_enabled=False)
    page.goto(f"{NEW}&clone=1")
    expect(page.get_by_placeholder("Find a field", exact=False)).to_be_hidden()
    page.locator("#g-finetune summary").click()
    page.locator('[name="finetune.learning_rate"]').fill("3e-5")
    page.locator("#g-encoder summary").click()
    expect(field(page, "encoder.embedding_size")).to_contain_text("Counts only when Encoder is albert / electra.")
    page.locator('[name="encoder.model_type"]').select_option("albert")
    page.get_by_role("button", name="Look it over").click()
    expect(field(page, "finetune.learning_rate")).to_contain_text("parent: 0.001")
    expect(field(page, "encoder.embedding_size").locator(".reason")).to_be_hidden()
    expect(page.locator(".preview")).to_contain_text("2 runs to train")
    page.get_by_role("button", name="As JSON").click()
    text = page.get_by_label("The config as JSON")
    text.fill(text.input_value().replace('"albert"', '"alberta"'))
    page.get_by_role("button", name="Queue experiment").click()
    expect(page.get_by_role("alert")).to_contain_text("encoder.model_type: line ")
    text.fill(text.input_value().replace('"alberta"', '"albert"'))
    page.get_by_role("button", name="Queue experiment").click()
    expect(page.get_by_role("heading", name="first (variant)")).to_be_visible()
    page.context.close()


def test_the_bar_does_not_cover_what_has_the_focus_on_a_phone(browser: Browser, line: SetUp) -> None:
    page = opened(browser, line, viewport={"width": 360, "height": 640}, color_scheme="dark", locale="zh-CN")
    page.goto(NEW)
    page.locator("[data-open-all]").click()
    page.locator("#f-name").focus()
    for _ in range(60):
        page.keyboard.press("Tab")
        place = page.evaluate(
            "() => { const active = document.activeElement, bar = document.querySelector('.submit');"
            " return bar.contains(active) ? null"
            " : [active.name ?? '', active.getBoundingClientRect().bottom, bar.getBoundingClientRect().top]; }"
        )
        assert place is None or place[1] <= place[2], place
    shot(page, "phone")
    page.context.close()
