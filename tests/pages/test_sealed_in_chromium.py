"""A contest of our own in a real browser: answers are sealed, files sent, refused, over the limit, late, and private
scores come out; on a desk and on a phone."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from tests.app.submissions.test_malformed import CASES
from tests.factories import pair_text
from tests.pages.conftest import SIZES, fits, opened
from tests.processes import SetUp, set_up

ROWS = 40
#: how sure of the positives: all wrong, then all right
SENT = {"reversed": 0.05, "right": 0.95}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    with set_up(tmp_path_factory.mktemp("sealed-pages")) as made:
        made.start_web()
        yield made


@pytest.fixture(params=list(SIZES))
def page(request: pytest.FixtureRequest, chromium: str, line: SetUp) -> Iterator[Page]:
    """A page of that width, dark on a phone."""
    theme = "dark" if request.param == "phone" else "light"
    harmless = ("404", "409", "422", "429")
    with opened(chromium, line.url, SIZES[request.param], harmless=harmless, color_scheme=theme) as made:
        yield made


def labels() -> list[str]:
    return [row.rpartition("\t")[2] for row in pair_text(ROWS, seed=9).splitlines()]


def send(page: Page, folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.write_bytes(content)
    page.locator("#f-file").set_input_files(path)
    page.get_by_role("button", name="Send", exact=True).click()


def test_a_contest_of_our_own(page: Page, line: SetUp, tmp_path: Path) -> None:
    slug = f"own-{(page.viewport_size or {})['width']}"
    line.http.post("/api/v1/contests", json={"name": "Our own", "slug": slug}).raise_for_status()
    page.goto(f"/contests/{slug}/sealed")
    expect(page.locator("main")).to_contain_text("has no test file yet")
    test = {"file": ("test.tsv", pair_text(ROWS, seed=9, label=False).encode())}
    line.http.post(f"/api/v1/contests/{slug}/files", files=test, data={"kind": "test"}).raise_for_status()

    # the owner seals the answers; a file that does not answer is refused with its line
    page.goto(f"/contests/{slug}/sealed")
    fits(page, "seal")
    answers = tmp_path / "answers.txt"
    answers.write_text("\n".join([*labels()[:6], "maybe", *labels()[7:]]))
    page.locator("#f-answers").set_input_files(answers)
    page.get_by_label("Files a member may send a day").fill("2")
    page.get_by_role("button", name="Seal the answers").click()
    expect(page.get_by_role("alert")).to_contain_text("line 7 of the answers is neither 0 nor 1")
    expect(page.get_by_label("Files a member may send a day")).to_have_value("2")
    answers.write_text("\n".join(labels()))
    page.locator("#f-answers").set_input_files(answers)
    page.get_by_role("button", name="Seal the answers").click()
    expect(page.get_by_role("status")).to_contain_text("Nobody can read them from here on")
    fits(page, "sealed-empty")

    # malformed files, each with its message; none is counted
    plain = [kind for kind, (form, _content, _text) in CASES.items() if form == type(form)()]
    for kind in plain:
        if kind not in {"too_few_rows", "too_many_rows", "blank_line"}:  # of another number of rows
            send(page, tmp_path, f"{kind}.tsv", CASES[kind][1])
            expect(page.locator("#problem")).to_contain_text(CASES[kind][2])
            expect(page.locator("#send")).to_contain_text("may send 2 more files today")
    fits(page, "sealed-refused")

    # two good ones, then the day is used up
    for name, high in SENT.items():
        content = "".join(f"{high if label == '1' else 1 - high:.2f}\n" for label in labels())
        send(page, tmp_path, f"{name}.tsv", content.encode())
        expect(page.get_by_role("status")).to_contain_text(f"{name}.tsv scores ")
    expect(page.get_by_role("status")).to_contain_text("1.00000")
    send(page, tmp_path, "third.tsv", b"0.25\n" * ROWS)
    expect(page.locator("#problem")).to_contain_text("local has sent all 2 files of today: the next day begins at")
    expect(page.locator("#history tbody tr").first).to_contain_text("refused")
    fits(page, "sealed-over")

    # it closes: late files are refused, then the private scores come out
    past = datetime.now(ZoneInfo("Asia/Shanghai")) - timedelta(minutes=2)
    page.locator("#terms-closes").fill(f"{past:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Change the rules").click()
    expect(page.get_by_role("status")).to_have_text("The rules are changed.")
    send(page, tmp_path, "late.tsv", b"0.5\n" * ROWS)
    expect(page.locator("#problem")).to_contain_text("this file came too late and is not scored")
    expect(page.locator("main")).not_to_contain_text("private 1.0")
    page.get_by_role("button", name="Reveal the private scores").click()
    expect(page.get_by_role("status")).to_have_text("The private scores are out.")
    row = page.get_by_role("region", name="Board").locator("tbody tr").first
    expect(row).to_contain_text("local")
    expect(row.locator("td.num").nth(1)).to_have_text("1.00000")
    fits(page, "sealed-revealed")
    assert "\n".join(labels()) not in page.content()


def test_the_form_of_files(page: Page, line: SetUp) -> None:
    slug = f"form-{(page.viewport_size or {})['width']}"
    line.http.post("/api/v1/contests", json={"name": "Our own", "slug": slug}).raise_for_status()
    page.goto(f"/contests/{slug}/format")
    expect(page.locator("#sample pre")).to_contain_text("0.9731254")
    page.get_by_label("Columns", exact=True).fill("id, probability")
    page.get_by_label("Header").fill("id,score,extra")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#e-header")).to_contain_text("3 names for 2 columns")
    page.get_by_label("Header").fill("id,score")
    page.get_by_label("Columns are divided by").select_option("comma")
    page.get_by_label("In a zip").check()
    page.get_by_label("Name of the file").fill("result.csv")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#sample")).to_contain_text("not saved yet")
    expect(page.locator("#sample pre")).to_contain_text("id,score")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#sample")).to_contain_text("result.zip, in it result.csv")
    fits(page, "format")
    assert line.http.get(f"/api/v1/contests/{slug}/submission-format").json()["header"] == ["id", "score"]
