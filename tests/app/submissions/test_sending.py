"""Plans, files that were sent, and the quota of a contest's day in its own zone."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import calendar
from app.contests.models import Contest
from app.experiments import service as experiments
from app.submissions import queries, quota, sending, service
from app.submissions.service import OnlineScore
from ml.contract.events import Failed
from tests.app.submissions.conftest import Finish
from tests.factories import TINY, experiment_over_http, make_contest, storage_in

API = "/api/v1"


def ask(client: TestClient, method: str, path: str, status: int, **options: Any) -> Any:
    answer = client.request(method, f"{API}{path}", **options)
    assert answer.status_code == status, answer.text
    return answer.json()


def places(client: TestClient, **query: Any) -> tuple[int, int, int | None]:
    found = ask(client, "GET", "/contests/oppo/quota", 200, params=query)
    return found["used"], found["planned"], found["left"]


def test_from_plan_to_score_to_correction(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    ask(client, "PATCH", "/contests/oppo/quota", 200, json={"submissions_a_day": 3, "time_zone": "Asia/Shanghai"})
    kept = ask(client, "GET", "/contests/oppo", 200)
    assert (kept["time_zone"], kept["submissions_a_day"]) == ("Asia/Shanghai", 3)
    plan = ask(client, "POST", f"/experiments/{made['id']}/submissions", 201, json={"board": "A", "remark": "hope"})
    assert (plan["status"], plan["file_sha256"], plan["remark"]) == ("planned", made["sha256"], "hope")
    assert places(client) == (0, 1, 2)
    again = ask(client, "POST", f"/experiments/{made['id']}/submissions", 409, json={"board": "A"})
    assert f"as submission {plan['id']}" in again["error"]["message"]
    sent = ask(client, "POST", f"/submissions/{plan['id']}/send", 200, json={})
    assert (sent["status"], sent["sent_by"], places(client)) == ("sent", "local", (1, 0, 2))
    assert ask(client, "POST", f"/submissions/{plan['id']}/send", 200, json={}) == sent, "a second time changes nothing"
    score = ask(client, "POST", f"/experiments/{made['id']}/online-scores", 201, json={"value": 0.87})
    assert (score["submission_id"], score["board"], places(client)) == (plan["id"], "A", (1, 0, 2))
    taken = ask(client, "POST", f"/submissions/{plan['id']}/withdraw", 409, json={})
    assert "has a score" in taken["error"]["message"]
    body = {"value": 0.78, "corrects": score["id"], "note": "misread"}
    right = ask(client, "POST", f"/experiments/{made['id']}/online-scores", 201, json=body)
    assert (right["corrects_id"], right["submission_id"], right["board"]) == (score["id"], plan["id"], "A")
    scores = ask(client, "GET", f"/submissions/{plan['id']}", 200)["scores"]
    assert [(item["value"], item["counts"]) for item in scores] == [(0.87, False), (0.78, True)]
    row = ask(client, "GET", "/contests/oppo/leaderboard", 200)["rows"][0]["online"]
    assert (row["value"], row["count"], row["best"], row["board"]) == (0.78, 1, None, "A")
    twice = ask(client, "POST", f"/experiments/{made['id']}/online-scores", 409, json={**body, "value": 0.79})
    assert "was corrected before" in twice["error"]["message"]
    assert ask(client, "GET", "/contests/oppo/submissions", 200) == [ask(client, "GET", "/submissions/1", 200)]


def test_best_and_latest(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    for value in (0.81, 0.86, 0.83):
        ask(client, "POST", f"/experiments/{made['id']}/online-scores", 201, json={"value": value})
    row = ask(client, "GET", "/contests/oppo/leaderboard?sort=-online", 200)["rows"][0]["online"]
    assert (row["value"], row["best"], row["count"]) == (0.83, 0.86, 3)
    page = client.get("/contests/oppo").text
    assert "best 0.86000" in page
    assert ",0.83," in client.get("/contests/oppo/leaderboard.csv").text
    # told earlier than the others, it is not the latest though it was posted last
    old = {"value": 0.7, "time": "2026-01-02 10:00"}
    ask(client, "POST", f"/experiments/{made['id']}/online-scores", 201, json=old)
    assert ask(client, "GET", "/contests/oppo/leaderboard", 200)["rows"][0]["online"]["value"] == 0.83


def test_the_best_of_a_loss_is_the_lowest(client: TestClient) -> None:
    client.post(f"{API}/contests", json={"name": "Loss", "slug": "loss", "metric": "log_loss"})
    database = client.app.state.database  # type: ignore[attr-defined]
    with database.writing() as session:
        contest = queries_contest(session, "loss")
        number = experiments.create_external(session, contest, name="e", note="").id
    for value in (0.5, 0.3, 0.4):
        ask(client, "POST", f"/experiments/{number}/online-scores", 201, json={"value": value})
    row = ask(client, "GET", "/contests/loss/leaderboard", 200)["rows"][0]["online"]
    assert (row["value"], row["best"]) == (0.4, 0.3)


def queries_contest(session: Session, slug: str) -> Contest:
    from app.contests import queries as contests

    return contests.contest(session, slug)


def test_a_score_on_the_wrong_experiment_moves(client: TestClient, finish: Finish) -> None:
    wrong, right = finish("wrong", seed=1), finish("right", seed=2)
    score = ask(client, "POST", f"/experiments/{wrong['id']}/online-scores", 201, json={"value": 0.9})
    assert places(client)[0] == 1
    body = {"value": 0.9, "corrects": score["id"]}
    moved = ask(client, "POST", f"/experiments/{right['id']}/online-scores", 201, json=body)
    assert moved["submission_id"] != score["submission_id"]
    assert ask(client, "GET", f"/submissions/{score['submission_id']}", 200)["status"] == "refused"
    assert places(client)[0] == 1, "one file was sent, not two"
    rows = {row["name"]: row["online"] for row in ask(client, "GET", "/contests/oppo/leaderboard", 200)["rows"]}
    assert rows["wrong"] is None
    assert rows["right"]["value"] == 0.9


def test_a_full_day(client: TestClient, finish: Finish) -> None:
    first, second = finish("first", seed=1), finish("second", seed=2)
    ask(client, "PATCH", "/contests/oppo/quota", 200, json={"submissions_a_day": 1})
    plan = ask(client, "POST", f"/experiments/{first['id']}/submissions", 201, json={})
    for status in ("planned", "sent"):
        full = ask(client, "POST", f"/experiments/{second['id']}/submissions", 409, json={"status": status})
        assert "0 used and 1 planned of 1" in full["error"]["message"]
    tomorrow = (datetime.now(UTC).date() + timedelta(days=1)).isoformat()
    later = ask(client, "POST", f"/experiments/{second['id']}/submissions", 201, json={"day": tomorrow})
    assert (places(client), places(client, day=tomorrow)) == ((0, 1, 0), (0, 1, 0))
    early = ask(client, "POST", f"/submissions/{later['id']}/send", 409, json={})
    assert "is full" in early["error"]["message"], "today's place is another's"
    ask(client, "POST", f"/submissions/{plan['id']}/withdraw", 200, json={"why": "no good"})
    ask(client, "POST", f"/submissions/{later['id']}/send", 200, json={})
    assert (places(client), places(client, day=tomorrow)) == ((1, 0, 0), (0, 0, 1))
    # the contest did not take it: nothing was used
    refused = ask(client, "POST", f"/submissions/{later['id']}/withdraw", 200, json={"why": "malformed"})
    assert (refused["status"], places(client)) == ("refused", (0, 0, 1))
    # what came is a fact, quota or not
    for _ in range(2):
        ask(client, "POST", f"/experiments/{first['id']}/online-scores", 201, json={"value": 0.8})
    assert places(client) == (2, 0, 0)


def test_the_last_place_is_taken_once(client: TestClient, finish: Finish) -> None:
    made = [finish(f"e{seed}", seed=seed)["id"] for seed in range(1, 7)]
    ask(client, "PATCH", "/contests/oppo/quota", 200, json={"submissions_a_day": 2})
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda number: client.post(f"{API}/experiments/{number}/submissions", json={}).status_code, made)
        )
    assert sorted(answers) == [201] * 2 + [409] * 4
    assert places(client) == (0, 2, 0)


def test_many_corrections_at_once_are_one(client: TestClient, finish: Finish) -> None:
    number = finish("first")["id"]
    old = ask(client, "POST", f"/experiments/{number}/online-scores", 201, json={"value": 0.8})["id"]
    with ThreadPoolExecutor(6) as pool:
        url, values = f"{API}/experiments/{number}/online-scores", [0.7 + n / 100 for n in range(6)]
        answers = [
            answer.status_code
            for answer in pool.map(lambda value: client.post(url, json={"value": value, "corrects": old}), values)
        ]
    assert sorted(answers) == [201] + [409] * 5


def test_a_failed_job_uses_no_place(client: TestClient, finish: Finish, worker_headers: dict[str, str]) -> None:
    ask(client, "PATCH", "/contests/oppo/quota", 200, json={"submissions_a_day": 1})
    waits = experiment_over_http(client, name="waits", config={**TINY, "pretrain": None, "seed": 77})
    plan = ask(client, "POST", f"/experiments/{waits['id']}/submissions", 201, json={})
    assert (plan["file_sha256"], places(client)) == ("", (0, 1, 0))
    unsent = ask(client, "POST", f"/submissions/{plan['id']}/send", 409, json={})
    assert "has not finished" in unsent["error"]["message"]
    run, who = waits["runs"][0]["id"], {"worker": "w1", "boot_id": "boot-one"}
    token = client.post(f"{API}/runs/{run}/claim", json=who, headers=worker_headers).json()["token"]
    body = {"first": 1, "events": [Failed(reason="it broke").model_dump(mode="json")]}
    client.post(f"{API}/runs/{run}/events", json=body, headers={"Authorization": f"Bearer {token}"})
    assert places(client) == (0, 0, 1)
    assert ask(client, "GET", f"/submissions/{plan['id']}", 200)["job_failed"] is True
    assert "it holds no place" in client.get("/contests/oppo/submissions").text
    failed = ask(client, "POST", f"/experiments/{waits['id']}/submissions", 409, json={})
    assert "uses no place" in failed["error"]["message"]
    ask(client, "POST", f"/experiments/{finish('second', seed=2)['id']}/submissions", 201, json={})


def test_a_refused_file_uses_no_place_unless_a_person_insists(client: TestClient, finish: Finish) -> None:
    short = finish("short", [0.5, 0.6, 0.7])
    refused = ask(client, "POST", f"/experiments/{short['id']}/submissions", 422, json={"status": "sent"})["error"]
    assert refused["fields"] == [{"field": "rows", "message": "3 rows, but the test file has 40", "value": ""}]
    assert places(client)[:2] == (0, 0)
    ask(client, "POST", f"/experiments/{short['id']}/submissions", 201, json={"status": "sent", "anyway": True})
    assert places(client)[0] == 1


def test_the_same_file_is_not_sent_twice_to_a_board(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    path = f"/experiments/{made['id']}/submissions"
    ask(client, "POST", path, 201, json={"status": "sent", "board": "A"})
    ask(client, "POST", f"/experiments/{made['id']}/online-scores", 201, json={"value": 0.87})
    again = ask(client, "POST", path, 422, json={"status": "sent", "board": "A"})["error"]["message"]
    assert "submission 1 by local on" in again
    assert "board A, 0.87" in again
    ask(client, "POST", path, 201, json={"status": "sent", "board": "B"})


def test_what_was_sent_outlives_its_experiment(client: TestClient, finish: Finish) -> None:
    made, other = finish("first", seed=1), finish("other", seed=2)
    score = ask(client, "POST", f"/experiments/{made['id']}/online-scores", 201, json={"value": 0.87})
    ask(client, "POST", f"/experiments/{other['id']}/online-scores", 201, json={"value": 0.8, "corrects": score["id"]})
    ask(client, "POST", f"/experiments/{made['id']}/online-scores", 201, json={"value": 0.86})
    body = {"ids": [made["id"]], "action": "archive"}
    ask(client, "POST", "/contests/oppo/selection", 200, json=body)
    ask(client, "POST", "/contests/oppo/trash", 200, json={"ids": [made["id"]]})
    ask(client, "POST", "/contests/oppo/trash/empty", 200, json={"with_scores": [made["id"]]})
    left = ask(client, "GET", "/contests/oppo/submissions", 200)
    assert [(row["experiment_id"], row["removed_id"], row["experiment"]) for row in left] == [
        (None, made["id"], "first"),
        (other["id"], None, "other"),
        (None, made["id"], "first"),
    ]
    assert places(client)[0] == 2
    kept = ask(client, "GET", "/contests/oppo/trash/removed", 200)
    assert [score["counts"] for score in kept[0]["scores"]] == [False, True]
    assert "first" in client.get("/contests/oppo/submissions").text
    client.app.state.storage.path(made["sha256"]).unlink()  # type: ignore[attr-defined]
    found = ask(client, "GET", f"/experiments/{other['id']}/submission-check", 200)
    assert [item["rank_correlation"] for item in found["earlier"]] == [None, pytest.approx(1)]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"time_zone": "Mars/Olympus"}, 422, "'Mars/Olympus' is no time zone"),
        ({"time_zone": "../etc/passwd"}, 422, "is no time zone"),
        ({"submissions_a_day": 0}, 422, "0 files a day"),
        ({"submissions_a_day": "x"}, 422, "submissions_a_day"),
        ({"zone": "UTC"}, 422, "zone"),
    ],
)
def test_a_refused_quota(client: TestClient, contest: str, body: dict[str, Any], status: int, message: str) -> None:
    error = ask(client, "PATCH", f"/contests/{contest}/quota", status, json=body)["error"]
    assert message in error["message"]


def test_no_plan_for_a_day_that_is_over(client: TestClient, finish: Finish) -> None:
    number = finish("first")["id"]
    over = ask(client, "POST", f"/experiments/{number}/submissions", 422, json={"day": "2020-01-01"})
    assert "2020-01-01 is over" in over["error"]["message"]
    ahead = {"value": 0.5, "time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    ahead_answer = ask(client, "POST", f"/experiments/{number}/online-scores", 422, json=ahead)
    assert "has not come yet" in ahead_answer["error"]["message"]


# Days: with the services alone, at moments that are told.


def sent_at(session: Session, contest: Contest, *moments: datetime) -> list[date]:
    """The contest's days of scores that came at these moments."""
    experiment = experiments.create_external(session, contest, name="e", note="")
    for moment in moments:
        service.post_online_score(session, experiment, OnlineScore(0.5, told_at=moment))
    return [row.contest_day for row in reversed(queries.of_experiment(session, experiment.id))]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


