"""Scores from a CSV: every row or none, each bad line named with its value, and the same file twice adds nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app import schema
from app.cli import cli, main
from app.db import Database
from app.experiments import service as experiments
from tests.app.submissions.conftest import Finish
from tests.factories import make_contest

URL = "/api/v1/contests/oppo/online-scores/csv"
GOOD = (
    "experiment,sha256,value,board,time,note\r\n"
    'first,,0.8701,A,2026-03-01 07:30,"third, with a comma"\r\n'
    ",{sha256},0.8600,A,2026-02-27T23:00:00Z,\r\n"
    "#2,,0.85,B,,\r\n"
    "\r\n"
    "first,,0.8701,A,2026-03-01 07:30,\r\n"
)


def send(client: TestClient, text: str | bytes, status: int) -> Any:
    answer = client.post(URL, files={"file": ("scores.csv", text.encode() if isinstance(text, str) else text)})
    assert answer.status_code == status, answer.text
    return answer.json()


def values(client: TestClient, number: int) -> list[float]:
    return [score["value"] for score in client.get(f"/api/v1/experiments/{number}").json()["scores"]]


def test_a_file_and_the_same_again(client: TestClient, finish: Finish) -> None:
    first = finish("first", seed=1)
    finish("second", seed=2)
    client.patch("/api/v1/contests/oppo/quota", json={"time_zone": "Asia/Shanghai", "submissions_a_day": 2})
    text = "\ufeff" + GOOD.format(sha256=first["sha256"])
    found = send(client, text, 201)
    assert (found["new"], found["known"], sorted(found["scores"])) == (4, 0, ["2", "3", "4", "6"])
    assert found["scores"]["2"]["note"] == "third, with a comma"
    assert (values(client, 1), values(client, 2)) == ([0.86, 0.8701, 0.8701], [0.85])
    days = {row["contest_day"]: row["file_sha256"] for row in client.get("/api/v1/contests/oppo/submissions").json()}
    assert days["2026-02-28"] == days["2026-03-01"] == first["sha256"]
    quota = client.get("/api/v1/contests/oppo/quota", params={"day": "2026-03-01"}).json()
    assert (quota["used"], quota["left"]) == (2, 0)
    row = {row["id"]: row["online"] for row in client.get("/api/v1/contests/oppo/leaderboard").json()["rows"]}
    assert (row[1]["value"], row[1]["count"], row[1]["text"], row[1]["best"]) == (0.8701, 3, "0.8701", None)
    again = send(client, text, 201)
    assert (again["new"], again["known"]) == (0, 4)
    more = send(client, text + "second,,0.9,A,,\r\n", 201)
    assert (more["new"], more["known"]) == (1, 4)


def test_tabs_and_the_short_form(client: TestClient, finish: Finish) -> None:
    finish("a, b", seed=1)
    assert send(client, "Value\tExperiment\n0.5\ta, b\n", 201)["new"] == 1


@pytest.mark.parametrize(
    ("line", "field", "message", "value"),
    [
        ("frist,0.5,,,", "line 3", "near are 'first'", "frist"),
        ("first,0;5,,,", "line 3", "'0;5' is not a number", "0;5"),
        ("first,,,,", "line 3", "'' is not a number", "first"),
        ("first,nan,,,", "line 3", "not a number that can be ranked", "nan"),
        ("first,87.8,,,", "line 3", "did you mean 0.878?", "87.8"),
        ("first,0.5,12345678901234567890x,,", "line 3", "at most 20 printable", "12345678901234567890x"),
        ("first,0.5,,tomorrow,", "line 3", "'tomorrow' is no time", "tomorrow"),
        ("first,0.5,,2999-01-01,", "line 3", "has not come yet", "2999-01-01"),
        ("first,0.5,", "line 3", "3 cells where the header has 5", "first,0.5,"),
        ('first,0.5,,,"open', "line 3", "the quotes are broken", ""),
        ('first,0.5,,,"over\nlines"', "line 3", "goes on to line 4", ""),
    ],
)
def test_one_bad_line_keeps_all_out(
    client: TestClient, finish: Finish, line: str, field: str, message: str, value: str
) -> None:
    finish("first")
    error = send(client, f"experiment,value,board,time,note\nfirst,0.6,,,\n{line}\n", 422)["error"]
    (problem,) = error["fields"]
    assert (problem["field"], message in problem["message"]) == (field, True), problem
    assert value in problem["value"]
    assert "nothing was imported; the first is line 3" in error["message"]
    assert values(client, 1) == []
    assert client.get("/api/v1/contests/oppo/submissions").json() == []


def test_every_bad_line_is_counted_and_the_first_hundred_named(client: TestClient, finish: Finish) -> None:
    finish("first")
    error = send(client, "experiment,value\n" + "nobody,0.5\n" * 120 + "first,0.5\n", 422)["error"]
    assert "120 of the file's lines are bad" in error["message"]
    assert "The first 100 are named." in error["message"]
    assert (len(error["fields"]), error["detail"]) == (100, {"rows": 121, "bad": 120})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment,note\nx,y\n", "has to name the columns"),
        ("value,board\n0.5,A\n", "has to name the columns"),
        ("experiment,value,value\nx,0.5,0.5\n", "has to name the columns"),
        ("experiment,value,colour\nx,0.5,red\n", "has to name the columns"),
        ("experiment,value\n", "the file has no row"),
        ("", "the file has no row"),
        (b"experiment,value\nfirst,0.5\n\xff\xfe,1\n", "line 3 is not UTF-8"),
    ],
)
def test_what_is_no_table_of_scores(client: TestClient, contest: str, text: str | bytes, message: str) -> None:
    assert message in send(client, text, 422)["error"]["message"]


def test_by_the_page(client: TestClient, finish: Finish) -> None:
    finish("first")
    bad = client.post("/contests/oppo/submissions/csv", files={"file": ("x.csv", b"experiment,value\nfrist,0.5\n")})
    assert bad.status_code == 422
    assert "line 2" in bad.text
    assert "near are &#39;first&#39;" in bad.text
    good = b"experiment,value\nfirst,0.5\n"
    for told in ("1 score was imported.", "0 scores were imported. 1 line was here before."):
        assert client.post("/contests/oppo/submissions/csv", files={"file": ("x.csv", good)}).status_code == 303
        assert told in client.get("/contests/oppo/submissions").text


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str) -> Path:
    """What the commands find: a contest with two experiments."""
    monkeypatch.setenv("PAIRBOARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PAIRBOARD_DATABASE_URL", database_url)
    database = Database(database_url)
    schema.upgrade(database.write_engine)
    with database.writing() as session:
        contest = make_contest(session)
        for name in ("first", "second"):
            experiments.create_external(session, contest, name=name, note="")
    database.dispose()
    return tmp_path


def test_the_command_score(house: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = CliRunner()
    one = run.invoke(cli, ["score", "1", "0.8778", "--board", "A", "--by", "ann", "--key", "k"])
    assert one.output.startswith("score 1: 0.8778 for experiment 1 (first)\nsubmission 1 of ")
    again = run.invoke(cli, ["score", "1", "0.8778", "--board", "A", "--key", "k"])
    assert "which was here before" in again.output
    sent = house / "submission.zip"
    sent.write_bytes(b"what was sent")
    by_name = run.invoke(cli, ["score", "oppo", "0.86", "--experiment", "second", "--file", str(sent)])
    assert "for experiment 2 (second)" in by_name.output
    by_file = run.invoke(cli, ["score", "oppo", "0.87", "--file", str(sent)])
    assert "for experiment 2 (second)" in by_file.output
    right = run.invoke(cli, ["score", "oppo", "0.88", "--corrects", "1"])
    assert "score 4: 0.88 for experiment 1 (first)\nsubmission 1 of " in right.output
    for wrong, message in (
        (["score", "oppo", "0.5"], "say of what it is"),
        (["score", "1", "0,5"], "'0,5' is not a number"),
        (["score", "9", "0.5"], "there is no experiment 9"),
        (["score", "opo", "0.5", "--experiment", "first"], "there is no contest 'opo'"),
    ):
        monkeypatch.setattr(sys, "argv", ["pairboard", *wrong])
        with pytest.raises(SystemExit, match="2"):
            main()
        assert message in capsys.readouterr().err


def test_the_command_import_scores(house: Path) -> None:
    file = house / "scores.csv"
    file.write_text("experiment,value,board\nfirst,0.81,A\nsecond,0.82,A\n")
    command = [sys.executable, "-m", "app", "import-scores", str(file), "--contest", "oppo"]
    for end in ("oppo: 2 scores added, 0 were here before", "oppo: 0 scores added, 2 were here before"):
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == end
    file.write_text("experiment,value\nfirst,0.9\nthird,0.9\n")
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "  line 3: contest oppo has no experiment 'third'" in done.stderr
