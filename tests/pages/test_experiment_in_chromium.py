"""An experiment's page in a real browser: its log grows by what is new and is searched; a verdict and a note."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, expect, sync_playwright

from app.db import Database, clock
from app.runs import intake, queries, service
from ml.contract.events import Event, EventBatch, Failed, Printed
from tests.factories import make_contest, make_experiment, make_file, storage_in
from tests.pages.test_in_chromium import SIZES, fits
from tests.processes import SetUp, set_up

LEASE = timedelta(hours=1)


class House:
    """A running pairboard with an experiment, whose run is at work."""

    def __init__(self, line: SetUp) -> None:
        self.line = line
        self.database = Database(f"sqlite:///{line.folder / 'data' / 'pairboard.db'}")
        with self.database.writing() as session:
            contest = make_contest(session)
            make_file(session, storage_in(line.folder), contest)
            self.run = make_experiment(session, contest)[1][0].id
        with self.database.writing() as session:
            service.claim(session, self.run, worker="w1", boot_id="boot-one", lease=LEASE)

    def tell(self, *events: Event) -> None:
        """As the run's worker does."""
        with self.database.writing() as session:
            run = queries.run(session, self.run)
            attempt = queries.current_attempt(session, run)
            assert attempt is not None
            batch = EventBatch(first=attempt.stored_events + 1, events=events)
            intake.store(session, run, attempt, batch, LEASE, clock(session))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with set_up(tmp_path, PAIRBOARD_LEASE_SECONDS="3600") as line:
        line.start_web()
        made = House(line)
        yield made
        made.database.dispose()


@pytest.fixture(params=list(SIZES))
def page(request: pytest.FixtureRequest, chromium: str, house: House) -> Iterator[Page]:
    """A page of that width whose scripts throw nothing and break no policy."""
    width, height = SIZES[request.param]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_context(base_url=house.line.url, viewport={"width": width, "height": height}).new_page()
        problems: list[str] = []
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        yield opened
        assert problems == []
        browser.close()


def test_log_verdict_and_note(page: Page, house: House) -> None:
    house.tell(Printed(lines=tuple(f"row {number}" for number in range(1, 31))))
    asked: list[Request] = []
    moves = ("/log?", "/status", "/curves/new", "/stream")
    page.on("request", lambda request: asked.append(request) if any(it in request.url for it in moves) else None)
    page.goto("/experiments/1")
    log = page.get_by_label("The last lines of the log")
    expect(log.locator("li")).to_have_count(15)
    house.tell(Printed(lines=("<b>new</b>", "RuntimeError: CUDA out of memory")))
    expect(log.locator("li")).to_have_count(17, timeout=10_000)
    expect(log.locator("li").nth(15)).to_have_text("31 <b>new</b>")
    expect(log.locator("li.wrong")).to_have_count(1)
    assert sum("/stream?" in request.url for request in asked) == 1
    asked.clear()
    house.tell(Printed(lines=("later",)))
    expect(log.locator("li")).to_have_count(18, timeout=10_000)
    page.wait_for_timeout(6000)
    assert [request.url for request in asked] == [], "by its stream, and by no question"
    fits(page, "experiment-log")

    page.get_by_label("Search the log").first.fill("ROW 2")
    page.get_by_role("button", name="Search").first.click()
    expect(page.get_by_role("status")).to_have_text("11 lines hold “ROW 2”")
    page.get_by_role("link", name="29", exact=True).click()
    expect(page.locator("li:target")).to_have_text("29 row 29")
    expect(page.get_by_text("1 line looks like an error")).to_be_visible()
    house.tell(Failed(reason="it broke"))
    expect(page.locator("#L34")).to_have_text("34 error failed: it broke", timeout=10_000)
    fits(page, "log")

    page.goto("/experiments/1/edit")
    page.get_by_label("Verdict").fill("dead end: memory")
    page.locator("[name=note]").fill("**why** [x](javascript:alert(1)) <img src=x onerror=alert(1)>")
    expect(page.locator(".preview strong")).to_have_text("why")
    assert page.locator("main a[href^=javascript], main img").count() == 0
    fits(page, "edit")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("p.verdict")).to_have_text("dead end: memory")
    expect(page.locator(".markdown strong")).to_have_text("why")
    page.goto("/contests/oppo?search=memory")
    expect(page.locator("tbody .verdict")).to_have_text("dead end: memory")
    fits(page, "board-with-verdict")


def test_without_javascript(chromium: str, house: House) -> None:
    """The log is read and searched, the note previewed, and there is no button that does nothing."""
    house.tell(Printed(lines=("one", "ValueError: two")))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_context(base_url=house.line.url, java_script_enabled=False).new_page()
        page.goto("/experiments/1")
        expect(page.locator("button[data-copy]:visible")).to_have_count(0)
        expect(page.locator("#reproduce pre")).to_contain_text("python -m ml job.json out/")
        page.get_by_label("Search the log").fill("valueerror")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("status")).to_have_text("1 line holds “valueerror”")
        page.goto("/experiments/1/edit")
        page.locator("[name=note]").fill("**why**")
        page.get_by_role("button", name="Preview").click()
        expect(page.locator(".preview strong")).to_have_text("why")
        expect(page.locator("[name=note]")).to_have_value("**why**")
        browser.close()
