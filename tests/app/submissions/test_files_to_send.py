"""The file that goes to the contest: its form by page and REST, its bytes, and that they are always the same."""

import hashlib
import io
import zipfile
from itertools import repeat
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.contests.models import Contest
from app.errors import Refused
from app.submissions.format import SubmissionFormat, checked, format_of
from app.submissions.reading import read_predictions
from app.submissions.writing import decimal, written
from tests.factories import TINY, contest_over_http, experiment_over_http, upload_over_http

SENTENCES = [("a, b", 'c "d"'), ("e", "f"), ("g", "h")]
PROBABILITIES = [0.9731254, 1.25e-07, 0.5]
GAIIC = {"zipped": True, "file_name": "result.tsv"}


def text_of(form: SubmissionFormat) -> str:
    return written(form, PROBABILITIES, SENTENCES).decode()


def test_the_commonest_form_is_a_number_a_line() -> None:
    assert format_of(Contest(submission_format=None)) == SubmissionFormat()
    assert text_of(SubmissionFormat()) == "0.9731254\n0.000000125\n0.500000\n"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"decimals": 3}, "0.973\n0.000\n0.500\n"),
        ({"columns": ["label"], "line_end": "crlf"}, "1\r\n0\r\n1\r\n"),
        (
            {"columns": ["id", "probability"], "header": ["id", "score"], "separator": "comma", "first_id": 1}
            | {"decimals": 2},
            "id,score\n1,0.97\n2,0.00\n3,0.50\n",
        ),
        ({"columns": ["id", "label", "probability"], "decimals": 1}, "0\t1\t1.0\n1\t0\t0.0\n2\t1\t0.5\n"),
        (
            {"columns": ["a", "b", "label"], "separator": "comma"},
            '"a, b","c ""d""",1\ne,f,0\ng,h,1\n',
        ),
        ({"columns": ["b", "a", "label"]}, 'c "d"\ta, b\t1\nf\te\t0\nh\tg\t1\n'),
    ],
)
def test_a_file_of_each_form_is_written_and_read_back(form: dict[str, Any], expected: str) -> None:
    made = checked(form)
    assert text_of(made) == expected
    content = written(made, PROBABILITIES, SENTENCES)
    found = read_predictions(io.BytesIO(content), "x", made, 3, SENTENCES if made.with_sentences else None)
    assert found.values.shape == (3,)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 5e-324, 1.0, 0.0, 0.30000000000000004, 1e-5])
def test_no_digit_is_lost(value: float) -> None:
    text = decimal(value, None)
    assert float(text) == value
    assert "e" not in text
    assert len(text.partition(".")[2]) >= 6


def test_a_zip_of_one_file_has_the_same_bytes_for_good() -> None:
    """The hash of ten years from now: no time, no machine and no zlib is in it."""
    content = written(checked(GAIIC), PROBABILITIES, repeat(("", "")))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["result.tsv"]
        assert archive.read("result.tsv").decode() == text_of(SubmissionFormat())
    told = hashlib.sha256(content).hexdigest()
    assert told == "a6b9c3964b3b61bf221c82af0b9cb7a7f66032e9fbe644de7dcbaa4faf6ee4f1"


