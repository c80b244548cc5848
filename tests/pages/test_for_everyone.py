"""Every page for everyone: WCAG 2.2 AA by axe-core, 360 px, the keyboard alone, paper, no JavaScript, both switches."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from app.contests import queries
from app.experiments import service as experiments
from ml.contract.experiment import ExperimentConfig
from tests.app.leaderboard.test_compare import finished
from tests.app.significance.test_noise import predicted
from tests.factories import TINY, make_experiment, pair_text, storage_in
from tests.pages.conftest import fits, opened
from tests.pages.test_charts_in_chromium import House, progress
from tests.processes import SetUp, set_up

WIDE, NARROW = (1280, 900), (360, 780)
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
PAGES = (
    "/",
    "/contests/new",
    "/contests/oppo",
    "/contests/oppo?show=gap,hours,checks,by,made&group=encoder.model_type&against=1",
    "/contests/oppo?archived=true",
    "/contests/oppo/files",
    "/contests/oppo/files/1/pairs",
    "/contests/oppo/words",
    "/contests/oppo/audit?train=1",
    "/contests/oppo/audit?train=1&split_by=row",
    "/experiments/1/leaks",
    "/contests/oppo/valid-online",
    "/contests/oppo/trash",
    "/contests/oppo/format",
    "/contests/oppo/submissions",
    "/experiments/1/submission",
    "/contests/oppo/sealed?everyone=true",
    "/contests/bare/sealed",
    "/contests/oppo/webhooks",
    "/contests/oppo/submissions",
    "/experiments/1/submission",
    "/runs/1/log",
    "/curves?run=1&series=loss",
    "/contests/oppo/compare?ids=1,2",
    "/contests/oppo/blend?ids=5,6",
    "/contests/oppo/blend?ids=4,5,6",
    "/experiments/new?contest=oppo",
    "/experiments/new?contest=oppo&clone=1",
    "/experiments/1",
    "/experiments/2",
    "/experiments/1/edit",
    "/queue",
    "/workers",
    "/search?q=ended",
    "/keyboard",
    "/sign-in",
    "/account",
    "/members",
    "/contests/oppo/members",
    "/audit",
    "/no-such-page",
)
#: of tables that have no room to go on at the side of a phone, those that do
CUT = """() => [...document.querySelectorAll("table.stacked, table.compare")]
  .filter(({ parentElement: place }) => place.scrollWidth > place.clientWidth).map((table) => table.outerHTML)"""
#: how many lines of what the form's foot says are cut through
HALVED = """() => {
  const place = document.querySelector(".preview");
  const end = place.getBoundingClientRect().bottom;
  const lines = document.createRange();
  lines.selectNodeContents(place);
  return [...lines.getClientRects()].filter(({ top, bottom }) => top < end - 2 && bottom > end + 2).length;
}"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An experiment that ended, one at work, one in the archive, one that waits, and two that can be blended."""
    folder: Path = tmp_path_factory.mktemp("everyone")
    with set_up(folder, PAIRBOARD_LEASE_SECONDS="3600") as line:
        line.start_web()
        made = House(line)
        asked = {"config": {"data": {"split_by": "row"}}}
        line.http.post("/api/v1/contests/oppo/audits", json=asked).raise_for_status()
        with made.database.writing() as session:
            contest = queries.contest(session, "oppo")
            old, _ = make_experiment(session, contest, "old", ExperimentConfig.model_validate({**TINY, "seed": 5}))
            experiments.archive(session, old)
            make_experiment(session, contest, "waits", ExperimentConfig.model_validate({**TINY, "seed": 6}))
            storage = storage_in(folder / "data")
            for seed in (7, 8):
                finished(session, storage, contest, f"member {seed}", predicted(1.0, seed, range(0, 60, 2)), seed=seed)
        sealed_contest(line)
        yield made
        made.database.dispose()


