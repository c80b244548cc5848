"""The switches of every page: language and theme, kept in cookies; times in words."""

from datetime import UTC, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from app.language import choose
from app.web import ago, duration, plain_value, when


def test_the_theme_goes_round_and_stays(client: TestClient) -> None:
    assert 'data-theme="system"' in client.get("/").text
    for chosen, following in (("light", "dark"), ("dark", "system"), ("system", "light")):
        answer = client.post("/preferences", data={"theme": chosen}, headers={"Referer": "http://x.example/queue?a=1"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/queue?a=1")
        page = client.get("/").text
        assert f'data-theme="{chosen}"' in page
        assert f'name="theme" value="{following}"' in page


def test_the_language_stays_whatever_the_browser_says(client: TestClient) -> None:
    assert client.post("/preferences", data={"language": "zh"}).status_code == 303
    page = client.get("/queue", headers={"Accept-Language": "en"}).text
    assert '<html lang="zh-CN"' in page
    assert ">English</button>" in page
    client.post("/preferences", data={"language": "en"})
    assert '<html lang="en"' in client.get("/queue", headers={"Accept-Language": "zh"}).text


@pytest.mark.parametrize(
    ("referer", "led_to"),
    [
        ("https://evil.example/x", "/x"),
        ("https://evil.example//other.example/x", "/other.example/x"),
        ("https://evil.example/\\\\other.example", "/other.example"),
        ("", "/"),
        ("javascript:alert(1)", "/alert(1)"),
    ],
)
def test_nobody_is_led_to_another_site(client: TestClient, referer: str, led_to: str) -> None:
    answer = client.post("/preferences", data={"theme": "dark"}, headers={"Referer": referer})
    assert answer.headers["location"] == led_to


def test_what_is_no_theme_is_refused(client: TestClient) -> None:
    assert client.post("/preferences", data={"theme": "pink"}).status_code == 422
    client.cookies.set("pairboard_theme", "pink")
    assert 'data-theme="system"' in client.get("/").text


def test_the_keys_are_listed_without_javascript(client: TestClient) -> None:
    page = client.get("/keyboard").text
    assert "<kbd>?</kbd>" in page


def test_times_in_both_languages() -> None:
    moment = datetime.now(UTC) - timedelta(minutes=5)
    spans = (45, 700, 12_000, 400_000)
    try:
        choose("en")
        assert [duration(seconds) for seconds in spans] == ["45 s", "12 min", "3 h 20 min", "4 d"]
        assert (ago(moment), ago(datetime.now(UTC)), ago(None)) == ("5 min ago", "just now", "never")
        assert f'<time datetime="{moment.isoformat()}"' in when(moment)
        assert "UTC" in when(moment)
        assert (plain_value(True), plain_value([1, None])) == ("on", "1, –")
        choose("zh")
        assert [duration(seconds) for seconds in spans] == ["45 秒", "12 分钟", "3 小时 20 分", "4 天"]
        assert (ago(moment), ago(datetime.now(UTC)), ago(None)) == ("5 分钟前", "刚刚", "从未")
        assert plain_value(False) == "关"
    finally:
        choose("en")
