"""What a worker predicted is scored without a person: once a run, within the day's limit, in time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from fastapi import FastAPI

from app.sealed import answers
from app.sealed.automatic import score_finished
from app.sealed.scorer import Scorer
from app.settings import Settings
from tests.app.sealed.house import URL, House, answers_text, file_of, headers_of, predictions

Sweep = Callable[[], int]


@pytest.fixture
def sweep(app: FastAPI, settings: Settings) -> Sweep:
    """One look of the scorer; the app's own looks too seldom to disturb."""
    state = app.state
    return lambda: score_finished(state.database, state.storage, answers.folder_of(settings))


def test_a_finished_experiment_gets_its_score_once(house: House, sweep: Sweep) -> None:
    house.make()
    assert sweep() == 0
    experiment = house.finish(predictions(1))
    assert house.online(experiment) == []
    assert (sweep(), sweep()) == (1, 0)
    (online,) = house.online(experiment)
    same = house.send(file_of(predictions(1)), headers_of(house.client, "ann"))
    assert (online["value"], online["source"]) == (same.json()["public_score"], "sealed")
    row = house.client.get("/api/v1/contests/oppo/leaderboard").json()["rows"][0]
    assert row["online"]["value"] == online["value"]
    (line,) = [line for line in house.history(house.owner, everyone=True)["lines"] if line["kind"] == "run"]
    assert (line["experiment_id"], line["status"], line["private_score"]) == (experiment, "scored", None)
    page = house.client.get(f"/experiments/{experiment}").text
    assert "sealed" in page.split('id="online"')[1].split("</section>")[0]


def test_several_processes_look_at_once(house: House, sweep: Sweep) -> None:
    house.make()
    experiments = [house.finish(predictions(n), seed=n) for n in (1, 2)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sweep(), range(4)))
    assert [len(house.online(number)) for number in experiments] == [1, 1]
    assert house.history(house.owner, everyone=True)["total"] == 2


def test_what_finished_before_the_answers_came_is_scored_too(house: House, sweep: Sweep) -> None:
    house.make()
    house.client.delete(URL, headers=house.owner)
    experiment = house.finish(predictions(1))
    assert sweep() == 0
    house.seal()
    assert sweep() == 1
    assert len(house.online(experiment)) == 1


def test_the_days_limit_keeps_the_rest_waiting_and_says_so(house: House, sweep: Sweep) -> None:
    house.make(runs_a_day=1)
    for seed in (1, 2, 3):
        house.finish(predictions(seed), seed=seed)
    assert (sweep(), sweep()) == (1, 0)
    assert house.client.get(URL).json()["waiting_runs"] == 2
    assert "2 wait." in house.client.get("/contests/oppo/sealed").text
    house.change(runs_a_day=9)
    assert (sweep(), house.client.get(URL).json()["waiting_runs"]) == (2, 0)


def test_nobody_sent_a_file_so_no_place_is_used(house: House, sweep: Sweep) -> None:
    """A plan of the same experiment, for another board or not, stays a plan."""
    house.make()
    experiment = house.finish(predictions(1))
    plan = house.client.post(f"/api/v1/experiments/{experiment}/submissions", json={}).json()
    assert sweep() == 1
    (online,) = house.online(experiment)
    assert (online["submission_id"], online["source"]) == (None, "sealed")
    assert house.client.get(f"/api/v1/submissions/{plan['id']}").json()["status"] == "planned"
    quota = house.client.get("/api/v1/contests/oppo/quota").json()
    assert (quota["used"], quota["planned"]) == (0, 1)
    right = {"value": 0.5, "corrects": online["id"]}
    fixed = house.client.post(f"/api/v1/experiments/{experiment}/online-scores", json=right).json()
    assert fixed["submission_id"] is None