def sealed_contest(line: SetUp) -> None:
    """Answers are sealed in one contest, with a file that was scored and one that was refused; the other has none."""
    line.http.post("/api/v1/contests", json={"name": "Bare", "slug": "bare"}).raise_for_status()
    for slug in ("oppo", "bare"):
        test = {"file": ("test.tsv", pair_text(20, label=False).encode())}
        line.http.post(f"/api/v1/contests/{slug}/files", files=test, data={"kind": "test"}).raise_for_status()
    sealed = "/api/v1/contests/oppo/sealed"
    answers = {"answers": ("answers.tsv", pair_text(20).encode())}
    line.http.post(sealed, files=answers, data={"closes_at": "2099-01-01T00:00:00Z"}).raise_for_status()
    for number, content in enumerate((b"0.5\n0.7\n" * 10, b"0.5\nx\n")):
        sent = line.http.post(f"{sealed}/uploads", files={"file": (f"{number}.tsv", content)}, data={"remark": "try"})
        assert sent.status_code == (201, 422)[number], sent.text


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_rule_of_accessibility_is_broken(chromium: str, house: House, language: str, theme: str) -> None:
    found = []
    with opened(chromium, house.line.url, WIDE, harmless=("404", "409", "422")) as page:
        cookies(page, house, language, theme)
        for address in PAGES:
            page.goto(address)
            for violation in Axe().run(page, options=RULES).response["violations"]:
                places = [node["html"][:160] for node in violation["nodes"][:3]]
                found.append(f"{address}: {violation['id']} ({len(violation['nodes'])}): {places}")
    assert found == [], "\n".join(found)


def cookies(page: Page, house: House, language: str, theme: str) -> None:
    kept = {"pairboard_language": language, "pairboard_theme": theme}
    page.context.add_cookies([{"name": name, "value": value, "url": house.line.url} for name, value in kept.items()])


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_sticks_out_of_a_small_phone(chromium: str, house: House, language: str) -> None:
    with opened(chromium, house.line.url, NARROW, harmless=("404", "422")) as page:
        cookies(page, house, language, "system")
        for address in PAGES:
            page.goto(address)
            fits(page, re.sub(r"\W+", "-", address) + language)
            assert page.evaluate(CUT) == [], address


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_line_at_the_foot_of_the_form_is_cut_through(
    chromium: str, house: House, language: str, size: tuple[int, int]
) -> None:
    with opened(chromium, house.line.url, size) as page:
        cookies(page, house, language, "system")
        page.goto("/experiments/new?contest=oppo&clone=1")
        expect(page.locator(".preview p").last).to_be_attached()
        assert page.evaluate(HALVED) == 0


def test_chips_of_a_list_are_of_one_height(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE) as page:
        page.goto("/experiments/5")
        expect(page.locator(".files .chip.told")).not_to_have_count(0)
        heights = page.evaluate("[...document.querySelectorAll('.files .chip')].map((chip) => chip.offsetHeight)")
        assert len(heights) > 1
        assert len(set(heights)) == 1, heights


def test_a_chart_without_a_point_takes_little_room(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE) as page:
        page.goto("/experiments/4")
        plot = page.locator(".plot").first
        plot.scroll_into_view_if_needed()
        expect(plot).to_have_text("Nothing was told yet.")
        assert (plot.bounding_box() or {"height": 999})["height"] < 80


def test_charts_of_a_comparison_speak_the_readers_language(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE) as page:
        cookies(page, house, "zh", "system")
        page.goto("/contests/oppo/compare?ids=5,6")
        page.locator("select[name=up]").select_option("train")
        page.locator("[data-parallel]").scroll_into_view_if_needed()
        expect(page.locator("[data-parallel] canvas").first).to_be_visible(timeout=20_000)
        axis = "[...window.Bokeh.documents[0].roots()[0].xaxis][0]"
        told = page.evaluate(f"[...{axis}.major_label_overrides.values()]")
        assert told == ["seed", "验证"]
        said = page.locator("select[name=across] option").all_inner_texts()
        assert said[:5] == ["验证", "线上", "训练", "差距", "用时"]


def test_both_switches(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE, color_scheme="light") as page:
        page.goto("/contests/oppo")
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.evaluate(
            "window.stillTheSame = true; document.addEventListener('themechange', () => (window.told = true))"
        )
        switch = page.locator("[data-theme-switch]")
        switch.click()
        expect(switch).to_have_text("Theme: light")
        switch.click()
        expect(switch).to_have_text("Theme: dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        assert page.evaluate("window.stillTheSame && window.told") is True, "no page was loaded for it"
        page.get_by_role("button", name="中文").click()
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page).to_have_url(re.compile("/contests/oppo$"))
        expect(page.locator("[data-theme-switch]")).to_have_text("主题：深色")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
        page.get_by_role("button", name="English").click()
        expect(page.locator("html")).to_have_attribute("lang", "en")


