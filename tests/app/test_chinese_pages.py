"""In Chinese no English sentence is left on a page or in an answer of REST; other pages can be added to PAGES."""

import re
from html.parser import HTMLParser

import pytest
from pydantic_core import PydanticKnownError
from starlette.testclient import TestClient

from app.pydantic_words import MESSAGES
from tests.factories import TINY, contest_over_http, experiment_over_http

ZH = {"Accept-Language": "zh-CN"}
#: what stands in code is typed as it stands
UNREAD = {"script", "style", "code", "pre"}
SENTENCE = re.compile(r"[A-Za-z][A-Za-z'’]+(?:[ ,;:]+[A-Za-z][A-Za-z'’]+){2,}")
#: what is named is not translated: authors of papers, commands in backquotes
NAMES = re.compile(r"[A-Z]\w+ (?:et al\.|and [A-Z]\w+ (?=\d{4}))|`[^`]*`")
FORM = "/experiments/new?contest=oppo"
PAGES = ("/", "/queue", "/queue/rows", "/workers", "/workers/rows", "/experiments/1", FORM, f"{FORM}&preset=best")


class Visible(HTMLParser):
    """Texts that people read or hear."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in UNREAD:
            self._inside.append(tag)
        self.texts += [value for name, value in attrs if value and name in {"title", "aria-label", "placeholder"}]

    def handle_endtag(self, tag: str) -> None:
        if self._inside and tag == self._inside[-1]:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.texts.append(data)


def english_in(html: str) -> list[str]:
    """Three Latin words in a row."""
    reader = Visible()
    reader.feed(html)
    return [found for text in reader.texts for found in SENTENCE.findall(NAMES.sub("", text))]


def test_a_sentence_is_found() -> None:
    assert english_in("<p>一 Nothing waits here</p><code>a b c</code><i title='so it is'>x</i>") == [
        "Nothing waits here",
        "so it is",
    ]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_in_chinese(client: TestClient, worker_headers: dict[str, str], path: str) -> None:
    contest_over_http(client)
    experiment_over_http(client, name="一")
    experiment_over_http(client, name="二", config={**TINY, "seed": 4})
    worker = {"worker": "w1", "boot_id": "boot-one"}
    assert client.post("/api/v1/workers/heartbeat", json=worker, headers=worker_headers).status_code == 200
    client.put("/api/v1/queues/other/pause", json={"reason": ""})
    answer = client.get(path, headers=ZH)
    assert answer.status_code == 200
    assert english_in(answer.text) == []


def test_a_refused_form_in_chinese(client: TestClient) -> None:
    contest_over_http(client)
    form = {"contest": "oppo", "name": "一", "data.folds": "1", "finetune.learning_rate": "9", "seed": "x"}
    answer = client.post("/experiments", data=form, headers=ZH)
    assert answer.status_code == 422
    for expected in ("1 折无法留出验证集", "应小于或等于 1", "应为整数，无法解析"):
        assert expected in answer.text
    assert english_in(answer.text) == []


def test_a_refused_files_rows_in_chinese(client: TestClient) -> None:
    contest_over_http(client)
    rows = "a\tb\t1\nc\td\t0\ne\tf\n\tg\t1\na\tb\t3\n"
    files = {"file": ("pairs.tsv", rows.encode())}
    answer = client.post("/api/v1/contests/oppo/files", files=files, data={"kind": "train"}, headers=ZH)
    assert answer.status_code == 422
    told = [problem["message"] for problem in answer.json()["error"]["fields"]]
    assert told == ["有 2 个字段，应为 3 个", "第一个句子为空", "标签是 '3'，应为 0 或 1"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"to": "sideways"}, "应为 'first', 'up', 'down' 或 'last'"),
        ({}, "必填"),
        ({"to": "up", "x": 1}, "没有这个字段"),
    ],
)
def test_a_refused_body_in_chinese(client: TestClient, body: dict[str, object], expected: str) -> None:
    answer = client.post("/api/v1/runs/1/move", json=body, headers=ZH)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert expected in error["fields"][0]["message"]
    assert not SENTENCE.search(error["message"].replace("'first', 'up', 'down'", ""))


@pytest.mark.parametrize("kind", sorted(MESSAGES))
def test_pydantics_words_are_as_here(kind: str) -> None:
    """What the catalogue translates is what pydantic says."""
    names = re.findall(r"%\((\w+)\)s", MESSAGES[kind])
    numbers = {"min_length", "max_length", "actual_length", "gt", "ge", "lt", "le", "multiple_of"}
    values = {name: 1 if name in numbers else "x" for name in names if name != "expected_plural"}
    if kind in {"value_error", "assertion_error"}:
        values = {"error": ValueError("x")}
    known = PydanticKnownError(kind, values or None)  # type: ignore[arg-type]
    assert re.sub(r"\{(\w+)\}", r"%(\1)s", known.message_template) == MESSAGES[kind]
