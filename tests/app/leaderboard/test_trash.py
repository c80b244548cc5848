"""The trash: says what it frees and frees exactly that, keeps what others need and every score, and can be undone."""

import csv
import io
import threading
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from starlette.testclient import TestClient

from app.db import Base, Database
from app.keeping import gc
from app.leaderboard import trash
from app.leaderboard.models import Trashed
from app.runs import queries as run_queries
from app.runs import retention
from app.runs.models import Artifact, Attempt, Run, RunNeed
from app.settings import Settings
from app.storage import Storage
from ml.contract.events import Artifact as ArtifactEvent
from ml.contract.events import Event, Finished, Progress, Scored
from ml.contract.scores import Scores
from tests.factories import TINY, contest_over_http, experiment_over_http, upload_over_http

WHO = {"worker": "w1", "boot_id": "boot-one"}
SCORES = Scores(roc_auc=0.8, accuracy=0.7, f1=0.6, log_loss=0.5)
TRASH = "/api/v1/contests/oppo/trash"


class House:
    """Experiments that ran: their files have sizes that tell them apart."""

    def __init__(self, client: TestClient, app: FastAPI, headers: dict[str, str]) -> None:
        self.client, self.headers = client, headers
        self.database: Database = app.state.database
        self.storage: Storage = app.state.storage
        self.settings: Settings = app.state.settings
        contest_over_http(client)

    def experiment(self, files: dict[str, bytes], *, seed: int = 1, **config: Any) -> int:
        """An experiment whose runs all finished, each having made these files; a shared pretrain runs once."""
        made = experiment_over_http(
            self.client, name=f"row {seed}", config={**TINY, "seed": seed, "pretrain": None, **config}
        )
        for run in made["runs"]:
            if run["status"] == "queued":
                self.run(run["id"], files)
        return int(made["id"])

    def run(self, run_id: int, files: dict[str, bytes]) -> None:
        """Claim it, send the files, finish."""
        answer = self.client.post(f"/api/v1/runs/{run_id}/claim", json=WHO, headers=self.headers)
        assert answer.status_code == 200, answer.text
        mine = {"Authorization": f"Bearer {answer.json()['token']}"}
        events: list[Event] = [progress(step) for step in (1, 2)]
        for name, content in files.items():
            sha256 = upload_over_http(self.client, run_id, name, content, mine)
            events.append(ArtifactEvent(name=name, path=name, sha256=sha256, size=len(content)))
        if answer.json()["job"]["kind"] != "pretrain":
            events.append(Scored(split="valid", rows=9, scores=SCORES))
        body = {"first": 1, "events": [event.model_dump(mode="json") for event in (*events, Finished(seconds=1))]}
        told = self.client.post(f"/api/v1/runs/{run_id}/events", json=body, headers=mine)
        assert told.status_code == 200, told.text

    def archive(self, *ids: int) -> None:
        body = {"ids": list(ids), "action": "archive"}
        assert self.client.post("/api/v1/contests/oppo/selection", json=body).json()["done"] == list(ids)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.client.post(f"{TRASH}{path}", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def throw(self, *ids: int) -> dict[str, Any]:
        self.archive(*ids)
        return self.post("", ids=list(ids))

    def bytes_on_disk(self) -> int:
        return sum(stored.size for stored in self.storage.files())

    def whole(self) -> None:
        """No file that no row names, and no row whose file is gone."""
        with self.database.reading() as session:
            named = run_queries.stored_hashes(session)
        assert {stored.sha256 for stored in self.storage.files()} == named

    def rows(self, table: type[Base]) -> int:
        with self.database.reading() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0


def progress(step: int) -> Progress:
    return Progress(
        stage="finetune",
        step=step,
        total_steps=2,
        epoch=1,
        loss=1 / step,
        learning_rate=1e-3,
        samples_per_second=9.5,
        seconds_left=1.0,
    )


@pytest.fixture
def house(client: TestClient, app: FastAPI, worker_headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr("app.storage.NEW_FOR_S", 0)  # files of this test need not grow a minute old
    return House(client, app, worker_headers)


def test_it_says_what_it_frees_and_frees_that(house: House) -> None:
    one = house.experiment({"model.bin": b"1" * 1000, "same.tsv": b"=" * 50}, seed=1)
    two = house.experiment({"model.bin": b"2" * 300, "same.tsv": b"=" * 50}, seed=2)
    house.archive(one, two)
    before = house.bytes_on_disk()
    asked = house.post("/weigh", ids=[one])
    assert (asked["bytes"], asked["rows"][0]["bytes"], asked["rows"][0]["blocked"]) == (1000, 1000, "")
    assert house.post("/weigh", ids=[one, two])["bytes"] == 1350  # equal bytes go with the last that names them
    assert house.post("", ids=[one])["bytes"] == 1000
    assert house.post("/weigh", ids=[two])["bytes"] == 350
    assert house.bytes_on_disk() == before  # nothing goes yet
    assert house.post("/undo", ids=[one, two]) == {"done": [one]}
    assert house.client.get(TRASH).json() == {"bytes": 0, "rows": []}
    assert house.post("", ids=[one, two])["bytes"] == 1350

    emptied = house.post("/empty")
    assert emptied == {"done": [two, one], "left": {}, "bytes": 1350, "waiting_files": 0}
    assert house.bytes_on_disk() == before - 1350
    house.whole()
    for table in (Run, Attempt, Artifact, Trashed):
        assert house.rows(table) == 0
    assert house.client.get(f"/experiments/{one}").status_code == 404
    assert {kind.found.count for kind in gc.kinds(house.settings, house.database, house.storage)} == {0}
    assert house.post("/empty")["done"] == []


def test_a_shared_pretrain_stays_until_its_last_experiment_goes(house: House) -> None:
    shared = {**TINY["pretrain"]}
    one = house.experiment({"model.bin": b"1" * 10}, seed=1, pretrain=shared)
    two = house.experiment({"model.bin": b"2" * 200}, seed=1, pretrain=shared, finetune={"num_train_epochs": 1})
    with house.database.reading() as session:
        first, second = (run_queries.runs_of(session, number) for number in (one, two))
        assert first[0].id == second[0].id
    house.archive(one)
    weighed = house.post("", ids=[one])
    (row,) = weighed["rows"]
    assert row["remarks"] == [f"its pretrain stays: {two} row 1 still needs it"]
    before = house.bytes_on_disk()
    emptied = house.post("/empty")
    assert emptied["done"] == [one]
    assert before - house.bytes_on_disk() == emptied["bytes"] == weighed["bytes"]
    house.whole()
    with house.database.reading() as session:
        assert [run.kind for run in run_queries.runs_of(session, two)] == ["pretrain", "finetune"]
        assert session.scalar(select(func.count()).select_from(RunNeed)) == 1
    house.throw(two)
    house.post("/empty")
    house.whole()
    assert house.rows(Run) == 0


def test_what_can_not_go(house: House) -> None:
    one = house.experiment({"valid_predictions.tsv": b"1" * 10}, seed=1)
    two = house.experiment({"valid_predictions.tsv": b"2" * 10}, seed=2)
    fusion = house.experiment({"valid_predictions.tsv": b"3" * 10}, seed=3, fusion={"members": [one, two]})
    queued = experiment_over_http(house.client, config={**TINY, "seed": 9, "pretrain": None})["id"]
    blocked = {row["id"]: row["blocked"] for row in house.post("/weigh", ids=[one, queued])["rows"]}
    assert blocked == {one: "it is in the table: archive it first", queued: "it has not ended: cancel it first"}
    house.archive(one, two, fusion)
    (row,) = house.post("", ids=[one])["rows"]
    assert row["blocked"] == f"experiment {fusion} is made of its predictions: put that one into the trash, too"
    assert house.client.get(TRASH).json()["rows"] == []
    assert all(not row["blocked"] for row in house.post("", ids=[one, two, fusion])["rows"])
    (row,) = house.post("", ids=[one])["rows"]
    assert row["blocked"] == "it is in the trash already"
    left = house.client.post("/api/v1/contests/oppo/selection", json={"ids": [one], "action": "restore"}).json()["left"]
    assert left == {str(one): "it is in the trash: take it out first"}

    # the fusion is taken out again: emptying leaves what it is made of
    house.post("/undo", ids=[fusion])
    emptied = house.post("/empty")
    assert emptied["done"] == []
    assert emptied["left"].keys() == {str(one), str(two)}
    house.post("", ids=[fusion])
    assert house.post("/empty")["done"] == [fusion, two, one]
    house.whole()


def test_parents_and_baselines(house: House) -> None:
    one = house.experiment({}, seed=1)
    child = experiment_over_http(house.client, name="child", parent_id=one, config={**TINY, "seed": 8})["id"]
    put = house.client.put("/api/v1/contests/oppo/views/beside", json={"against": one})
    assert put.status_code == 200
    (row,) = house.throw(one)["rows"]
    assert row["remarks"] == [
        f"cloned from it, and without a parent then: {child}",
        "the view beside compares with it, and then with none",
    ]
    assert house.post("/empty")["done"] == [one]
    assert house.client.get(f"/experiments/{child}").status_code == 200
    assert house.client.get(f"/api/v1/experiments/{child}").json()["parent_id"] is None
    view = house.client.get("/api/v1/contests/oppo/views").json()[0]
    opened = house.client.get(f"/contests/oppo?{view['query']}&saved=true")
    assert opened.status_code == 200
    assert f"against={one}" in opened.text.split('role="status"')[1].split("</p>")[0]


def test_a_score_is_never_lost(house: House) -> None:
    one, two = house.experiment({}, seed=1), house.experiment({}, seed=2)
    score = house.client.post(f"/api/v1/experiments/{two}/online-scores", json={"value": 0.8778, "note": "board A"})
    assert score.status_code == 201
    house.throw(one, two)
    emptied = house.post("/empty")
    assert emptied["done"] == [one]
    assert emptied["left"] == {str(two): "it has online scores (0.8778): tick it to remove it all the same"}
    assert house.post("/empty", with_scores=[two])["done"] == [two]
    removed = house.client.get(f"{TRASH}/removed").json()
    assert {row["id"] for row in removed} == {one, two}
    kept = next(row for row in removed if row["id"] == two)
    online = [score for score in kept["scores"] if score["split"] == "online"]
    assert [(score["value"], score["note"]) for score in online] == [(0.8778, "board A")]
    assert kept["config"]["seed"] == 2
    assert kept["removed_by"] == "local"
    lines = list(
        csv.DictReader(io.StringIO(house.client.get("/contests/oppo/trash/removed.csv").text.lstrip("\ufeff")))
    )
    assert ("0.8778", "board A") in {(line["value"], line["remark"]) for line in lines}
    # its number is not given again, whatever the database
    assert experiment_over_http(house.client, config={**TINY, "seed": 4})["id"] > two


def test_the_pages(house: House) -> None:
    one = house.experiment({"model.bin": b"1" * 2_000_000}, seed=1)
    two = house.experiment({"model.bin": b"2"}, seed=2)
    house.client.post(f"/api/v1/experiments/{two}/online-scores", json={"value": 0.8778})
    house.archive(one, two)
    go = house.client.post("/contests/oppo/selection?archived=true", data={"ids": [one, two], "action": "trash"})
    assert go.headers["location"] == f"/contests/oppo/trash?ids={one},{two}"
    html = house.client.get(go.headers["location"]).text
    assert "Put 2 rows into the trash?" in html
    assert "frees 2.0 MB more" in html
    house.client.post("/contests/oppo/trash", data={"ids": [one, two], "action": "throw"})
    html = house.client.get("/contests/oppo/trash").text
    assert "2 rows are in the trash; emptying it frees 2.0 MB more." in html
    assert "Emptying frees 2.0 MB." in html
    assert "also row 2, which was scored online</label>" not in html  # the score itself stands there, too
    assert "also row 2, which was scored online: 0.87780" in html
    board = house.client.get("/contests/oppo?archived=true").text
    assert "2 in the trash" in board
    assert "Nothing lies in the archive" in board
    house.client.post("/contests/oppo/trash", data={"ids": [two], "action": "undo"})
    assert "1 row is in the archive again." in house.client.get("/contests/oppo/trash").text
    assert "row 2" in house.client.get("/contests/oppo?archived=true").text
    house.client.post("/contests/oppo/trash/empty")
    html = house.client.get("/contests/oppo/trash").text
    assert "1 row is removed for good; 2.0 MB are freed." in html
    assert "The trash is empty." in html
    house.client.post("/contests/oppo/trash", data={"action": "throw"})
    assert "no row is selected" in house.client.get("/contests/oppo/trash").text
    assert house.client.get("/contests/oppo/trash?ids=x").status_code == 422
    assert house.client.get("/contests/oppo/trash?ids=999").status_code == 404


def test_a_crash_before_the_files_go_leaves_them_to_gc(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    one = house.experiment({"model.bin": b"1" * 70}, seed=1)
    house.throw(one)
    before = house.bytes_on_disk()

    def crash(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(retention, "remove_files", crash)
    with pytest.raises(SystemExit):
        trash.empty(house.database, house.storage, "oppo", "ann", with_scores=())
    monkeypatch.undo()
    assert house.bytes_on_disk() == before
    settings = house.settings.model_copy(update={"retain_unnamed_hours": 0})
    monkeypatch.setattr("app.storage.NEW_FOR_S", 0)
    for kind in gc.kinds(settings, house.database, house.storage):
        kind.remove()
    assert house.bytes_on_disk() == before - 70
    house.whole()


def test_emptied_by_two_while_a_third_shares_the_pretrain(house: House) -> None:
    """Whoever is first, nothing is half: the new experiment has its pretrain, shared or anew."""
    shared = {**TINY["pretrain"]}
    ids = [
        house.experiment({"model.bin": bytes([65 + n]) * 9}, seed=1, pretrain=shared, finetune={"num_train_epochs": n})
        for n in (1, 2, 3)
    ]
    house.throw(*ids)
    done: list[int] = []
    answers: list[int] = []
    wrong: list[BaseException] = []

    def empty() -> None:
        try:
            done.extend(trash.empty(house.database, house.storage, "oppo", "ann", with_scores=()).done)
        except BaseException as error:
            wrong.append(error)

    def ask() -> None:
        body = {"name": "new", "config": {**TINY, "seed": 1, "finetune": {"num_train_epochs": 7}}}
        answers.append(house.client.post("/api/v1/contests/oppo/experiments", json=body).status_code)

    threads = [threading.Thread(target=target) for target in (empty, ask, empty)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sorted(done) == ids  # each once
    assert answers == [201]
    house.whole()
    new = house.client.get("/api/v1/contests/oppo/leaderboard").json()["rows"][0]["id"]
    with house.database.reading() as session:
        runs = run_queries.runs_of(session, new)
        assert [run.kind for run in runs] == ["pretrain", "finetune"]
        assert [need.id for _, need in run_queries.needs_of(session, runs[1].id)] == [runs[0].id]


def test_every_table_that_refers_to_a_row_or_a_run_is_known(house: House) -> None:
    """A table that is added later must be thought of here, or emptying the trash fails on its foreign key."""
    known = {
        *("attempts", "artifacts", "curve_pieces", "experiment_fields", "experiment_runs", "experiment_tags"),
        *("experiments", "run_events", "run_needs", "scores", "sealed_uploads", "submissions", "trash"),
        "written_files",
    }
    targets = {"experiments", "runs", "attempts"}
    found = {
        table.name
        for table in Base.metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table.name in targets
    }
    assert found == known
