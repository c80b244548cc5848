"""What a downloaded file does on the machine of whoever opens it."""

import csv
import io

import pytest

from app.leaderboard.table_text import write_csv
from app.request_log import RequestLog
from ml.contract.logs import TextFormatter
from tests.factories import TINY, experiment_over_http
from tests.security.house import House
from tests.security.table import attack

FORMULAS = ("=1+1", "+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "=cmd|'/c calc'!A0", "＝1+1", "  =1+1", "'=1")


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


@attack("formula: every start that a spreadsheet runs, in any CSV")
def every_start(house: House) -> None:
    for text in FORMULAS:
        (cell,) = cells(write_csv(["x"], [[text]]))[1]
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")), repr(cell)
    assert cells(write_csv(["x"], [[-0.5]]))[1] == ["-0.5"], "a number stays one"


@attack("formula: in a name and a remark of the leaderboard's CSV")
def leaderboard(house: House) -> None:
    config = {**TINY, "pretrain": None, "seed": 601}
    number = experiment_over_http(house.member, name="=HYPERLINK(1)", note="@note", config=config)["id"]
    body = {"value": 0.7, "note": "+remark"}
    assert house.member.post(f"/api/v1/experiments/{number}/online-scores", json=body).status_code == 201
    answer = house.member.get("/contests/oppo/leaderboard.csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    for row in cells(answer.text)[1:]:
        for cell in row:
            assert cell[:1] not in {"=", "+", "@"}, row


@attack("formula: in the sentences of a data file's CSV")
def sentences(house: House) -> None:
    rows = b"=1+1\t@x\t1\n+2\t-3\t0\na\tb\t1\nc\td\t0\n"
    made = house.member.post("/api/v1/contests/other/files", files={"file": ("x.tsv", rows)}, data={"kind": "train"})
    assert made.status_code == 201, made.text
    answer = house.member.get(f"/contests/other/files/{made.json()['id']}/pairs.csv")
    assert answer.status_code == 200
    for row in cells(answer.text)[1:]:
        assert not [cell for cell in row if cell[:1] in {"=", "+", "@"} or cell == "-3"], row


@attack("formula: in a member's name in the audit log's CSV")
def audit_log(house: House) -> None:
    for name in ("＝HYPERLINK(1)", "=cmd|'/c calc'!A0", "\u3000@SUM(1)"):
        house.member.post("/api/v1/members", json={"name": name, "password": "correct horse battery"})
        house.signs_in(house.browser(house.address()), name)
    rows = cells(house.member.get("/api/v1/audit.csv").text)
    assert [row for row in rows if any("HYPERLINK" in cell for cell in row)]
    for row in rows[1:]:
        assert not [cell for cell in row if cell.lstrip().startswith(("=", "+", "-", "@", "＝"))], row


@attack("LaTeX: a command in a name that reads a file as the table is set")
def latex(house: House) -> None:
    config = {**TINY, "pretrain": None, "seed": 602}
    experiment_over_http(house.member, name="\\input{/etc/passwd} \\write18{id} $x$ %", config=config)
    text = house.member.get("/contests/oppo/leaderboard.tex").text
    for command in ("\\input", "\\write18"):
        assert command not in text


@attack("Markdown: a name that ends the table, or brings HTML into it")
def markdown(house: House) -> None:
    config = {**TINY, "pretrain": None, "seed": 603}
    experiment_over_http(house.member, name="a | b | <script>alert(1)</script> [x](javascript:alert(1))", config=config)
    text = house.member.get("/contests/oppo/leaderboard.md").text
    assert "<script>" not in text
    assert "](javascript:" not in text


@attack("log: a line break in an address that writes a line of its own")
def log_lines(house: House) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("app.request_log.log.log", lambda level, text, *values, **more: lines.append(text % values))
        house.stranger.get("/x%0a2026-01-01 web ERROR all is lost%1b[2J")
    assert lines
    assert not [line for line in lines if "\n" in line or "\x1b" in line]
    assert RequestLog is not None
    import logging

    record = logging.LogRecord("x", logging.INFO, "x", 1, "a\x1b[2Jb\x07", (), None)
    assert "\x1b" not in TextFormatter("web").format(record)
