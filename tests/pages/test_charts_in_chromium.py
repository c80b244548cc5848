"""Charts in a real browser: drawn, zoomed, growing while a run works; the comparison of experiments."""

import math
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from app.db import Database, clock
from app.runs import intake, queries, service
from app.runs.models import Run
from ml.contract.events import EventBatch, Finished, Progress, Scored
from ml.contract.experiment import ExperimentConfig
from ml.contract.scores import Scores
from tests.app.test_pages import AUDITED
from tests.factories import TINY, make_contest, make_experiment, make_file, storage_in
from tests.pages.conftest import SIZES, fits, opened
from tests.processes import SetUp, set_up

LEASE = timedelta(hours=1)
#: of the first chart's first line: how many points are drawn, the first and the last
POINTS = """() => {
  const { data } = [...document.querySelector("figure.chart").chart.sources.values()][0];
  return [data.x.length, data.x[0], data.x.at(-1)];
}"""


def progress(step: int) -> Progress:
    told = {"learning_rate": 1e-3, "samples_per_second": 50, "seconds_left": 4}
    return Progress(
        stage="finetune", step=step, total_steps=9999, epoch=step / 100, loss=2 * math.exp(-step / 900), **told
    )


class House:
    """A running pairboard, and the runs of its two experiments: one that ended and one at work."""

    def __init__(self, line: SetUp) -> None:
        self.line = line
        self.database = Database(f"sqlite:///{line.folder / 'data' / 'pairboard.db'}")
        with self.database.writing() as session:
            contest = make_contest(session)
            make_file(session, storage_in(line.folder / "data"), contest)
            config = {**TINY, "pretrain": None}
            (self.ended,) = make_experiment(session, contest, "ended", ExperimentConfig.model_validate(config))[1]
            config = ExperimentConfig.model_validate({**config, "seed": 99})
            (self.works,) = make_experiment(session, contest, "works", config)[1]
        scores = Scores(roc_auc=0.8, accuracy=0.7, f1=0.6, log_loss=0.5)
        for run, steps in ((self.ended, 3000), (self.works, 20)):
            with self.database.writing() as session:
                service.claim(session, run.id, worker=f"w{run.id}", boot_id="boot-one", lease=LEASE)
            self.tell(run, [progress(step) for step in range(1, steps + 1)])
        self.tell(self.ended, [AUDITED, Scored(split="valid", rows=9, scores=scores), Finished(seconds=1)])

    def tell(self, run: Run, events: list[object]) -> None:
        with self.database.writing() as session:
            run = session.get(Run, run.id)
            attempt = queries.current_attempt(session, run)
            batch = EventBatch(first=attempt.stored_events + 1, events=tuple(events))
            intake.store(session, run, attempt, batch, LEASE, clock(session))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("charts")
    with set_up(folder, PAIRBOARD_LEASE_SECONDS="3600") as line:
        line.start_web()
        made = House(line)
        yield made
        made.database.dispose()


@pytest.fixture(params=list(SIZES))
def page(request: pytest.FixtureRequest, chromium: str, house: House) -> Iterator[Page]:
    """A page of that width."""
    with opened(chromium, house.line.url, SIZES[request.param], harmless=("404",)) as made:
        yield made


def drawn(page: Page) -> None:
    """The first chart, which has to come into view."""
    page.locator("figure.chart").first.scroll_into_view_if_needed()
    expect(page.locator("figure.chart .bk-Figure").first).to_be_visible(timeout=20_000)


