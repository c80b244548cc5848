"""A contest of the team's own, on both databases: sealing, sending in, the limits, the board and the reveal."""

import hashlib
import json
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from sklearn import metrics

from app.accounts import service as accounts
from app.accounts import tokens
from app.errors import AppError
from app.sealed import answers
from app.sealed.scoring import SHOWN_DECIMALS, score
from app.sealed.terms import day_of
from app.settings import Settings
from tests.app.sealed.house import (
    LABELS,
    ROWS,
    URL,
    House,
    answers_text,
    file_of,
    headers_of,
    labelled_pairs,
    predictions,
)

NOW = datetime.now(UTC)


def parts_of(settings: Settings) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows are public, from the file that no route reads."""
    (path,) = (item for item in answers.folder_of(settings).iterdir() if not item.name.startswith("incoming-"))
    return np.array([digit == "1" for digit in json.loads(path.read_bytes())["public"]])


def test_sealed_then_scored_on_both_parts(house: House, settings: Settings) -> None:
    made = house.make(public_share=0.3)
    assert (made["rows"], made["public_rows"], made["private_rows"], made["left_today"]) == (ROWS, 18, 42, 2)
    who, values = headers_of(house.client, "ann"), predictions(1)
    got = house.send(file_of(values), who, remark="first try")
    assert got.status_code == 201, got.text
    public = parts_of(settings)
    assert public.sum() == 18
    line = got.json()
    assert line["public_score"] == round(metrics.roc_auc_score(LABELS[public], values[public]), 5)
    assert line["private_score"] is None
    assert (line["status"], line["made_by"], line["remark"]) == ("scored", "ann", "first try")
    assert house.client.get(URL, headers=who).json()["left_today"] == 1
    board = house.client.get(f"{URL}/board").json()
    assert [(row["place"], row["name"], row["public"], row["private"]) for row in board] == [
        (1, "ann", line["public_score"], None)
    ]


def test_the_folder_and_its_files_are_the_servers_alone(house: House, settings: Settings) -> None:
    house.make()
    folder = answers.folder_of(settings)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600], "and no upload is left there"


def test_both_labels_in_both_parts_however_few(tmp_path: Any) -> None:
    labels = np.zeros(40, np.int8)
    labels[[3, 17]] = 1
    for share in (0.05, 0.5, 0.95):
        stored = answers.keep(tmp_path, labels, share)
        found = answers.score_by(tmp_path, stored.name, stored.sha256, "roc_auc", labels.astype(float))
        assert (found.public, found.private) == (1.0, 1.0)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "f1", "log_loss"])
def test_scores_are_scikit_learns_rounded(metric: str) -> None:
    values = predictions(4, 0.8)
    guesses = values >= 0.5
    expected = {
        "roc_auc": metrics.roc_auc_score(LABELS, values),
        "accuracy": metrics.accuracy_score(LABELS, guesses),
        "f1": metrics.f1_score(LABELS, guesses),
        "log_loss": metrics.log_loss(LABELS, values),
    }[metric]
    assert score(metric, LABELS.astype(np.int8), values) == round(expected, SHOWN_DECIMALS)


def test_labelled_pairs_in_test_order_are_the_same_answers(house: House) -> None:
    house.make()
    house.client.delete(URL, headers=house.owner)
    house.seal(labelled_pairs(house.client))
    got = house.send(file_of(LABELS), headers_of(house.client, "ann"))
    assert got.json()["public_score"] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "59 answers, and the test file has 60 rows"),
        (lambda lines: [*lines, b"1"], "61 answers"),
        (lambda lines: [*lines[:6], b"maybe 7", *lines[7:]], "line 7 of the answers is neither 0 nor 1"),
        (lambda lines: [b"0"] * ROWS, "at least 2 rows of each label"),
        (lambda lines: [], "is empty"),
        (lambda lines: [b"a\tb\t" + line for line in lines], "line 1 of the answers does not hold the sentences"),
        (lambda lines: [b"a\tb\tc\t" + line for line in lines], "can't be told apart"),
    ],
)
def test_answers_that_do_not_answer(house: House, change: Any, message: str) -> None:
    house.make()
    house.client.delete(URL, headers=house.owner)
    content = b"\n".join(change(answers_text().split()))
    answer = house.client.post(URL, files={"answers": ("a", content)}, headers=house.owner)
    assert answer.status_code == 422
    assert message in answer.json()["error"]["message"]
    assert "maybe" not in answer.text, "what stands there may be an answer"
    assert answer.json()["error"]["fields"][0]["field"] == "answers"
    assert house.client.get(URL).status_code == 404


def test_the_day_is_used_up_and_by_one_member_alone(house: House) -> None:
    house.make(uploads_a_day=2, time_zone="Asia/Shanghai")
    ann, bob = (headers_of(house.client, name) for name in ("ann", "bob"))
    assert [house.send(file_of(predictions(n)), ann).status_code for n in (1, 2)] == [201, 201]
    over = house.send(file_of(predictions(3)), ann)
    assert over.status_code == 429
    error = over.json()["error"]
    next_day = datetime.fromisoformat(error["detail"]["next_day_at"])
    assert error["detail"]["kind"] == "over_quota"
    assert next_day == day_of(datetime.now(UTC), "Asia/Shanghai").next_begins
    assert "ann has sent all 2 files of today: the next day begins at" in error["message"]
    assert "00:00 (Asia/Shanghai)" in error["message"]
    assert house.send(file_of(predictions(4)), bob).status_code == 201
    history = house.history(ann)
    assert [(line["status"], line["fault"]) for line in history["lines"]] == [
        ("refused", "over_quota"),
        ("scored", ""),
        ("scored", ""),
    ]
    assert (history["total"], house.history(ann, everyone=True)["total"]) == (3, 4)


def test_a_second_token_of_a_member_sends_no_further_files(house: House) -> None:
    house.make(uploads_a_day=1)
    with house.client.app.state.database.writing() as session:  # type: ignore[attr-defined]
        accounts.add_member(session, "the first", "correct horse battery")
        eve = accounts.add_member(session, "eve", "correct horse battery").id
        made = [tokens.issue(session, tokens.Wanted(f"t{n}", ("submit",), member_id=eve))[1] for n in (1, 2)]
    first, second = ({"Authorization": f"Bearer {token}"} for token in made)
    assert house.send(file_of(predictions(1)), first).status_code == 201
    over = house.send(file_of(predictions(2)), second)
    assert over.status_code == 429
    assert "eve has sent all 1 files of today" in over.json()["error"]["message"]
    assert 0 < int(over.headers["Retry-After"]) <= 25 * 3600


def test_a_refused_file_and_the_same_file_use_nothing_up(house: House) -> None:
    house.make(uploads_a_day=1)
    ann = headers_of(house.client, "ann")
    for _ in range(3):
        wrong = house.send(b"0.5\nx\n", ann)
        assert (wrong.status_code, wrong.json()["error"]["detail"]["kind"]) == (422, "not_a_number")
    first = house.send(file_of(predictions(1)), ann)
    again = house.send(file_of(predictions(1)), ann, name="other.tsv")
    assert (first.status_code, again.status_code) == (201, 200)
    assert {**first.json(), "checks": []} == again.json()
    assert [line["status"] for line in house.history(ann)["lines"]] == ["scored", *["refused"] * 3]


def test_many_at_once_do_not_get_past_the_limit(house: House) -> None:
    house.make(uploads_a_day=2)
    ann = headers_of(house.client, "ann")
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda n: house.send(file_of(predictions(n)), ann).status_code, range(6)))
    assert sorted(codes) == [201, 201, 429, 429, 429, 429]


def test_early_open_late_and_revealed(house: House) -> None:
    house.make(opens_at=(NOW + timedelta(hours=1)).isoformat(), uploads_a_day=5)
    ann, bob = (headers_of(house.client, name) for name in ("ann", "bob"))
    early = house.send(file_of(predictions(1)), ann)
    assert (early.status_code, early.json()["error"]["detail"]["kind"]) == (409, "early")
    assert house.change(opens_at=None, closes_at=(NOW + timedelta(hours=1)).isoformat()).status_code == 200
    scores = {}
    for name, who, noises in (("ann", ann, (0.9, 0.7)), ("bob", bob, (0.6, 1.0))):
        scores[name] = [house.send(file_of(predictions(n, noise)), who).json() for n, noise in enumerate(noises)]
    assert house.client.post(f"{URL}/reveal", headers=house.owner).status_code == 409
    assert house.change(closes_at=(NOW - timedelta(seconds=5)).isoformat()).status_code == 200
    late = house.send(file_of(predictions(9)), ann)
    assert (late.status_code, late.json()["error"]["detail"]["kind"]) == (409, "late")
    assert "came too late" in late.json()["error"]["message"]
    assert all(line["private_score"] is None for line in house.history(ann)["lines"])
    assert house.client.post(f"{URL}/reveal", headers=ann).status_code == 403
    assert house.client.post(f"{URL}/reveal", headers=house.owner).status_code == 200
    board = house.client.get(f"{URL}/board").json()
    best = {name: max(lines, key=lambda line: line["public_score"]) for name, lines in scores.items()}
    private = {line["id"]: line["private_score"] for line in house.history(ann, everyone=True)["lines"]}
    assert {row["name"]: row["private"] for row in board} == {name: private[row["id"]] for name, row in best.items()}
    assert [row["private"] for row in board] == sorted((row["private"] for row in board), reverse=True)
    assert house.change(uploads_a_day=9).status_code == 409, "the rules stay once it is out"


def test_only_the_owner_changes_it_and_answers_that_scored_stay(house: House) -> None:
    house.make()
    ann, other = headers_of(house.client, "ann"), headers_of(house.client, "other owner", "member", "admin")
    for method, path in (("PATCH", URL), ("DELETE", URL), ("POST", f"{URL}/reveal")):
        for who, message in ((ann, "this needs a token for admin"), (other, "owner sealed these answers")):
            answer = house.client.request(method, path, json={} if method == "PATCH" else None, headers=who)
            assert answer.status_code == 403, (method, path)
            assert message in answer.json()["error"]["message"]
    for who, status in ((ann, 403), (other, 409)):
        again = house.client.post(URL, files={"answers": ("a", answers_text())}, headers=who)
        assert again.status_code == status
    house.send(file_of(predictions(1)), ann)
    kept = house.client.delete(URL, headers=house.owner)
    assert kept.status_code == 409
    assert "they stay" in kept.json()["error"]["message"]


@pytest.mark.parametrize(
    ("terms", "field", "message"),
    [
        ({"uploads_a_day": 0}, "uploads_a_day", "greater than or equal to 1"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "no such time zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone", "no such time zone"),
        ({"closes_at": "2026-12-01T00:00:00"}, "closes_at", "in which zone"),
        (
            {"opens_at": "2026-12-02T00:00:00Z", "closes_at": "2026-12-01T00:00:00Z"},
            "closes_at",
            "closes before it opens",
        ),
        ({"upload_a_day": 3}, "upload_a_day", "not permitted"),
    ],
)
def test_rules_that_can_not_be(house: House, terms: dict[str, Any], field: str, message: str) -> None:
    house.make()
    answer = house.change(**terms)
    assert answer.status_code == 422
    assert [item["field"] for item in answer.json()["error"]["fields"]] == [field]
    assert message in answer.json()["error"]["message"]


def test_an_upload_of_an_experiment_gives_it_an_online_score(house: House) -> None:
    house.make(runs_a_day=0)
    ann, experiment = headers_of(house.client, "ann"), house.finish(predictions(1))
    got = house.send(file_of(predictions(2)), ann, experiment_id=experiment, remark="two folds", anyway=True)
    assert got.status_code == 201
    (online,) = house.online(experiment)
    assert (online["value"], online["source"], online["note"], online["made_by"]) == (
        got.json()["public_score"],
        "sealed",
        "two folds",
        "ann",
    )
    sent = house.client.get(f"/api/v1/submissions/{online['submission_id']}").json()
    assert (sent["file_sha256"], sent["predictions_sha256"]) == (got.json()["sha256"], "")
    assert house.client.get(f"{URL}/board").json()[0]["name"] == "experiment 1"
    assert house.send(file_of(predictions(2)), ann, experiment_id=99).status_code == 404


def test_damaged_answers_score_nothing_and_say_so(house: House, settings: Settings, app: FastAPI) -> None:
    house.make()
    (path,) = answers.folder_of(settings).iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"1", b"0", 1))
    failed = house.send(file_of(predictions(1)), headers_of(house.client, "ann"))
    assert failed.status_code == 400
    assert "sealed answers are damaged: restore them from a backup" in failed.json()["error"]["message"]
    path.unlink()
    with pytest.raises(AppError, match="missing"):
        answers.score_by(answers.folder_of(settings), path.name, "0", "roc_auc", predictions(1))


@pytest.mark.parametrize(
    ("moment", "zone", "begins", "ends"),
    [
        ("2026-11-27T15:59:59", "Asia/Shanghai", "2026-11-26T16:00:00", "2026-11-27T16:00:00"),
        ("2026-11-27T16:00:00", "Asia/Shanghai", "2026-11-27T16:00:00", "2026-11-28T16:00:00"),
        ("2026-03-29T12:00:00", "Europe/Berlin", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
        ("2026-10-25T12:00:00", "Europe/Berlin", "2026-10-24T22:00:00", "2026-10-25T23:00:00"),
    ],
)
def test_a_day_is_from_midnight_to_midnight_there(moment: str, zone: str, begins: str, ends: str) -> None:
    day = day_of(datetime.fromisoformat(moment).replace(tzinfo=UTC), zone)
    assert (day.begins.isoformat()[:19], day.next_begins.isoformat()[:19]) == (begins, ends)


def test_a_file_is_checked_before_it_is_scored(house: House) -> None:
    """What would teach nothing uses nothing up, unless a person insists."""
    house.make()
    ann, bob = headers_of(house.client, "ann"), headers_of(house.client, "bob")
    constant = house.send(file_of(np.full(ROWS, 0.5)), ann)
    assert (constant.status_code, constant.json()["error"]["detail"]["kind"]) == (422, "check")
    assert "every row holds the same" in constant.json()["error"]["message"]
    first = house.send(file_of(predictions(1)), ann)
    assert {check["name"]: check["state"] for check in first.json()["checks"]} == {
        **dict.fromkeys(("form", "rows", "order", "numbers", "range", "constant"), "ok"),
        **dict.fromkeys(("test_file", "same_file", "likeness"), "ok"),
    }
    again = house.send(file_of(predictions(1)), bob)
    assert again.status_code == 422
    score = f"{first.json()['public_score']:.5f}"
    assert re.search(rf"exactly this file was scored before: sent by ann on \S+, {score}", again.text)
    told = [(line["status"], line["fault"]) for line in house.history(bob)["lines"]]
    assert (told, house.client.get(URL, headers=bob).json()["left_today"]) == ([("refused", "check")], 2)
    insisted = house.send(file_of(predictions(1)), bob, anyway=True)
    assert (insisted.status_code, insisted.json()["public_score"]) == (201, first.json()["public_score"])
    assert "exactly this file was scored before" in insisted.json()["message"]


def test_a_file_that_is_not_what_its_experiment_predicted(house: House) -> None:
    house.make(runs_a_day=0)
    ann = headers_of(house.client, "ann")
    experiment = house.finish(predictions(1))
    refused = house.send(file_of(predictions(2)), ann, experiment_id=experiment)
    assert refused.status_code == 422
    assert "was predicted for it" in refused.json()["error"]["message"]
    assert house.online(experiment) == []
    rounded = "".join(f"{value:.7f}\n" for value in predictions(1)).encode()
    url = f"/api/v1/experiments/{experiment}/submissions/file"
    sent = house.client.post(url, files={"file": ("a.tsv", rounded)}, data={"status": "sent"}, headers=ann)
    assert sent.status_code == 201, "it is said to be sent first, and waits for its score"
    assert house.send(rounded, ann, experiment_id=experiment).status_code == 201
    assert house.online(experiment)[0]["submission_id"] == sent.json()["id"]
    (row,) = house.client.get("/api/v1/contests/oppo/submissions", headers=ann).json()
    own = hashlib.sha256(file_of(predictions(1))).hexdigest()
    assert (row["file_sha256"], row["predictions_sha256"]) == (hashlib.sha256(rounded).hexdigest(), own)
    like = house.send(file_of(predictions(1, 0.50001)), ann)
    assert {check["name"] for check in like.json()["checks"] if check["state"] == "warn"} == {"likeness"}
