"""English and Chinese: every message of the code is translated, and a request gets the language it asks for."""

import pytest
from babel.messages.catalog import Catalog
from starlette.testclient import TestClient

from app import language
from app.catalogues import is_whole, translated, update, used
from app.language import catalogue_files, choose, gettext, ngettext, preferred, read_catalogue, translations


@pytest.fixture(autouse=True)
def _english_after() -> object:
    yield
    choose("en")


def test_every_message_of_the_code_is_translated() -> None:
    held = translated("zh")
    missing = [key for key in used() if key not in held or not is_whole(held[key])]
    assert missing == [], "`make words`, then write their Chinese into app/locale/zh"


def test_the_catalogues_are_as_make_words_writes_them() -> None:
    """Nothing stands in two of them, and nothing in them is left over from code that is gone."""
    on_disk = {name: path.read_bytes() for name, path in catalogue_files("zh").items()}
    assert on_disk == update("zh"), "run `make words`"


def test_what_is_filled_in_is_the_same_in_both_languages() -> None:
    for name, path in catalogue_files("zh").items():
        wrong = [(message.id, errors) for message, errors in read_catalogue(path, "zh").check()]
        assert wrong == [], f"in {name}.po"


@pytest.mark.parametrize(
    ("cookie", "accepted", "expected"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "en-GB,en;q=0.9,zh;q=0.8", "en"),
        ("", "fr,de;q=0.9", "en"),
        ("", "fr,zh;q=0.1", "zh"),
        ("", "zh;q=0", "en"),
        ("", "zh;q=much", "en"),
        ("", "zh;level=1,en", "en"),
        ("pairboard_language=zh", "en", "zh"),
        ("theme=dark; pairboard_language=en", "zh", "en"),
        ("pairboard_language=xx", "zh", "zh"),
        ("pairboard_language", "zh", "zh"),
    ],
)
def test_the_switch_then_the_browser_then_english(cookie: str, accepted: str, expected: str) -> None:
    assert preferred(cookie, accepted) == expected


def test_a_page_is_in_one_language(client: TestClient) -> None:
    english, chinese = client.get("/queue"), client.get("/queue", headers={"Accept-Language": "zh-CN"})
    assert '<html lang="en"' in english.text
    assert "Skip to content" in english.text
    assert '<html lang="zh-CN"' in chinese.text
    assert "跳到正文" in chinese.text
    assert "Skip to content" not in chinese.text
    assert "Skip to content" in client.get("/queue").text, "the next request is asked anew"


def test_numbers_and_names_are_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalog(locale="zh")
    catalogue.add("100%% of %(name)s", "%(name)s 的 100%%")
    catalogue.add(("%(num)d row of %(name)s", "%(num)d rows of %(name)s"), ("%(name)s 的 %(num)d 行",))
    monkeypatch.setattr(language, "catalogue_files", lambda _: {"one": None})
    monkeypatch.setattr(language, "read_catalogue", lambda *_: catalogue)
    translations.cache_clear()
    try:
        said = []
        for asked in ("en", "zh"):
            choose(asked)
            said.append(gettext("100%% of %(name)s", name="ann"))
            said += [ngettext("%(num)d row of %(name)s", "%(num)d rows of %(name)s", n, name="ann") for n in (1, 2)]
    finally:
        translations.cache_clear()
    assert said == [
        *("100% of ann", "1 row of ann", "2 rows of ann"),
        *("ann 的 100%", "ann 的 1 行", "ann 的 2 行"),
    ]