def test_the_keyboard_alone(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE) as page:
        page.goto("/contests/oppo")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
        page.keyboard.press("/")
        expect(page.locator("#search")).to_be_focused()
        page.keyboard.type("jx")
        expect(page.locator("#search")).to_have_value(re.compile("jx"))
        page.locator("#search").fill("")
        page.locator("h1").click()
        page.keyboard.press("j")
        rows = page.locator("tbody tr th a[href^='/experiments/']")
        expect(rows.nth(0)).to_be_focused()
        page.keyboard.press("x")
        page.keyboard.press("j")
        expect(rows.nth(1)).to_be_focused()
        page.keyboard.press("x")
        page.keyboard.press("k")
        expect(rows.nth(0)).to_be_focused()
        expect(page.locator("input[name=ids]:checked")).to_have_count(2)
        page.keyboard.press("c")
        page.wait_for_url("**/compare?ids=*")
        page.go_back()
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_visible()
        expect(page.get_by_role("dialog")).to_contain_text("compare the ticked rows")
        page.get_by_label("Keys work in this browser").uncheck()
        page.keyboard.press("Escape")
        page.keyboard.press("n")
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.get_by_role("link", name="Keyboard").click()
        page.get_by_label("Keys work in this browser").check()
        page.get_by_role("button", name="Close").click()
        page.keyboard.press("n")
        page.wait_for_url("**/experiments/new?contest=oppo")


@pytest.mark.parametrize("what", ["link", "checkbox"])
def test_rows_that_come_anew_leave_the_focus_where_it_is(chromium: str, house: House, what: str) -> None:
    with opened(chromium, house.line.url, WIDE) as page:
        page.goto("/contests/oppo")
        row = page.locator("tbody tr", has=page.get_by_role("link", name="works", exact=True))
        place = row.get_by_role(what).first
        place.focus()
        before = place.element_handle()
        house.tell(house.works, [progress({"link": 5000, "checkbox": 6000}[what])])
        gone = "item => new Promise((done) => setInterval(() => item.isConnected || done(), 50))"
        assert before is not None
        before.evaluate(gone)
        expect(place).to_be_focused()


def test_times_are_the_readers(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE, timezone_id="Asia/Shanghai", locale="en-GB") as page:
        page.goto("/experiments/1")
        shown = page.locator("time[data-ago]").first
        expect(shown).to_have_attribute("title", re.compile(r"GMT\+8"))
        expect(shown).to_have_text(re.compile(r"ago"))


def test_on_paper_the_table_stands_alone(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE) as page:
        page.goto("/contests/oppo")
        page.emulate_media(media="print")
        for hidden in (".top", ".foot", "form.finder", "#selected", ".tabs nav"):
            expect(page.locator(hidden).first).to_be_hidden()
        expect(page.locator("table.board")).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert (
            page.evaluate("getComputedStyle(document.querySelector('table.board thead')).display")
            == "table-header-group"
        )


def test_without_javascript(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, WIDE, java_script_enabled=False) as page:
        page.goto("/contests/oppo")
        page.get_by_label("select waits").check()
        page.get_by_label("Tag", exact=False).first.fill("later")
        page.get_by_role("button", name="Tag", exact=True).click()
        expect(page.get_by_role("status")).to_have_text("1 tagged later.")
        page.get_by_role("link", name="waits").click()
        page.get_by_role("button", name=re.compile("^Cancel")).first.click()
        expect(page.locator("main")).to_contain_text("cancelled")
        page.get_by_role("link", name="Queue", exact=True).click()
        expect(page.locator("h1")).to_contain_text("Queue")
        page.get_by_role("button", name="中文").click()
        expect(page.locator("h1")).to_contain_text("队列")
        page.locator("[data-theme-switch]").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")
        page.locator("#q").fill("ended")
        page.locator("#q").press("Enter")
        expect(page.locator("main mark").first).to_have_text("ended")
