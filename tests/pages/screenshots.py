"""`make screenshots`: every page in both languages, both themes and two widths, from real runs, into screenshots/.

Starts pairboard in an empty folder, trains a tiny experiment and leaves another at work and one in the queue, as
`make demo` would; then has Chromium look. What sticks out sideways is said at the end, and makes it fail.
"""

import shutil
import sys
import tempfile
from itertools import product
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.factories import TINY, pair_text
from tests.processes import ROOT, SetUp, set_up

WIDTHS = {1280: 900, 360: 780}
PAGES = {
    "contests": "/",
    "new-contest": "/contests/new",
    "leaderboard": "/contests/oppo",
    "leaderboard-grouped": "/contests/oppo?show=gap,hours&group=seed&against=1",
    "data": "/contests/oppo/files",
    "pairs": "/contests/oppo/files/1/pairs",
    "words": "/contests/oppo/words",
    "mistakes": "/experiments/1/mistakes",
    "leaks": "/experiments/1/leaks",
    "audit": "/contests/oppo/audit?train=1&split_by=row",
    "valid-online": "/contests/oppo/valid-online",
    "trash": "/contests/oppo/trash",
    "format": "/contests/oppo/format",
    "sealed": "/contests/oppo/sealed?everyone=true",
    "submissions": "/contests/oppo/submissions",
    "check-before-sending": "/experiments/2/submission",
    "numbers": "/curves?run=2&series=loss",
    "form": "/experiments/new?contest=oppo",
    "clone": "/experiments/new?contest=oppo&clone=1",
    "experiment": "/experiments/1",
    "experiment-waiting": "/experiments/3",
    "compare": "/contests/oppo/compare?ids=1,2",
    "log": "/runs/1/log",
    "queue": "/queue",
    "workers": "/workers",
    "search": "/search?q=first",
    "keyboard": "/keyboard",
    "sign-in": "/sign-in",
    "account": "/account",
    "members": "/members",
    "contest-members": "/contests/oppo/members",
    "audit-log": "/audit",
    "not-found": "/no-such-page",
}


def filled(line: SetUp) -> None:
    """A contest with an experiment that finished and got an online score, one like it, and one that waits."""
    contest = {"name": "Oppo 小布", "slug": "oppo"}
    line.http.post("/api/v1/contests", json=contest).raise_for_status()
    for kind in ("train", "test"):
        file = {"file": (f"{kind}.tsv", pair_text(300, label=kind == "train").encode())}
        line.http.post("/api/v1/contests/oppo/files", files=file, data={"kind": kind}).raise_for_status()
    for name, seed in (("first 一号", 3), ("second, another seed", 4)):
        body = {"name": name, "note": "**tiny**: one layer", "config": {**TINY, "seed": seed}}
        made = line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status().json()
        line.finished(made["id"])
    sealed = "/api/v1/contests/oppo/sealed"
    line.http.post(sealed, files={"answers": ("answers.tsv", pair_text(300).encode())}).raise_for_status()
    file = line.http.get("/api/v1/experiments/2/submission-file").content
    line.http.post(f"{sealed}/uploads", files={"file": ("predictions.tsv", file)}).raise_for_status()
    score = {"value": 0.8778, "note": "board A"}
    line.http.post("/api/v1/experiments/1/online-scores", json=score).raise_for_status()
    line.stop("worker")
    body = {"name": "waits for a worker", "config": {**TINY, "seed": 5}}
    line.http.post("/api/v1/contests/oppo/experiments", json=body).raise_for_status()


def shoot(context: BrowserContext, folder: Path) -> list[str]:
    """A picture of each page; those that are too wide."""
    page = context.new_page()
    wide = []
    for name, address in PAGES.items():
        page.goto(address, wait_until="load")
        settle(page)
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        over = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if over > 0:
            wide.append(f"{folder.name}/{name} is {over} px too wide")
    return wide


def settle(page: Page) -> None:
    """Until the charts that the page has are drawn: they are when they come into view."""
    for chart in page.locator("figure.chart:visible").all()[:8]:
        chart.scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(600 if page.locator("figure.chart").count() else 150)


def main() -> int:
    """0 when every page was photographed and none is too wide."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("make screenshots needs Chromium on the PATH")
        return 1
    target, wide = ROOT / "screenshots", []
    with tempfile.TemporaryDirectory(prefix="pairboard-screenshots-") as name, set_up(Path(name)) as line:
        line.start_web()
        line.start_worker()
        filled(line)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            for language, theme, (width, height) in product(("en", "zh"), ("light", "dark"), WIDTHS.items()):
                context = browser.new_context(base_url=line.url, viewport={"width": width, "height": height})
                kept = {"pairboard_language": language, "pairboard_theme": theme}
                context.add_cookies([{"name": key, "value": value, "url": line.url} for key, value in kept.items()])
                folder = target / f"{language}-{theme}-{width}"
                folder.mkdir(parents=True, exist_ok=True)
                wide += shoot(context, folder)
                context.close()
                print(f"{folder}: {len(PAGES)} pages")
            browser.close()
    print("\n".join(wide) or "nothing sticks out sideways")
    return 1 if wide else 0


if __name__ == "__main__":
    sys.exit(main())
