"""Valid to online in a browser: the scatter is drawn, and nothing sticks out."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from app.contests import queries
from app.leaderboard.importing import import_table
from app.significance import online_queries
from tests.pages.conftest import SIZES, fits, opened
from tests.pages.test_charts_in_chromium import House
from tests.pages.test_for_everyone import RULES
from tests.processes import set_up

TABLE = """| experiment | valid | online |
|-|-|-|
| first try | 0.8? | 0.78? |
| longer | 0.944 | 0.857 |
| from public weights | 0.955 | 0.872 |
| [CLS] alone | 0.915 | 0.814 |
| less augmented | 0.9506 | 0.867 |
| 先增强再划分验证集 | 0.991 | 0.872 |
| weight 1:1.1 | 0.991 | 0.874 |
| weight 1:1.3 | 0.992 | 0.8778 |
| weight 1:1.4 | 0.9929 | 0.8772 |
| n-gram mask | 0.9953 | 0.884897 |
| weight 1:0.7 | 0.993 | 0.877030 |
| averaged weights | 0.9961 | |
| averaged weights, another seed | 0.9935 | |
"""
ADDRESS = "/contests/note/valid-online"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("valid-online")
    with set_up(folder) as line:
        line.start_web()
        made = House(line)
        with made.database.writing() as session:
            import_table(session, "note", TABLE)
            contest = queries.contest(session, "note")
            assert len(online_queries.scored_rows(session, contest)) == 13
        yield made
        made.database.dispose()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("zh", "dark")])
def test_the_scatter_is_drawn(chromium: str, house: House, language: str, scheme: str, size: tuple[int, int]) -> None:
    """And no rule of accessibility is broken with it."""
    options = {"color_scheme": scheme, "locale": {"en": "en-GB", "zh": "zh-CN"}[language]}
    with opened(chromium, house.line.url, size, **options) as page:
        page.goto(ADDRESS)
        plot = page.locator("[data-plot]")
        plot.scroll_into_view_if_needed()
        expect(plot.locator("canvas").first).to_be_visible()
        page.wait_for_timeout(400)
        assert Axe().run(page, options=RULES).response["violations"] == []
        fits(page, f"valid-online-{language}-{scheme}")
        page.locator("select[name=window]").select_option("2")
        expect(plot.locator("canvas").first).to_be_visible()
        page.wait_for_timeout(400)
        fits(page, f"valid-online-{language}-{scheme}-group")


def test_without_javascript_the_tables_say_it(chromium: str, house: House) -> None:
    with opened(chromium, house.line.url, SIZES["desktop"], java_script_enabled=False) as page:
        page.goto("/contests/note")
        page.get_by_role("link", name="Valid to online", exact=True).click()
        expect(page.locator("h1")).to_have_text("note")
        expect(page.locator("main")).to_contain_text("From “先增强再划分验证集” on valid no longer ranks online")
        expect(page.get_by_role("heading", name="What to send today")).to_be_visible()
        expect(page.locator("ol.send > li").first).to_contain_text("averaged weights")
