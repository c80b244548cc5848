"""Rows are ticked, their blend is judged, and one click makes its row, in a real browser."""

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from scipy.special import expit

from app.contests import queries
from app.db import Database
from tests.app.leaderboard.test_compare import finished
from tests.factories import make_contest, make_file, storage_in
from tests.pages.conftest import SIZES, fits, opened
from tests.processes import SetUp, set_up

ROWS = 400
NAMES = ("bert, n-gram masks, swap at test", "roberta", "electra with folds", "nezha")


def predictions(seed: int, skill: float) -> str:
    """Members share half of their noise."""
    labels = np.random.default_rng(0).random(ROWS) < 0.4
    common, own = (np.random.default_rng(number).standard_normal(ROWS) for number in (1, seed))
    scores = expit(skill * (labels * 2 - 1) + 0.7 * common + own).tolist()
    return "".join(f"{row}\t{int(label)}\t{scores[row]!r}\n" for row, label in enumerate(labels))


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    """A server without a worker, and in a contest four rows that have predicted."""
    with set_up(tmp_path_factory.mktemp("blend")) as made:
        made.start_web()
        database = Database(f"sqlite:///{made.folder / 'data' / 'pairboard.db'}")
        storage = storage_in(made.folder / "data")
        for width, _ in SIZES.values():
            with database.writing() as session:
                make_contest(session, f"blend {width}")
                contest = queries.contest(session, f"blend-{width}")
                make_file(session, storage, contest, rows=ROWS)
                for seed, name in enumerate(NAMES, start=2):
                    finished(session, storage, contest, name, predictions(seed, 1 - 0.15 * seed % 0.5), seed=seed)
        database.dispose()
        yield made


@pytest.fixture(params=list(SIZES))
def page(request: pytest.FixtureRequest, chromium: str, line: SetUp) -> Iterator[Page]:
    """A page of that width."""
    with opened(chromium, line.url, SIZES[request.param]) as made:
        yield made


def test_tick_blend_and_one_click(page: Page) -> None:
    slug = f"blend-{(page.viewport_size or {})['width']}"
    page.goto(f"/contests/{slug}")
    for name in NAMES:
        page.get_by_label(f"select {name}").check()
    page.get_by_role("button", name="Blend", exact=True).click()
    page.wait_for_url("**/blend?ids=*")
    expect(page.locator("main")).to_contain_text("Blend of 4 rows")
    expect(page.locator("main .lead")).to_contain_text("mean of")
    shades = page.locator("table.alike td").evaluate_all(
        "cells => cells.map(cell => getComputedStyle(cell).background)"
    )
    assert len(set(shades)) > 2, "the stronger the more alike"
    fits(page, "blend")

    page.get_by_role("button", name="Make this row: greedy selection").click()
    page.wait_for_url("**/experiments/*")
    expect(page.locator("main")).to_contain_text("greedy: bert, n-gram masks")
    page.goto(f"/contests/{slug}")
    expect(page.locator(".board tbody tr")).to_have_count(len(NAMES) + 1)
    expect(page.locator(".board tbody tr").first).to_contain_text("greedy: bert, n-gram masks")
    expect(page.locator(".board tbody tr").first).to_contain_text("queued")

    # the page knows that there is a row of it
    page.go_back()
    page.go_back()
    page.reload()
    expect(page.get_by_role("button", name="Make this row: greedy selection")).to_have_count(0)
    expect(page.get_by_role("link", name="row ", exact=False).first).to_be_visible()
