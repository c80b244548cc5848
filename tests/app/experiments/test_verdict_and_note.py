"""What people say of an experiment: a verdict in one line, and a note in Markdown that can do a reader no harm."""

import re
from html.parser import HTMLParser

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.errors import Refused
from app.experiments import service
from app.experiments.note import plain, rendered
from app.leaderboard.queries import ranked
from tests.factories import contest_over_http, experiment_over_http, make_contest

#: what a note may become; every other tag or attribute is a hole
TAGS = {
    *("p", "br", "a", "em", "strong", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"href", "rel", "title", "class", "start"}
HARMFUL = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](<java\x01script:alert(1)>)",
    "[x](&#1;javascript:alert(1))",
    "[x](&#x0a;javascript:alert&lpar;1&rpar;)",
    "<javascript:alert(1)>",
    "[x][y]\n\n[y]: javascript:alert(1)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](https://example.org/pixel.png)",
    '![x](x"onerror="alert(1))',
    '[x](https://example.org/"onclick="alert(1))',
    '[x](/x "t\\" onmouseover=\\"alert(1)")',
    '`<script>`\n\n```html"onclick="x\n<script>alert(1)</script>\n```',
    "| <script> | b |\n|:-|-:|\n| <img onerror=x> | [c](javascript:x) |",
    "# <script>\n\n> <iframe src=//example.org>",
    "\x00<script>",
)


class Reader(HTMLParser):
    """Every tag and attribute of a piece of HTML, and where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it down."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


@pytest.mark.parametrize("note", HARMFUL)
def test_a_note_can_do_no_harm(note: str) -> None:
    found = Reader(rendered(note))
    assert found.tags <= TAGS
    assert found.attributes <= ATTRIBUTES
    for link in found.links:
        scheme = re.match(r"\s*([a-z][a-z0-9+.-]*):", link, re.IGNORECASE)
        assert scheme is None or scheme[1].lower() in {"http", "https", "mailto"}


def test_a_note_is_markdown() -> None:
    html = rendered(
        "# Why\nline one\nline two\n\n- **bold** `code`\n\n|a|b|\n|-|-:|\n|x|1|\n\n"
        "[own](/experiments/3) [theirs](https://example.org/?a=1&b=2) <mailto:a@example.org> ~~gone~~"
    )
    for text in (
        "<h3>Why</h3>",
        "line one<br>",
        "<li><strong>bold</strong> <code>code</code></li>",
        '<td class="num">1</td>',
        '<a href="/experiments/3" rel="nofollow noopener">own</a>',
        '<a href="https://example.org/?a=1&amp;b=2" rel="nofollow noopener">theirs</a>',
        'href="mailto:a@example.org"',
        "<s>gone</s>",
    ):
        assert text in html, text


def test_a_verdict_is_one_line(session: Session) -> None:
    contest = make_contest(session)
    row = service.create_external(session, contest, name="last 3", note="# why")
    service.edit(session, row, verdict="  worth it: +0.004, 两倍时间  ")
    assert (row.verdict, row.name, row.note) == ("worth it: +0.004, 两倍时间", "last 3", "# why")
    for wrong in ("two\nlines", "x" * 201):
        with pytest.raises(Refused, match="one line of at most 200"):
            service.edit(session, row, name="other", verdict=wrong)
        assert (row.verdict, row.name) == ("worth it: +0.004, 两倍时间", "last 3")
    service.edit(session, row, note="")
    assert (row.verdict, row.note) == ("worth it: +0.004, 两倍时间", "")
    assert [found.verdict for found in ranked(session, contest, search="两倍").rows] == [row.verdict]
    assert ranked(session, contest, search="-两倍").rows == []


def test_by_rest_and_by_form(client: TestClient) -> None:
    contest_over_http(client)
    experiment_over_http(client)
    url = "/api/v1/experiments/1"
    changed = client.patch(url, json={"verdict": "dead end <b>"}).json()
    assert (changed["name"], changed["verdict"]) == ("first", "dead end <b>")
    assert client.patch(url, json={"name": "better"}).json()["verdict"] == "dead end <b>"
    refused = client.patch(url, json={"verdict": "a\nb"})
    assert refused.status_code == 422
    assert refused.json()["error"]["fields"][0]["field"] == "verdict"
    for path in ("/experiments/1", "/contests/oppo", "/contests/oppo/rows", "/experiments/1/edit"):
        assert "dead end &lt;b&gt;" in client.get(path).text, path
    assert "dead end <b>" in client.get("/contests/oppo/leaderboard.csv").text
    assert client.get("/api/v1/contests/oppo/leaderboard?search=dead").json()["rows"][0]["verdict"] == "dead end <b>"

    typed = {"name": "better", "verdict": "so so", "note": "**why** <script>"}
    shown = client.post("/experiments/1/edit/preview", data=typed)
    assert shown.status_code == 200
    for text in ("<strong>why</strong> &lt;script&gt;", 'value="so so"', ">**why** &lt;script&gt;</textarea>"):
        assert text in shown.text, text
    assert client.get(url).json()["verdict"] == "dead end <b>", "a preview keeps nothing"
    assert "<strong>why</strong>" in client.post("/notes/preview", data={"note": "**why**"}).text
    assert "Nothing to show" in client.post("/notes/preview", data={"note": " "}).text
    assert client.post("/experiments/1/edit", data=typed).status_code == 303
    assert "<strong>why</strong> &lt;script&gt;" in client.get("/experiments/1").text
    wrong = client.post("/experiments/1/edit", data={**typed, "verdict": "y" * 201})
    assert wrong.status_code == 422
    assert "y" * 201 in wrong.text, "what was typed is kept"


def test_a_row_shows_a_notes_words() -> None:
    assert plain("**tiny**: `one` layer\n\n- [x](http://a.example) <b>") == "tiny : one layer x <b>"
    assert plain("") == ""
