"""In Chinese no English sentence is left on a page or in an answer of REST; other pages can be added to PAGES."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from pydantic_core import PydanticKnownError
from starlette.testclient import TestClient

from app.language import choose
from app.leaderboard.flips import parts
from app.pydantic_words import MESSAGES
from app.schema import folder
from ml.contract.events import Failed
from tests.app.test_pages import END, EVENTS, Carry, carry
from tests.factories import TINY, contest_over_http, experiment_over_http, pair_text

__all__ = ["carry"]  # a fixture

ZH = {"Accept-Language": "zh-CN"}
#: what stands in code is typed as it stands
UNREAD = {"script", "style", "code", "pre"}
SENTENCE = re.compile(r"[A-Za-z][A-Za-z'’]+(?:[ ,;:]+[A-Za-z][A-Za-z'’]+){2,}")
#: what is named is not translated: authors of papers, commands in backquotes, an example of what the search takes
NAMES = re.compile(r"[A-Z]\w+ (?:et al\.|and [A-Z]\w+ (?=\d{4}))|`[^`]*`|\bstatus:finished \S+")
FORM = "/experiments/new?contest=oppo"
PAGES = ("/", "/queue", "/queue/rows", "/workers", "/workers/rows", "/experiments/1", FORM, f"{FORM}&preset=best")
#: with experiments that wait (1), are trained (2), finished (3) and failed (4)
STATES = (
    *("/contests/new", "/contests/oppo", "/contests/oppo/rows", "/contests/oppo/compare?ids=1,3", "/sign-in"),
    *("/contests/oppo/format", "/contests/oppo/sealed", "/contests/oppo/sealed?everyone=true"),
    "/contests/oppo/valid-online",
    *("/queue", "/workers", "/keyboard", "/search?q=oppo", "/contests/oppo/trash", "/experiments/3/edit"),
    *("/account", "/members", "/contests/oppo/members", "/audit"),
    "/contests/oppo/webhooks",
    *(f"/experiments/{number}{part}" for number in (1, 2, 3, 4) for part in ("", "/status", "/leaks", "/submission")),
    *(f"/contests/oppo/audit{asked}" for asked in ("", "?train=1&split_by=row", "?train=1&test=2", "?train=1&fold=3")),
    "/contests/oppo/submissions",
)
#: what a run or the program itself stored in English: it is shown as it was stored
STORED = re.compile(r"it broke")


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


def test_pages_of_every_state_in_chinese(client: TestClient, carry: Carry) -> None:
    assert english_in(client.get("/", headers=ZH).text) == []
    contest_over_http(client)
    failed = (*EVENTS, Failed(reason="it broke", detail="Traceback"))
    for seed, events in enumerate((None, EVENTS, EVENTS + END, failed), 1):
        found = experiment_over_http(client, name="一", config={**TINY, "pretrain": None, "seed": seed})
        if events is not None:
            carry(found["runs"][0]["id"], events)
    left = {"/contests/oppo/sealed": english_in(client.get("/contests/oppo/sealed", headers=ZH).text)}
    assert left.pop("/contests/oppo/sealed") == [], "without answers it asks for them"
    seal(client)
    client.post("/contests/oppo/audit", data={"train": "1", "test": "2"})
    for path in STATES:
        answer = client.get(path, headers=ZH)
        assert answer.status_code == 200, path
        if english := english_in(STORED.sub("", answer.text)):
            left[path] = english
    assert left == {}


def seal(client: TestClient) -> None:
    """With a file that was scored and some that were refused."""
    url = "/api/v1/contests/oppo/sealed"
    sealed = client.post(url, files={"answers": ("answers.tsv", pair_text(60).encode())})
    assert sealed.status_code == 201, sealed.text
    for content in (b"0.5\n0.7\n" * 30, b"x\n", b"0.5\n", b"1,5\n"):
        client.post(f"{url}/uploads", files={"file": ("m.tsv", content)}, headers=ZH)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"name": ""}, "名称应为 1 到 200 个可打印字符"),
        ({"name": "一", "metric": "x"}, "请从 roc_auc, accuracy"),
        ({"name": "一", "slug": "-"}, "首尾须为字母或数字"),
        ({"name": "一", "slug": "oppo"}, "网址 &#39;oppo&#39; 已有比赛"),
    ],
)
def test_a_refused_contest_in_chinese(client: TestClient, typed: dict[str, str], expected: str) -> None:
    contest_over_http(client)
    answer = client.post("/contests", data={"metric": "roc_auc", **typed}, headers=ZH)
    assert answer.status_code in {409, 422}
    assert expected in answer.text
    assert english_in(answer.text) == []


def test_a_wrong_password_in_chinese(client: TestClient) -> None:
    answer = client.post("/sign-in", data={"name": "x", "password": "y"}, headers=ZH)
    assert answer.status_code == 401
    assert "用户名与密码不匹配" in answer.text
    assert english_in(answer.text) == []


def test_webhooks_in_chinese(client: TestClient) -> None:
    contest_over_http(client)
    refused = client.post("/contests/oppo/webhooks", data={"url": "http://10.0.0.1/"}, headers=ZH)
    assert refused.status_code == 422
    for expected in ("不是公网地址", "请至少选择一项"):
        assert expected in refused.text
    assert english_in(refused.text) == []


def test_names_of_slices_in_the_language_of_the_request() -> None:
    measures = np.array([[4.0, 0.2, 3.0], [9.0, 0.9, 80.0]])
    english = parts(measures, ids=True)
    try:
        choose("zh")
        chinese = parts(measures, ids=True)
    finally:
        choose("en")
    assert [key for key, *_ in chinese] == [key for key, *_ in english]
    assert english[0][1:3] == ("length", "up to 6 tokens")
    assert chinese[0][1:3] == ("长度", "不超过 6 个 token")
    assert not any(re.search("[a-z]{2}", f"{by} {name}".replace("token", "")) for _, by, name, _ in chinese)


def test_no_page_is_bilingual() -> None:
    root = Path(folder("templates"))
    pages = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.html")}
    bilingual = {name for name, text in pages.items() if 'lang="zh"' in text}
    assert bilingual == set()


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
    values: dict[str, object] = {name: 1 if name in numbers else "x" for name in names if name != "expected_plural"}
    if kind in {"value_error", "assertion_error"}:
        values = {"error": ValueError("x")}
    known = PydanticKnownError(kind, values or None)  # type: ignore[arg-type]
    assert re.sub(r"\{(\w+)\}", r"%(\1)s", known.message_template) == MESSAGES[kind]