def test_a_day_begins_at_midnight_of_the_zone(session: Session) -> None:
    contest = make_contest(session)
    quota.change(session, contest, time_zone="Asia/Shanghai", a_day=3)
    days = sent_at(session, contest, utc(2026, 3, 1, 15, 59, 59), utc(2026, 3, 1, 16), utc(2026, 3, 2, 15, 59))
    assert days == [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 2)]
    found = quota.of_day(session, contest, date(2026, 3, 2))
    assert (found.used, found.left, found.renewed_at) == (2, 1, utc(2026, 3, 2, 16))
    quota.change(session, contest, time_zone="UTC", a_day=3)
    assert quota.of_day(session, contest, date(2026, 3, 1)).used == 2, "days of what was sent follow the zone"


def test_days_of_25_and_23_hours(session: Session) -> None:
    contest = make_contest(session)
    quota.change(session, contest, time_zone="Europe/Berlin", a_day=1)
    autumn, spring = date(2026, 10, 25), date(2026, 3, 29)
    for day, hours, begin in ((autumn, 25, utc(2026, 10, 24, 22)), (spring, 23, utc(2026, 3, 28, 23))):
        assert calendar.begin_of(contest, day) == begin
        assert calendar.end_of(contest, day) - begin == timedelta(hours=hours)
        days = sent_at(
            session,
            contest,
            begin - timedelta(seconds=1),
            begin,
            begin + timedelta(hours=hours, seconds=-1),
            begin + timedelta(hours=hours),
        )
        assert days == [day - timedelta(days=1), day, day, day + timedelta(days=1)]