@pytest.mark.parametrize(
    ("typed", "field", "message"),
    [
        ({"columns": ["id"]}, "columns", "predicts nothing"),
        ({"columns": ["id", "id", "label"]}, "columns", "at most once"),
        ({"columns": ["score"]}, "columns", "'id', 'probability'"),
        ({"columns": []}, "columns", "at least 1"),
        ({"header": ["a", "b"]}, "header", "2 names for 1 columns"),
        ({"header": ['"']}, "header", "no name of a column"),
        ({"decimals": 0}, "decimals", "greater than or equal to 1"),
        ({"decimals": "few"}, "decimals", "valid integer"),
        ({"first_id": 2}, "first_id", "0 or 1"),
        ({"separator": ";"}, "separator", "'tab' or 'comma'"),
        ({"file_name": "../x"}, "file_name", "letters, digits"),
        ({"file_name": "x.zip"}, "file_name", "named after it"),
        ({"delimiter": ";"}, "delimiter", "not permitted"),
    ],
)
def test_a_form_that_does_not_hold_together(typed: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        checked(typed)
    assert {item.field for item in caught.value.fields} == {field}
    assert message in caught.value.message


def test_set_by_rest_and_by_the_page(client: TestClient) -> None:
    contest_over_http(client)
    url = "/api/v1/contests/oppo/submission-format"
    assert client.get(url).json() == SubmissionFormat().model_dump(mode="json")
    assert client.put(url, json=GAIIC).json()["file_name"] == "result.tsv"
    assert client.get(url).json() == checked(GAIIC).model_dump(mode="json")
    shown = client.get("/contests/oppo/format").text
    assert 'value="result.tsv"' in shown
    assert "<code>result.zip</code>, in it result.tsv" in shown
    assert client.put(url, json={"columns": ["id"]}).status_code == 422
    typed = {"columns": "id，probability", "header": "id, prob", "separator": "comma", "decimals": "4"}
    typed |= {"first_id": "1", "line_end": "lf", "file_name": "answer.csv"}
    seen = client.post("/contests/oppo/format", data={**typed, "action": "preview"}).text
    assert "id,prob\n1,0.9731\n2,0.0418\n3,0.0000" in seen
    assert "not saved yet" in seen
    assert client.get(url).json()["file_name"] == "result.tsv"
    assert client.post("/contests/oppo/format", data=typed).status_code == 303
    assert client.get(url).json()["columns"] == ["id", "probability"]
    wrong = client.post("/contests/oppo/format", data={**typed, "decimals": "99"})
    assert wrong.status_code == 422
    assert 'value="99"' in wrong.text
    assert "less than or equal to 17" in wrong.text
    pairs = client.post(f"{url}/preview", json={"columns": ["a", "probability"]}).json()
    test_file = client.get("/api/v1/contests/oppo/files/2/pairs").json()["rows"]
    assert pairs["lines"][0].split("\t")[0] == test_file[0]["a"]


def test_an_experiments_file(client: TestClient, worker_headers: dict[str, str]) -> None:
    contest_over_http(client)
    made = experiment_over_http(client, config={**TINY, "pretrain": None})
    url = f"/api/v1/experiments/{made['id']}/submission-file"
    none = client.get(url)
    assert none.status_code == 404
    assert "has not finished" in none.json()["error"]["message"]
    run, who = made["runs"][0]["id"], {"worker": "w1", "boot_id": "boot-one"}
    token = client.post(f"/api/v1/runs/{run}/claim", json=who, headers=worker_headers).json()["token"]
    headers = {"Authorization": f"Bearer {token}"}
    values = np.random.default_rng(3).random(60).tolist()
    own = "".join(f"{value!r}\n" for value in values).encode()
    upload_over_http(client, run, "test_predictions.tsv", own, headers)
    body = {"first": 1, "events": [{"type": "finished", "seconds": 1}]}
    assert client.post(f"/api/v1/runs/{run}/events", json=body, headers=headers).status_code == 200
    client.put("/api/v1/contests/oppo/submission-format", json=GAIIC)
    answer = client.get(url)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''result.zip"
    assert answer.headers["x-content-sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert client.get(url).content == answer.content
    found = read_predictions(io.BytesIO(answer.content), "result.zip", checked(GAIIC), 60)
    assert found.values.tolist() == values
    page = client.get(f"/experiments/{made['id']}").text
    assert answer.headers["x-content-sha256"] in page
    client.put("/api/v1/contests/oppo/submission-format", json={"columns": ["a", "b", "label"]})
    lines = client.get(url).text.splitlines()
    assert [line.rpartition("\t")[2] for line in lines] == [str(int(value >= 0.5)) for value in values]
