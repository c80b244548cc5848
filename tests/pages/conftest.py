"""A real browser for the page tests: what its scripts throw, its policy refuses or does not arrive fails the test."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
#: PAIRBOARD_TEST_SCREENSHOTS=folder keeps what the browser showed
SHOTS = os.environ.get("PAIRBOARD_TEST_SCREENSHOTS")


@contextmanager
def opened(
    chromium: str, url: str, size: tuple[int, int], *, harmless: tuple[str, ...] = (), **options: Any
) -> Iterator[Page]:
    """A page of this width and height. `harmless`: texts of problems that the test makes on purpose."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(base_url=url, viewport={"width": size[0], "height": size[1]}, **options)
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("requestfailed", lambda failed: problems.append(f"{failed.url} {failed.failure}"))
        yield page
        # a fragment under way when the page is left is no problem
        harmless = ("ERR_ABORTED", *harmless)
        assert [text for text in problems if not any(word in text for word in harmless)] == []
        browser.close()


def fits(page: Page, name: str) -> None:
    """Nothing sticks out sideways; keeps a picture when asked to."""
    if SHOTS:
        size = page.viewport_size or {"width": 0}
        page.screenshot(path=Path(SHOTS) / f"{name}-{size['width']}.png", full_page=True)
    page.wait_for_load_state("load")
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"{name} is {over} px too wide"
