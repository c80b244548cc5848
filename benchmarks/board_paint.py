"""What a reader's browser shows, and when: for benchmarks/board_speed.py."""

import shutil
import statistics
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

#: Chromium's own windows load for a while when one is opened, and would take both cores from the page
REST_MS = 1500
FIGURES = ("first_paint_ms", "curve_drawn_ms", "curve_live_ms", "curve_drawn_again_ms", "curve_live_again_ms")
#: milliseconds since the navigation began, in the page's own clock
_PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
_DRAWN = """
document.addEventListener("DOMContentLoaded", () => document.querySelector("figure.chart")?.scrollIntoView());
const seen = (name) => document.querySelector(`figure.chart ${name}`)?.getBoundingClientRect().height > 50;
const looking = setInterval(() => {
  const live = seen(".bk-Figure");
  if (!window.lookedUp && (live || seen("polyline"))) {
    window.lookedUp = true;
    requestAnimationFrame(() => { window.drawnAt = performance.now(); });
  }
  if (live) {
    requestAnimationFrame(() => { window.liveAt = performance.now(); });
    clearInterval(looking);
  }
}, 5);
"""


def painted(url: str, experiment: int, rounds: int) -> dict[str, Any]:
    """Medians in Chromium, from the navigation on: the first paint of a table of 100 rows in a browser that has nothing
    in its cache, and when the line of the first chart of the experiment's page, to which it is scrolled, is drawn, and
    when that chart is Bokeh's, in such a browser and with Bokeh in its cache. None where there is no Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium on the PATH: first paint is not measured")
        return dict.fromkeys(FIGURES)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])

        def board(page: Page) -> float:
            page.goto(f"{url}/contests/board?sort=-valid")
            return float(page.wait_for_function(_PAINT).json_value())

        def curve(page: Page) -> list[float]:
            page.goto(f"{url}/experiments/{experiment}")
            found = page.wait_for_function("() => window.liveAt && [window.drawnAt, window.liveAt]").json_value()
            return [float(time) for time in found]

        first = [_fresh(browser, lambda page: [board(page)]) for _ in range(rounds)]
        both = [_fresh(browser, lambda page: curve(page) + curve(page)) for _ in range(rounds)]
        browser.close()
    figures = [a + b for a, b in zip(first, both, strict=True)]
    return {name: round(statistics.median(times[place] for times in figures)) for place, name in enumerate(FIGURES)}


def _fresh(browser: Browser, look: Callable[[Page], list[float]]) -> list[float]:
    """In a context of its own, that has nothing in its cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(_DRAWN)
    page = context.new_page()
    page.wait_for_timeout(REST_MS)
    found = look(page)
    context.close()
    return found
