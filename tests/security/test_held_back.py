"""No page has a button that would be refused to who looks at it: readers, members, and readers of one contest walk
through everything that is linked, and press what is not switched off."""

import json
import re
import shutil
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.factories import TINY, experiment_over_http
from tests.security.attacks_sealed import sealed
from tests.security.house import House
from tests.security.test_attacks import standing

#: they would end the walk
LAST = ("/sign-out", "/account/sessions", "/account/password")
MOST_PAGES = 400


class Page(HTMLParser):
    """The links of a page, and the addresses that its buttons go to: those that work and those that don't."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.works: set[tuple[str, str]] = set()
        self.off: dict[tuple[str, str], str] = {}
        self._forms: dict[str, tuple[str, str]] = {}
        self._now: tuple[str, str] | None = None
        self._apart: list[dict[str, str]] = []
        self.feed(html)
        for given in self._apart:
            self._press(given, self._forms.get(given["form"]))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and given.get("href", "").startswith("/"):
            self.links.add(given["href"].partition("#")[0])
        if tag == "form":
            self._now = given.get("method", "get").upper(), given.get("action", "")
            self._forms[given.get("id", "")] = self._now
        kind = given.get("type", "submit" if tag == "button" else "")
        if tag in {"button", "input"} and kind in {"submit", "image"}:
            if "form" in given:
                self._apart.append(given)
            else:
                self._press(given, self._now)

    def _press(self, given: dict[str, str], form: tuple[str, str] | None) -> None:
        if form is None:
            return
        went = given.get("formmethod", form[0]).upper(), given.get("formaction", form[1])
        if "disabled" in given:
            self.off[went] = given.get("title", "")
        elif went[0] in {"GET", "POST"} and went[1].startswith("/"):
            self.works.add(went)

    def handle_endtag(self, tag: str) -> None:
        self._now = None if tag == "form" else self._now


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Iterator[House]:
    """With something on every page: runs that wait, work and failed, a webhook, a sealed contest, plans to send."""
    folder = tmp_path_factory.mktemp("walked")
    public, local = (shutil.copy(migrated_file, folder / name) for name in ("public.db", "local.db"))
    with standing(folder, f"sqlite:///{public}", f"sqlite:///{local}") as made:
        sealed(made, "sealed")
        made.claimed(1)
        broken(made, 2)
        config = {**TINY, "pretrain": None, "seed": 3}
        number = experiment_over_http(made.member, "other", name="of the other", config=config)["id"]
        made.member.post(f"/api/v1/experiments/{number}/online-scores", json={"value": 0.7})
        hook = {"url": "https://93.184.216.34/", "events": ["score.best"]}
        assert made.member.post("/api/v1/contests/oppo/webhooks", json=hook).status_code == 201
        yield made


def broken(house: House, seed: int) -> None:
    """An experiment whose run has failed."""
    run, attempt = house.claimed(seed)
    failed = {"first": 1, "events": [{"type": "failed", "reason": "it broke", "detail": "Traceback"}]}
    assert house.stranger.post(f"/api/v1/runs/{run}/events", json=failed, headers=attempt).status_code == 200


def walked(client: TestClient) -> dict[str, Page]:
    """Every page that is linked from the first one on; of addresses that differ in their query alone, one of a kind."""
    found: dict[str, Page] = {}
    waiting, seen = ["/"], set()
    while waiting and len(found) < MOST_PAGES:
        address = waiting.pop(0)
        path, _, query = address.partition("?")
        kind = path, *sorted(re.findall(r"([\w.]+)=", query))
        if kind in seen:
            continue
        seen.add(kind)
        answer = client.get(unescape(address))
        assert answer.status_code != 403, f"{address} is linked, and refused"
        if answer.headers.get("content-type", "").startswith("text/html") and answer.status_code == 200:
            found[address] = Page(answer.text)
            waiting += sorted(found[address].links)
    return found


def refused_ones(client: TestClient, pages: dict[str, Page]) -> list[str]:
    """What works, by the look of it, and is refused."""
    actions = {went: address for address, page in pages.items() for went in page.works}
    assert actions
    wrong = []
    for (method, action), address in sorted(actions.items(), key=lambda item: item[0][1].startswith(LAST)):
        if action.startswith(LAST):
            continue
        status = client.request(method, action, data={} if method == "POST" else None).status_code
        if status in {401, 403, 405}:
            wrong.append(f"{method} {action} on {address}: {status}")
    return wrong


def test_a_reader_finds_nothing_that_would_be_refused(house: House) -> None:
    reader = house.person("viewer")
    pages = walked(reader)
    assert len(pages) > 40
    assert refused_ones(reader, pages) == []
    posts = {action for page in pages.values() for method, action in page.works if method == "POST"}
    assert {action for action in posts if not action.startswith(("/account/", "/preferences", "/sign-out"))} == set()
    off = {went: why for page in pages.values() for went, why in page.off.items()}
    assert len(off) > 20
    assert set(off.values()) == {
        "you may read: this needs run; ask an owner",
        "you may read: this needs submit; ask an owner",
    }
    board = pages["/contests/oppo"]
    assert ("GET", "/contests/oppo/selection") in board.works, "to look at rows beside each other is to read"
    text = reader.get("/experiments/1").text
    assert "What is switched off on this page needs more than you may do here: ask an owner." in text
    chosen = reader.get("/contests/oppo/selection?action=compare&ids=1&ids=2&tag=")
    assert chosen.headers["location"] == "/contests/oppo/compare?ids=1,2"
    assert "要问" not in text
    in_chinese = reader.get("/experiments/1", headers={"Accept-Language": "zh"}).text
    assert "所有者" in in_chinese


def test_a_member_who_only_reads_in_one_contest(house: House) -> None:
    person = house.person("member")
    path = f"/api/v1/contests/other/members/{house.number_of(person)}"
    assert house.member.put(path, json={"role": "viewer"}).status_code == 204
    pages = walked(person)
    assert refused_ones(person, pages) == []
    assert ("POST", "/contests/oppo/format") in pages["/contests/oppo/format"].works
    assert ("POST", "/experiments") in Page(person.get("/experiments/new?contest=oppo").text).works
    off = {went: why for page in pages.values() for went, why in page.off.items()}
    assert ("POST", "/contests/other/format") in off
    new = Page(person.get("/experiments/new?contest=other").text)
    assert new.off["POST", "/experiments"] == "in this contest you may read: this needs run"


def test_a_reader_who_is_a_member_of_one_contest(house: House) -> None:
    person = house.person("viewer")
    path = f"/api/v1/contests/other/members/{house.number_of(person)}"
    assert house.member.put(path, json={"role": "member"}).status_code == 204
    for slug, works in (("other", True), ("oppo", False)):
        for page, went in (
            (f"/contests/{slug}/format", f"/contests/{slug}/format"),
            (f"/contests/{slug}/files", f"/contests/{slug}/files"),
            (f"/experiments/new?contest={slug}", "/experiments"),
        ):
            found = Page(person.get(page).text)
            assert (("POST", went) in found.works, ("POST", went) in found.off) == (works, not works), page


def test_what_an_open_page_is_told_has_the_buttons_of_its_reader(house: House) -> None:
    broken(house, 4)  # another test tries the buttons of what failed before
    rows = house.member.get("/api/v1/contests/oppo/leaderboard?search=status:failed").json()["rows"]
    path = f"/api/v1/experiments/{rows[0]['id']}/stream"
    told = {}
    for name, client in (("reader", house.person("viewer")), ("owner", house.member)):
        data = [line for line in client.get(path).text.splitlines() if line.startswith('data: "')]
        told[name] = Page(json.loads(data[0].removeprefix("data: ")))
    retry = ("POST", f"/experiments/{rows[0]['id']}/retry")
    assert retry in told["owner"].works
    assert retry in told["reader"].off


def test_owners_and_the_local_user_find_everything_as_it_is(house: House) -> None:
    for client in (house.member, house.local):
        for path in ("/", "/contests/oppo", "/experiments/1", "/queue", "/workers", "/experiments/new?contest=oppo"):
            assert " disabled" not in client.get(path).text
            assert "What is switched off" not in client.get(path).text
