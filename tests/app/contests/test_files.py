"""Uploads: the report, bad rows by line, the same file twice, and files that can't be read."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.contests.report import examine
from app.contests.sample import write_sample
from ml.contract.pair_file import sniff

URL = "/api/v1/contests/oppo/files"
ROWS = "1 2\t3 4\t1\n3 4\t1 2\t1\n1 2\t3 4\t1\n5\t6\t0\n6\t5\t1\n7 8 9\t7\t0\n"


@pytest.fixture(autouse=True)
def contest(request: pytest.FixtureRequest) -> None:
    if "client" in request.fixturenames:
        client: TestClient = request.getfixturevalue("client")
        assert client.post("/api/v1/contests", json={"name": "Oppo", "slug": "oppo"}).status_code == 201


def test_the_report(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(ROWS)
    report = examine(path, sniff(path, "train"), "train")
    assert (report.rows, report.bad_rows, report.positives, report.negatives) == (6, 0, 4, 2)
    assert (report.duplicates, report.swapped_duplicates) == (3, 2)
    assert (report.contradictory_pairs, report.contradictory_rows, report.contradictions) == (1, 2, [[4, 5]])
    assert report.distinct_sentences == 6
    assert report.looks_like == "ids"
    assert (report.lengths.unit, report.lengths.shortest, report.lengths.longest) == ("tokens", 1, 3)
    assert sum(count for _, count in report.lengths.bars) == 12
    assert any("1 pairs stand with both labels" in warning for warning in report.warnings)


def test_bad_rows_are_named_and_nothing_is_loaded(client: TestClient) -> None:
    text = ROWS + "a\tb\tmaybe\nlonely\n"
    answer = client.post(URL, files={"file": ("pairs.tsv", text)}, data={"kind": "train"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["message"].startswith("pairs.tsv has 2 bad rows of 8; the first is line 7: the label is 'maybe'")
    assert [(item["field"], item["value"]) for item in error["fields"]] == [
        ("line 7", "a\tb\tmaybe"),
        ("line 8", "lonely"),
    ]
    assert error["detail"]["rows"] == 6
    assert client.get("/api/v1/contests/oppo").json()["files"] == []

    loaded = client.post(URL, files={"file": ("pairs.tsv", text)}, data={"kind": "train", "skip_bad_rows": "true"})
    assert (loaded.status_code, loaded.json()["rows"], loaded.json()["report"]["bad_rows"]) == (201, 6, 2)


def test_a_test_file_leaves_no_row_out(client: TestClient) -> None:
    files = {"file": ("test.tsv", "a\tb\nc\n")}
    answer = client.post(URL, files=files, data={"kind": "test", "skip_bad_rows": "true"})
    assert answer.status_code == 422
    assert "predictions answer it line by line" in answer.json()["error"]["message"]


def test_the_same_file_twice_is_one(client: TestClient) -> None:
    first, again = (client.post(URL, files={"file": ("pairs.tsv", ROWS)}, data={"kind": "train"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


def test_names_of_uploads_stay_names(client: TestClient) -> None:
    for name, kept in (("../../etc/passwd", "passwd"), ("C:\\data\\训练.tsv", "训练.tsv")):
        text = ROWS + f"{len(name)}\t{len(name) + 1}\t0\n"
        answer = client.post(URL, files={"file": (name, text)}, data={"kind": "train"})
        assert (answer.status_code, answer.json()["name"]) == (201, kept)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pairs.tsv has no rows"),
        ("a\tb\t1\n".encode("utf-16"), "pairs.tsv is UTF-16"),
        (b"\x1f\x8b\x08rest", "pairs.tsv is a compressed file"),
    ],
)
def test_files_that_are_no_pair_files(client: TestClient, content: bytes, message: str) -> None:
    answer = client.post(URL, files={"file": ("pairs.tsv", content)}, data={"kind": "train"})
    assert answer.status_code == 422
    assert message in answer.json()["error"]["message"]


def test_columns_can_be_said(client: TestClient) -> None:
    text = "0\ta\tb\t1\n1\tc\td\t0\n"
    data = {"kind": "train", "label_column": "0", "text_column_a": "1", "text_column_b": "2"}
    answer = client.post(URL, files={"file": ("pairs.tsv", text)}, data=data)
    assert answer.status_code == 201, answer.text
    assert answer.json()["layout"]["label_column"] == 0
    half = client.post(URL, files={"file": ("pairs.tsv", text)}, data={"kind": "train", "text_column_a": "1"})
    assert (half.status_code, half.json()["error"]["message"]) == (422, "say both text columns or neither")


def test_contests_are_refused_by_field(client: TestClient) -> None:
    wrong = client.post("/api/v1/contests", json={"name": "x", "slug": "Not A Slug"})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["fields"][0]["field"] == "slug"
    assert client.post("/api/v1/contests", json={"name": "x", "slug": "oppo"}).status_code == 409
    assert client.post("/api/v1/contests", json={"name": "x", "metric": "bleu"}).status_code == 422
    assert client.post("/api/v1/contests", json={"name": "Oppo"}).json()["slug"] == "oppo-2"
    assert client.post("/api/v1/contests", json={"name": "中文赛"}).json()["slug"] == "contest"


def test_the_sample_is_a_contest_that_can_be_split(tmp_path: Path) -> None:
    """The same bytes each time, both labels, no bad rows, and small components."""
    names = [tmp_path / name for name in ("train.tsv", "test.tsv", "answers")]
    write_sample(*names, rows=500, test_rows=100)
    first = [path.read_bytes() for path in names]
    write_sample(*names, rows=500, test_rows=100)
    assert first == [path.read_bytes() for path in names]
    report = examine(names[0], sniff(names[0], "train"), "train")
    assert (report.rows, report.bad_rows, report.duplicates) == (500, 0, 0)
    assert 0.3 < report.positives / report.rows < 0.45
    assert first[1].count(b"\n") == first[2].count(b"\n") == 100