def test_a_chart_is_drawn_and_zoomed(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/v1/curves?" in request.url else None)
    page.goto("/experiments/1")
    drawn(page)
    assert "series=loss&series=" in asked[0], "what charts ask of the same runs is one question"
    count, first, last = page.evaluate(POINTS)
    assert (first, last) == (1, 3000)
    assert 300 < count < 900, "made fewer"
    expect(page.locator("figure.chart .plot").first).to_have_attribute(
        "aria-label", "loss, from 1.998 to 0.07135 in 3000 points"
    )
    fits(page, "experiment-charts")
    # the window's own points are fetched: every one of them
    page.wait_for_timeout(600)
    page.evaluate('() => document.querySelector("figure.chart").chart.fig.x_range.setv({ start: 1000, end: 1100 })')
    page.wait_for_function(f"() => ({POINTS})()[0] === 102", timeout=10_000)
    assert page.evaluate(POINTS) == [102, 999, 1100]
    page.get_by_label("over").select_option("epoch")
    page.wait_for_function(f"() => ({POINTS})()[2] === 30", timeout=10_000)
    page.get_by_label("log axis").check()
    expect(page.locator("figure.chart .bk-Figure").first).to_be_visible()
    page.get_by_role("link", name="numbers").first.click()
    expect(page.locator("main")).to_contain_text("of 3,000 points: the lowest and the highest of each stretch")
    fits(page, "numbers")


def test_a_curve_is_seen_before_the_library_has_come(page: Page) -> None:
    held: list[Route] = []
    page.route("**/bokeh.min.js*", lambda route: held.append(route))
    page.goto("/experiments/1", wait_until="domcontentloaded")
    page.locator("figure.chart").first.scroll_into_view_if_needed()
    first = page.locator("figure.chart").first
    expect(first.locator("polyline")).to_have_count(1, timeout=20_000)
    points = first.locator("polyline").get_attribute("points").split()
    assert 300 < len(points) < 900
    heights = [float(point.split(",")[1]) for point in points]
    assert heights == sorted(heights), "the loss falls"
    expect(first.locator("svg")).to_contain_text("0.07135")
    expect(first.locator(".plot")).to_have_attribute("aria-label", "loss, from 1.998 to 0.07135 in 3000 points")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    held[0].continue_()
    drawn(page)
    expect(first.locator("polyline")).to_have_count(0)


def test_a_chart_grows_while_its_run_works(page: Page, house: House) -> None:
    page.goto("/experiments/2")
    drawn(page)
    last = page.evaluate(POINTS)[2]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "series=loss" in request.url else None)
    house.tell(house.works, [progress(step) for step in range(int(last) + 1, int(last) + 6)])
    page.wait_for_function(f"last => ({POINTS})()[2] === last", arg=last + 5, timeout=15_000)
    assert asked == [], "its stream tells it, by step"

    page.get_by_label("over").select_option("epoch")
    page.wait_for_function(f"last => ({POINTS})()[2] === last / 100", arg=last + 5, timeout=10_000)
    page.wait_for_timeout(500)
    asked.clear()
    house.tell(house.works, [progress(step) for step in range(int(last) + 6, int(last) + 9)])
    page.wait_for_function(f"last => ({POINTS})()[2] === last / 100", arg=last + 8, timeout=15_000)
    assert asked
    assert all("/curves/new?" in url for url in asked), "never the whole history again"


def test_experiments_beside_each_other(page: Page) -> None:
    page.goto("/contests/oppo")
    for name in ("ended", "works"):
        page.get_by_label(f"select {name}").check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator(".compare tbody")).to_contain_text("seed")
    expect(page.locator(".compare tbody")).not_to_contain_text("data.max_length")
    expect(page.locator("[data-scatter]")).to_contain_text("No experiment here has both valid and online")
    page.get_by_label("up").select_option("seed")
    page.get_by_label("across").select_option("hours")
    expect(page.locator("[data-scatter] .bk-Figure")).to_be_visible(timeout=20_000)
    drawn(page)
    names = """() => {
      const { fig } = document.querySelector("figure.chart").chart;
      const legends = (place) => fig[place].filter((item) => item instanceof window.Bokeh.Legend).length;
      return [legends("above"), legends("center")];
    }"""
    assert page.evaluate(names) == [1, 0], "names stand over the plot, not on its lines"
    fits(page, "compare")
    page.get_by_role("link", name="All fields").click()
    expect(page.locator(".compare tbody")).to_contain_text("data.max_length")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("main")).to_contain_text("it has not finished")


def test_clone_preview_and_sweep(page: Page) -> None:
    page.goto("/experiments/1")
    page.get_by_role("link", name="Clone").click()
    said = page.locator(".preview")
    expect(said).to_contain_text("Already run as experiment 1")
    page.get_by_role("button", name="Show all fields").click()
    page.get_by_role("button", name="Open all").click()
    page.locator('[name="finetune.learning_rate"]').fill("0.0007")
    expect(said).not_to_contain_text("Already run as")
    expect(said).to_contain_text("1 run to train, about")
    width = (page.viewport_size or {})["width"]
    page.get_by_label("Several values").fill(f"seed = {width} | {width + 1}\nfinetune.swap_at_test = on | off")
    expect(said).to_contain_text("4 rows are queued")
    page.get_by_label("Several values").fill(f"seed = {width} | {width + 1}\nfinetune.swap_at_tset = on | off")
    expect(said).to_contain_text("'finetune.swap_at_tset' is no field of the config")
    fits(page, "form-with-sweep")
    page.get_by_label("Several values").fill(f"seed = {width} | {width + 1}")
    expect(said).to_contain_text("2 rows are queued")
    page.get_by_role("button", name="Queue experiment").click()
    expect(page.get_by_role("status")).to_contain_text("2 experiments are queued")
    expect(page.locator("tbody th[scope=row]")).to_have_count(2)
    page.get_by_label("all 2").check()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("status")).to_contain_text("2 cancelled")
