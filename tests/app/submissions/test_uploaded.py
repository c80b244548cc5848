"""A prediction file that somebody brings goes through the same checks as one that is made here."""

import hashlib
from typing import Any

from starlette.testclient import TestClient

from app.submissions import checks
from tests.app.submissions.conftest import ROWS, Finish, predicted

API = "/api/v1"


def text_of(values: list[float], decimals: int = 17) -> bytes:
    return "".join(f"{value:.{decimals}f}\n" for value in values).encode()


def check(client: TestClient, content: bytes, status: int = 200, **data: Any) -> Any:
    answer = client.post(f"{API}/contests/oppo/file-check", files={"file": ("mine.tsv", content)}, data=data)
    assert answer.status_code == status, answer.text
    return answer.json()


def submit(client: TestClient, number: int, content: bytes, code: int = 201, **data: Any) -> Any:
    url = f"{API}/experiments/{number}/submissions/file"
    answer = client.post(url, files={"file": ("mine.tsv", content)}, data=data)
    assert answer.status_code == code, answer.text
    return answer.json()


def submissions(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"{API}/contests/oppo/submissions").json()
    return found


def wrong(found: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["state"] for item in found["checks"] if item["state"] != "ok"}


def test_every_check_is_made_and_nothing_is_kept(client: TestClient, finish: Finish) -> None:
    first = finish("first", seed=1)
    client.post(f"{API}/experiments/{first['id']}/online-scores", json={"value": 0.86})
    content = text_of(predicted(2))
    found = check(client, content)
    assert (found["state"], found["rows"], found["address"]) == ("ok", ROWS, "")
    assert (found["file_sha256"], found["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert {item["name"] for item in found["checks"]} == set(checks.NAMES)
    assert found["best"]["experiment"] == "first"
    assert sum(part["own"] for part in found["histogram"]) == sum(part["best"] for part in found["histogram"]) == ROWS
    assert -1 < found["earlier"][0]["rank_correlation"] < 1
    assert len(submissions(client)) == 1, "the one that has a score"


def test_what_refuses_a_file(client: TestClient, finish: Finish) -> None:
    made, own = finish("first", seed=1), predicted(1)
    for values, name in (([0.5] * ROWS, "constant"), (own[1:] + own[:1], "order"), ([0.25, 0.75] * 20, "order")):
        assert wrong(check(client, text_of(values), experiment_id=made["id"]))[name] == "refuse"
        error = submit(client, made["id"], text_of(values), 422)["error"]
        assert error["detail"]["kind"] == "check"
        assert name in {item["field"] for item in error["fields"]}
    assert submissions(client) == []
    assert submit(client, made["id"], text_of(values), anyway=True)["status"] == "planned"


MALFORMED = {
    "too_few_rows": b"0.5\n" * (ROWS - 1),
    "too_many_rows": b"0.5\n" * (ROWS + 1),
    "nan": b"nan\n" * ROWS,
    "out_of_range": b"1.5\n" * ROWS,
    "empty": b"",
}


def test_a_malformed_file_is_no_submission(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    for kind, content in MALFORMED.items():
        for answer in (
            check(client, content, 422),
            submit(client, made["id"], content, 422, status="sent", anyway=True),
        ):
            assert answer["error"]["detail"]["kind"] == kind
    assert submissions(client) == []


def test_the_experiments_own_predictions_rounded_by_hand(client: TestClient, finish: Finish) -> None:
    """It is another file of the same predictions: its hash finds the experiment, and later files are compared with
    them."""
    made = finish("first", seed=1)
    content = text_of(predicted(1), 7)
    row = submit(client, made["id"], content, status="sent", board="A", remark="by hand")
    assert (row["file_sha256"], row["remark"]) == (hashlib.sha256(content).hexdigest(), "by hand")
    assert row["predictions_sha256"] == made["sha256"]
    body = {"value": 0.87, "file_sha256": row["file_sha256"][:12]}
    score = client.post(f"{API}/contests/oppo/online-scores", json=body).json()
    assert score["submission_id"] == row["id"]
    assert wrong(check(client, content, board="A"))["same_file"] == "refuse"
    again = submit(client, made["id"], content, 422, status="sent", board="A")["error"]["message"]
    assert "exactly this file was sent before" in again
    assert "0.87" in again
    assert submit(client, made["id"], content, status="sent", board="B")["board"] == "B", "another board is another try"


def test_a_file_of_ids_says_what_moved(client: TestClient, finish: Finish) -> None:
    finish("first")
    form = {"columns": ["id", "probability"], "separator": "comma"}
    assert client.put(f"{API}/contests/oppo/submission-format", json=form).status_code == 200
    lines = [f"{row},{value:.6f}\n" for row, value in enumerate(predicted(3))]
    told = {item["name"]: item["text"] for item in check(client, "".join(lines).encode())["checks"]}
    assert told["order"] == "each line names the row that it answers, in the order of the test file"
    lines[3], lines[4] = lines[4], lines[3]
    told = {item["name"]: item["text"] for item in check(client, "".join(lines).encode())["checks"]}
    assert told["order"] == "the rows were put in order by their ids, from line 4 on"


def test_by_the_page(client: TestClient, finish: Finish) -> None:
    made = finish("first", seed=1)

    def bring(status: int, content: bytes, **data: Any) -> str:
        files = {"file": ("mine.tsv", content)}
        answer = client.post("/contests/oppo/file", files=files, data=data, follow_redirects=False)
        assert answer.status_code == status, answer.text
        return answer.text

    assert "different values in 40 rows" in bring(200, text_of(predicted(2)))
    assert "answers 39 rows of 40" in bring(422, b"0.5\n" * 39)
    assert "name the experiment that the file is of" in bring(422, text_of(predicted(2)), action="sent")
    assert "was predicted for it" in bring(422, text_of(predicted(2)), action="sent", experiment_id=str(made["id"]))
    assert submissions(client) == []
    bring(303, text_of(predicted(1)), action="plan", experiment_id=str(made["id"]), board="A", remark="mine")
    assert [(row["status"], row["board"], row["remark"]) for row in submissions(client)] == [("planned", "A", "mine")]


def test_of_another_contest(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    client.post(f"{API}/contests", json={"name": "other", "metric": "roc_auc"})
    answer = client.post(
        f"{API}/contests/other/file-check", files={"file": ("a.tsv", b"0.5\n")}, data={"experiment_id": made["id"]}
    )
    assert answer.status_code == 422
    assert f"experiment {made['id']} is of another contest" in answer.text
    answer = client.post(f"{API}/contests/other/file-check", files={"file": ("a.tsv", b"0.5\n")})
    assert answer.status_code == 422
    assert "has no test file: upload it first" in answer.text