def test_before_the_opening_it_waits_and_after_the_closing_it_is_late(house: House, sweep: Sweep) -> None:
    now = datetime.now(UTC)
    house.make(opens_at=(now + timedelta(hours=1)).isoformat())
    early = house.finish(predictions(1), seed=1)
    assert sweep() == 0
    house.change(opens_at=None, closes_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat())
    assert sweep() == 1
    assert len(house.online(early)) == 1
    house.change(closes_at=(now - timedelta(hours=1)).isoformat())
    late = house.finish(predictions(2), seed=2)
    assert sweep() == 0
    assert house.online(late) == []


def test_predictions_that_can_not_be_read_are_told_and_not_looked_at_again(house: House, sweep: Sweep) -> None:
    house.make()
    experiment = house.finish([], content=b"0.5\nnan\n")
    assert (sweep(), sweep()) == (1, 0)
    (line,) = house.history(house.owner, everyone=True)["lines"]
    assert (line["status"], line["fault"]) == ("refused", "run")
    assert "line 2: 'nan' can't be ranked" in line["message"]
    assert house.online(experiment) == []


def test_lost_answers_are_waited_for(house: House, sweep: Sweep, settings: Settings) -> None:
    house.make()
    (path,) = answers.folder_of(settings).iterdir()
    kept = path.rename(path.with_name("elsewhere"))
    experiment = house.finish(predictions(1))
    assert (sweep(), house.online(experiment)) == (1, [])
    kept.rename(path)
    assert (sweep(), len(house.online(experiment))) == (1, 1)


def test_an_experiment_that_is_removed_for_good_leaves_its_line(house: House, sweep: Sweep) -> None:
    house.make()
    experiment = house.finish(predictions(1))
    sweep()
    scored = house.online(experiment)[0]["value"]
    selected = {"ids": [experiment]}
    base = "/api/v1/contests/oppo"
    archived = house.client.post(f"{base}/selection", json={**selected, "action": "archive"})
    assert archived.is_success, archived.text
    assert house.client.post(f"{base}/trash", json=selected).is_success
    assert house.client.post(f"{base}/trash/empty", json={"with_scores": [experiment]}).is_success
    assert house.client.get(f"/api/v1/experiments/{experiment}").status_code == 404
    (line,) = house.history(house.owner, everyone=True)["lines"]
    assert (line["experiment_id"], line["run_id"], line["public_score"]) == (None, None, scored)
    assert house.client.get(f"{URL}/board").json()[0]["name"] == "an experiment that was removed"
    assert sweep() == 0


def test_a_look_is_taken_when_something_may_be_due(
    house: House, app: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, looks = app.state, list[int]()

    def counted(*args: object) -> int:
        looks.append(score_finished(*args))  # type: ignore[arg-type]
        return looks[-1]

    monkeypatch.setattr("app.sealed.automatic.score_finished", counted)
    scorer = Scorer(state.database, state.storage, answers.folder_of(settings), every_s=600)
    scorer.look()
    assert looks == [], "nothing is sealed"
    house.make(runs_a_day=1)
    for expected in ([0], [0]):
        scorer.look()
        assert looks == expected
    for seed in (1, 2):
        house.finish(predictions(seed), seed=seed)
    for expected in ([0, 1], [0, 1, 0], [0, 1, 0]):
        scorer.look()
        assert looks == expected, "the day's limit keeps the second one"
    house.change(runs_a_day=2)
    for expected in ([0, 1, 0, 1], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0]):
        scorer.look()
        assert looks == expected


def test_the_web_process_does_it_by_itself(house: House, app: FastAPI, settings: Settings) -> None:
    house.make()
    experiment = house.finish(predictions(1))
    scorer = Scorer(app.state.database, app.state.storage, answers.folder_of(settings), every_s=0.05)
    scorer.start()
    try:
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while not house.online(experiment) and datetime.now(UTC) < deadline:
            pass
    finally:
        scorer.stop()
    assert len(house.online(experiment)) == 1
    assert answers_text().decode() not in str(house.history(house.owner, everyone=True))