def test_clocks_that_leap_over_midnight(session: Session) -> None:
    """Cairo, 2026-04-24: from 23:59:59 to 01:00."""
    contest = make_contest(session)
    quota.change(session, contest, time_zone="Africa/Cairo", a_day=1)
    begin = calendar.begin_of(contest, date(2026, 4, 24))
    assert begin == utc(2026, 4, 23, 22)
    assert sent_at(session, contest, begin - timedelta(seconds=1), begin) == [date(2026, 4, 23), date(2026, 4, 24)]


def test_a_time_without_offset_is_the_contests(session: Session) -> None:
    contest = make_contest(session)
    quota.change(session, contest, time_zone="Asia/Shanghai", a_day=None)
    assert calendar.moment(contest, "2026-03-01 07:30") == utc(2026, 2, 28, 23, 30)
    assert calendar.moment(contest, "2026-03-01T07:30Z") == utc(2026, 3, 1, 7, 30)


def test_a_plan_whose_day_is_over_holds_no_place(session: Session, tmp_path: Path) -> None:
    contest = make_contest(session)
    quota.change(session, contest, time_zone="UTC", a_day=1)
    experiment = experiments.create_external(session, contest, name="e", note="")
    row = sending.plan(session, storage_in(tmp_path), experiment, sending.Asked())
    row.contest_day -= timedelta(days=1)
    session.flush()
    assert quota.of_day(session, contest).left == 1
    sending.send(session, storage_in(tmp_path), row, sending.Asked())
    assert quota.of_day(session, contest).left == 0
