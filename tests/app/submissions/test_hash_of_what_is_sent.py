"""The file that a person downloads, its hash, and that a score which comes by this hash finds its experiment."""

import hashlib
import io
import zipfile
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.experiments import queries as experiment_queries
from app.submissions import files, queries, remembering
from app.submissions.format import SubmissionFormat
from tests.app.submissions.conftest import ROWS, Finish, predicted

API = "/api/v1"
CSV = {"columns": ["id", "probability"], "header": ["id", "score"], "separator": "comma", "first_id": 1}
ZIPPED = {**CSV, "decimals": 4, "zipped": True, "file_name": "result.csv"}


def set_form(client: TestClient, form: dict[str, Any]) -> None:
    assert client.put(f"{API}/contests/oppo/submission-format", json=form).status_code == 200


def download(client: TestClient, number: int) -> tuple[bytes, str]:
    answer = client.get(f"{API}/experiments/{number}/submission-file")
    assert answer.status_code == 200, answer.text
    sha256 = hashlib.sha256(answer.content).hexdigest()
    assert answer.headers["x-content-sha256"] == sha256
    return answer.content, sha256


def post(client: TestClient, status: int, **body: Any) -> Any:
    answer = client.post(f"{API}/contests/oppo/online-scores", json={"value": 0.8778, **body})
    assert answer.status_code == status, answer.text
    return answer.json()


def submission(client: TestClient, score: dict[str, Any]) -> tuple[int, str, str]:
    found = client.get(f"{API}/submissions/{score['submission_id']}").json()
    return found["experiment_id"], found["file_sha256"], found["predictions_sha256"]


def check(client: TestClient, number: int) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{API}/experiments/{number}/submission-check").json()
    return found


def told(found: dict[str, Any], name: str) -> tuple[str, str]:
    item = next(item for item in found["checks"] if item["name"] == name)
    return item["state"], item["text"]


def kept(client: TestClient, sha256: str) -> set[int]:
    with client.app.state.database.reading() as session:  # type: ignore[attr-defined]
        return queries.with_hash(session, 1, sha256, "none").get(sha256, set())


def test_a_score_by_the_hash_of_the_download(client: TestClient, finish: Finish) -> None:
    set_form(client, ZIPPED)
    made, other = finish("first", seed=1), finish("other", seed=2)
    content, sha256 = download(client, made["id"])
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("result.csv").decode().splitlines()[:2] == ["id,score", f"1,{predicted(1)[0]:.4f}"]
    found = check(client, made["id"])
    assert (found["name"], found["file_sha256"], found["predictions_sha256"]) == ("result.zip", sha256, made["sha256"])
    assert (found["size"], found["address"]) == (len(content), f"{API}/experiments/{made['id']}/submission-file")
    score = post(client, 201, file_sha256=sha256, board="A")
    assert submission(client, score) == (made["id"], sha256, made["sha256"])
    by_begin = post(client, 201, file_sha256=download(client, other["id"])[1][:8])
    assert submission(client, by_begin)[0] == other["id"]
    # sent again, it is the same file; and the page and its snippets name this hash alone
    refused = client.post(f"{API}/experiments/{made['id']}/submissions", json={"status": "sent", "board": "A"})
    assert "exactly this file was sent before" in refused.json()["error"]["message"]
    page = client.get(f"/experiments/{made['id']}").text.split('id="online"')[1].split("</section>")[0]
    assert page.count(f"/experiments/{made['id']}/submission-file") == 1
    assert "test_predictions.tsv" not in page
    assert page.count("file_sha256") == 2
    assert made["sha256"] not in page


