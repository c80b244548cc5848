"""The pages of what files hold: counted, their pairs, mined words, and an experiment's mistakes."""

import io
import json
import re

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.contests import facts
from app.contests import queries as contest_queries
from app.db import clock
from app.runs import queries
from app.runs.models import Artifact
from tests.app.leaderboard.test_compare import finished
from tests.factories import contest_over_http, pair_text

WORDS = {
    "source": "mined from the ids",
    "words": 3,
    "share_of_tokens_in_words": 0.25,
    "most_frequent": [
        {"word": "12 ##98", "count": 40, "mutual_information": 2.5, "boundary_entropy": 1.25},
        {"word": "7 ##8", "count": 9},
    ],
}


@pytest.fixture
def judged(client: TestClient, app: FastAPI) -> int:
    """An experiment with valid predictions and mined words: rows 3 and 8 are judged wrongly."""
    contest_over_http(client)
    with app.state.database.writing() as session:
        contest = contest_queries.contest(session, "oppo")
        labels = [int(line[-1]) for line in pair_text(60).splitlines()]
        right = "".join(f"{row}\t{labels[row]}\t{0.1 + 0.8 * labels[row]}\n" for row in (1, 5))
        wrong = "".join(f"{row}\t{labels[row]}\t{0.95 - 0.9 * labels[row]}\n" for row in (3, 8))
        rows = sorted((right + wrong).splitlines(), key=lambda line: int(line.split("\t")[0]))
        experiment = finished(session, app.state.storage, contest, "judge", "\n".join(rows) + "\n")
        run = queries.runs_of(session, experiment.id)[-1]
        stored = app.state.storage.store(io.BytesIO(json.dumps(WORDS).encode()))
        attempt = queries.current_attempt(session, run)
        plain = {"sha256": stored.sha256, "size": stored.size, "created_at": clock(session)}
        session.add(Artifact(run_id=run.id, attempt_id=attempt.id, name="words.json", **plain))
        return experiment.id


def test_lines_of_examples_lead_to_their_pairs(client: TestClient) -> None:
    """Of a row that stands in the train file, too, and of one labelled 0 among pairs that hang together."""
    contest_over_http(client)
    lines = "1 2 3\t4 5 6\t1\n4 5 6\t7 8 9\t1\n1 2 3\t7 8 9\t0\n" + pair_text(40)
    files = {"file": ("again.tsv", lines.encode())}
    client.post("/api/v1/contests/oppo/files", files=files, data={"kind": "train"})
    files = {"file": ("test.tsv", b"9 9 9\t8 8 8\n1 2 3\t4 5 6\n")}
    client.post("/api/v1/contests/oppo/files", files=files, data={"kind": "test"})
    for _ in range(2):  # what is counted after the first answer
        page = client.get("/contests/oppo/files").text
    places = re.findall(r'<a href="/contests/oppo/files/(\d+)/pairs\?from_line=(\d+)">([^<]*)</a>', page)
    assert ("4", "2", "line 2") in places
    assert ("3", "1", "line 1") in places, "there, in the newest train file"
    assert ("3", "3", "3") in places, "the contradiction"
    for file, line, _text in places:
        assert client.get(f"/contests/oppo/files/{file}/pairs?from_line={line}").status_code == 200


def test_the_data_page_tells_what_files_hold(client: TestClient, judged: int) -> None:
    page = client.get("/contests/oppo/files").text
    for said in (
        "How its rows hang together",
        "rows make",
        "What it shares with train.tsv",
        "sentences that stand in both",
        "3 words, which hold 25.0% of the tokens",
        "12 ##98",
        f'<option value="{judged}">#{judged} judge</option>',
        "Sentences by length",
    ):
        assert said in page, said
    chinese = client.get("/contests/oppo/files", headers={"Accept-Language": "zh"}).text
    assert "各行如何相连" in chinese
    assert "连通分量" in chinese


def test_a_refused_file_keeps_the_page(client: TestClient, judged: int) -> None:
    text = pair_text(20).encode() + b"4\t5\tmaybe\n"
    bad = client.post("/contests/oppo/files", files={"file": ("bad.tsv", text)}, data={"kind": "train"})
    assert bad.status_code == 422
    assert "1 bad row of 21; the first is line 21" in bad.text
    assert "How its rows hang together" in bad.text


def test_pairs_of_a_file(client: TestClient, judged: int) -> None:
    file = 1
    page = client.get(f"/contests/oppo/files/{file}/pairs").text
    assert "Showing 50 of 50 found in the lines 1 to 50 of 60." in page
    assert "<mark>" in page
    assert "from_line=51" in page
    only_ones = client.get(f"/contests/oppo/files/{file}/pairs?label=1")
    assert only_ones.status_code == 200
    assert "lines 1 to 60 of 60" in only_ones.text
    assert "No pair is like that." in client.get(f"/contests/oppo/files/{file}/pairs?search=99999").text
    assert client.get(f"/contests/oppo/files/{file}/pairs?only=repeats").status_code == 200
    assert client.get(f"/contests/oppo/files/{file}/pairs?label=7").status_code == 422
    assert client.get("/contests/oppo/files/1000000/pairs").status_code == 404
    csv = client.get(f"/contests/oppo/files/{file}/pairs.csv?label=0")
    assert csv.text.splitlines()[0].endswith("line,a,b,label")
    assert {line[-1] for line in csv.text.splitlines()[1:]} == {"0"}


def test_a_download_does_not_say_none_while_it_is_counted(
    client: TestClient, judged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "SMALL_ROWS", 0)
    waits = client.get("/contests/oppo/files/1/pairs.csv?only=repeats")
    assert waits.headers["location"] == "/contests/oppo/files/1/pairs?only=repeats"
    assert client.get("/contests/oppo/files/1/pairs.csv?only=repeats").status_code == 200, "counted after the answer"


def test_words(client: TestClient, judged: int) -> None:
    page = client.get("/contests/oppo/words").text
    assert "lists the 2 most frequent of its 3 words" in page
    assert "2.500" in page
    assert "No word is like that." in client.get("/contests/oppo/words?search=777").text
    assert client.get("/contests/oppo/words.csv").text.splitlines()[1] == "12 ##98,40,2.5,1.25"
    assert client.get("/api/v1/contests/oppo/words?search=12 98").json()["found"] == 1


def test_mistakes(client: TestClient, judged: int) -> None:
    page = client.get(f"/experiments/{judged}/mistakes").text
    assert "Of 4 held-out pairs" in page
    assert "Showing 2 of 2, the surest first." in page
    assert "How often it is wrong, by slice" in page
    read = client.get(f"/api/v1/experiments/{judged}/mistakes").json()
    assert sorted(item["line"] for item in read["mistakes"]) == [4, 9]
    csv = client.get(f"/experiments/{judged}/mistakes.csv").text.splitlines()
    assert csv[0].endswith("line,a,b,label,probability")
    assert len(csv) == 3
    assert f'href="/experiments/{judged}/mistakes"' in client.get(f"/experiments/{judged}").text
    sent = client.get(f"/contests/oppo/mistakes?experiment={judged}")
    assert sent.headers["location"] == f"/experiments/{judged}/mistakes"
    assert client.get("/experiments/1000000/mistakes").status_code == 404
