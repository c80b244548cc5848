"""The whole site under /pairboard of a real proxy: every link, redirect, file and cookie stays under it."""

import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect

from app.contests import queries
from app.db import Database
from tests.factories import make_experiment, make_file, storage_in
from tests.pages.conftest import opened
from tests.processes import SetUp, set_up

ROOT = "/pairboard"
HOST = "bench.example"


class Proxy:
    """A proxy with TLS in front, or so it says. `cuts`: whether it passes the path on without the root."""

    def __init__(self, backend: str, *, cuts: bool) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def do_GET(self) -> None:
                if not self.path.startswith(ROOT):
                    self.send_error(404, "another program's")
                    return
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = (self.path.removeprefix(ROOT) or "/") if cuts else self.path
                passed = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                host = passed.pop("Host", "")
                forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": host, "X-Forwarded-Proto": "http"}
                with httpx2.Client(timeout=30) as http:
                    answer = http.request(self.command, backend + path, headers={**passed, **forwarded}, content=body)
                self.send_response(answer.status_code)
                for name, value in answer.headers.multi_items():
                    if name not in {"content-length", "connection", "transfer-encoding", "content-encoding"}:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Addresses(HTMLParser):
    """Every address that a page leads to or loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.loaded: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name in ("href", "src", "action", "formaction"):
            if given.get(name, "").startswith("/"):
                self.found.add(given[name])
                if tag != "form" and not name.endswith("action"):
                    self.loaded.add(given[name])
        self.found |= {value for name, value in given.items() if name.startswith("data-") and value.startswith("/")}


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SetUp]:
    """A public server under /pairboard that trusts the proxy on this machine, with ada as its member."""
    folder: Path = tmp_path_factory.mktemp("root")
    env = {
        "PAIRBOARD_ROOT_PATH": ROOT,
        "PAIRBOARD_TRUSTED_PROXIES": "127.0.0.0/8",
        "PAIRBOARD_HOST": "0.0.0.0",
        "PAIRBOARD_SECRET": "s" * 40,
        "PAIRBOARD_ALLOWED_HOSTS": HOST,
    }
    with set_up(folder, **env) as made:
        database = Database(f"sqlite:///{folder / 'data' / 'pairboard.db'}")
        with database.writing() as session:
            from app.accounts import service as accounts
            from tests.factories import make_contest

            accounts.add_member(session, "ada", "correct horse battery")
            contest = make_contest(session)
            make_file(session, storage_in(folder / "data"), contest)
            make_experiment(session, queries.contest(session, contest.slug))
        database.dispose()
        made.start_web()
        yield made


@pytest.fixture(params=["cut off", "passed on"])
def proxy(request: pytest.FixtureRequest, line: SetUp) -> Iterator[Proxy]:
    made = Proxy(line.url, cuts=request.param == "cut off")
    yield made
    made.close()


def test_every_address_leads_below_the_root(proxy: Proxy) -> None:
    with httpx2.Client(base_url=proxy.url, timeout=30) as http:
        turned_away = http.get(ROOT)
        assert (turned_away.status_code, turned_away.headers["location"]) == (303, f"{ROOT}/sign-in")
        signed = http.post(f"{ROOT}/sign-in", data={"name": "ada", "password": "correct horse battery"})
        assert signed.status_code == 303
        assert signed.headers["location"].startswith(f"{ROOT}/")
        for cookie in signed.headers.get_list("set-cookie"):
            assert f"path={ROOT};" in f"{cookie.lower()};", cookie
        seen: set[str] = set()
        waiting = {f"{ROOT}/"}
        while waiting:
            address = waiting.pop()
            seen.add(address)
            answer = http.get(address, follow_redirects=True)
            assert answer.status_code in {200, 404, 422}, (address, answer.status_code)
            if "html" in answer.headers["content-type"]:
                reader = Addresses()
                reader.feed(answer.text)
                assert not [found for found in reader.found - {ROOT} if not found.startswith(f"{ROOT}/")], address
                waiting |= {found.partition("#")[0] for found in reader.loaded} - seen
        for part in (
            "contests/oppo",
            "experiments/1",
            "queue",
            "contests/oppo/files",
            "docs",
            "contests/oppo/webhooks",
        ):
            assert f"{ROOT}/{part}" in seen, part
        assert len(seen) > 30


def test_redirects_and_what_is_told_to_programs(proxy: Proxy) -> None:
    with httpx2.Client(base_url=proxy.url, timeout=30) as http:
        http.post(f"{ROOT}/sign-in", data={"name": "ada", "password": "correct horse battery"})
        slash = http.get(f"{ROOT}/contests/oppo/")
        assert slash.headers["location"] == f"{ROOT}/contests/oppo"
        back = http.post(
            f"{ROOT}/preferences",
            data={"theme": "dark"},
            headers={"Referer": f"{proxy.url}{ROOT}/contests/oppo?sort=id"},
        )
        assert back.headers["location"] == f"{ROOT}/contests/oppo?sort=id"
        assert http.get(f"{ROOT}/openapi.json").json()["servers"] == [{"url": ROOT}]
        commands = http.get(f"{ROOT}/api/v1/runs/1/job.sh").text
        assert f"{proxy.url}{ROOT}/api/v1/" in commands
        lost = http.get(f"{ROOT}/api/v1/nowhere")
        assert (lost.status_code, lost.json()["error"]["fields"]) == (404, [])


def test_the_proxys_host_is_checked_and_a_strangers_word_is_not_taken(line: SetUp, proxy: Proxy) -> None:
    with httpx2.Client(base_url=proxy.url, timeout=30) as http:
        assert http.get(f"{ROOT}/sign-in", headers={"Host": HOST}).status_code == 200
        assert http.get(f"{ROOT}/sign-in", headers={"Host": "evil.example"}).status_code == 403


def test_in_a_browser(chromium: str, proxy: Proxy) -> None:
    with opened(chromium, proxy.url, (1280, 900)) as page:
        page.goto(f"{ROOT}/")
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill("correct horse battery")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Oppo").first.click()
        expect(page).to_have_url(f"{proxy.url}{ROOT}/contests/oppo")
        page.locator("[data-theme-switch]").click()
        expect(page.locator("[data-theme-switch]")).to_have_text("Theme: light")
        page.goto(f"{ROOT}/docs")
        expect(page.locator("#swagger-ui")).to_contain_text("/api/v1/contests", timeout=15_000)