def test_the_hash_of_an_earlier_form_is_still_known(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    plain = download(client, made["id"])[1]
    set_form(client, ZIPPED)
    zipped = download(client, made["id"])[1]
    assert plain != zipped
    old = post(client, 201, file_sha256=plain)
    assert submission(client, old) == (made["id"], plain, made["sha256"])
    found = check(client, made["id"])
    assert told(found, "same_file")[0] == "warn"
    assert "the same predictions were sent before" in told(found, "same_file")[1]
    assert submission(client, post(client, 201, file_sha256=zipped)) == (made["id"], zipped, made["sha256"])
    assert kept(client, plain) == kept(client, zipped) == {made["id"]}
    # whoever sent what the run wrote tells the hash of that
    raw = finish("raw", [0.5, *predicted(5)[1:]], seed=5)
    assert submission(client, post(client, 201, file_sha256=raw["sha256"])) == (raw["id"], raw["sha256"], raw["sha256"])


def test_it_is_known_once_the_run_has_finished(client: TestClient, finish: Finish) -> None:
    set_form(client, ZIPPED)
    made = finish("first")
    with client.app.state.database.reading() as session:  # type: ignore[attr-defined]
        form = files.form_digest(SubmissionFormat.model_validate(ZIPPED))
        row = queries.written_file(session, made["id"], made["sha256"], form)
    assert row is not None
    score = client.post(f"{API}/experiments/{made['id']}/online-scores", json={"value": 0.5}).json()
    assert submission(client, score) == (made["id"], row.sha256, made["sha256"])
    content, sha256 = download(client, made["id"])
    assert (row.sha256, row.size) == (sha256, len(content))


def test_a_form_of_now_that_nobody_looked_at(client: TestClient, finish: Finish) -> None:
    """The file of that form was never made: its hash is not guessed, and a plan keeps what it told."""
    made = finish("first")
    plan = client.post(f"{API}/experiments/{made['id']}/submissions", json={}).json()
    assert plan["file_sha256"] == download(client, made["id"])[1]
    set_form(client, ZIPPED)
    url = f"{API}/experiments/{made['id']}/online-scores"
    assert submission(client, client.post(url, json={"value": 0.5}).json())[1] == plan["file_sha256"]
    second = client.post(url, json={"value": 0.6}).json()
    assert submission(client, second) == (made["id"], "", made["sha256"])


def test_the_check_sees_what_the_form_leaves(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    assert check(client, made["id"])["state"] == "ok"
    set_form(client, {**CSV, "decimals": 1})
    found = check(client, made["id"])
    assert told(found, "form") == ("ok", "predictions.tsv (id, probability) is read back as the contest reads it")
    state, text = told(found, "constant")
    distinct = len({round(value, 1) for value in predicted(1)})
    assert state == "warn"
    assert text.startswith(f"its form leaves {distinct} of {ROWS} different values: ")
    assert told(found, "order")[0] == "ok"
    assert text.replace("AUC", "") in client.get(f"/experiments/{made['id']}/submission").text.replace("AUC", "")
    set_form(client, {"columns": ["a", "b", "label"]})
    found = check(client, made["id"])
    assert told(found, "order") == ("ok", "each row holds the label of what was predicted for it")
    assert told(found, "constant")[1].startswith(f"its form leaves 2 of {ROWS}")
    assert sum(part["own"] for part in found["histogram"]) == ROWS


def test_what_the_contest_can_not_read_is_refused(client: TestClient, finish: Finish) -> None:
    made = finish("first", [float("nan"), *predicted(1)[1:]])
    found = check(client, made["id"])
    assert told(found, "form")[0] == "refuse"
    assert "predictions.tsv, line 1: 'nan' can't be ranked" in told(found, "form")[1]
    assert told(found, "numbers")[0] == "refuse"
    set_form(client, {"columns": ["label"]})
    found = check(client, made["id"])
    assert told(found, "form")[0] == "ok", "0 can be read"
    assert told(found, "numbers") == ("refuse", "1 rows are no finite number; the first is row 1: nan")


def test_remembered_once_and_gone_with_its_experiment(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    state, sha256 = client.app.state, download(client, made["id"])[1]  # type: ignore[attr-defined]
    for number in (made["id"], made["id"], 99):
        remembering.remember(state.database, state.storage, number)
    with state.database.writing() as session:
        file = files.file_of(session, state.storage, experiment_queries.experiment(session, made["id"]))
        remembering.keep(session, made["id"], file)
    assert kept(client, sha256) == {made["id"]}
    for path, body in (("selection", {"ids": [made["id"]], "action": "archive"}), ("trash", {"ids": [made["id"]]})):
        assert client.post(f"{API}/contests/oppo/{path}", json=body).status_code == 200
    assert client.post(f"{API}/contests/oppo/trash/empty", json={}).status_code == 200
    assert kept(client, sha256) == set()


def test_a_file_that_can_not_be_made_is_logged(
    client: TestClient, finish: Finish, caplog: pytest.LogCaptureFixture
) -> None:
    finish("broken", content=b"0.5\n0,7\n")
    assert "can't be made: line 2 of the predictions is '0,7\\n', not a number" in caplog.text
