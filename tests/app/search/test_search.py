"""Search over every contest: names, notes, tags, configs, numbers; by page and REST."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.errors import Refused
from app.experiments import service as experiments
from app.experiments.models import Experiment
from app.runs import queries
from app.search.everything import everything, marked
from app.storage import Storage
from ml.contract.experiment import ExperimentConfig
from tests.factories import (
    TINY,
    contest_over_http,
    experiment_over_http,
    make_contest,
    make_experiment,
    make_file,
    storage_in,
)


@pytest.fixture
def made(session: Session, storage_of: Storage) -> dict[str, Experiment]:
    found = {}
    for slug in ("Oppo", "Ali"):
        contest = make_contest(session, slug)
        make_file(session, storage_of, contest)
        for name, model in (("plain", "bert"), ("wide", "nezha")):
            config = {**TINY, "encoder": {**TINY["encoder"], "model_type": model}, "pretrain": None}
            experiment, _ = make_experiment(session, contest, f"{slug} {name}", ExperimentConfig.model_validate(config))
            found[experiment.name] = experiment
    experiments.edit(session, found["Ali wide"], name="Ali wide", note="the Lookahead trick, 学习率 变小")
    experiments.put_tag(session, found["Oppo plain"], "to-send")
    session.flush()
    return found


@pytest.fixture
def storage_of(tmp_path: Path) -> Storage:
    return storage_in(tmp_path)


def names(session: Session, text: str) -> list[str]:
    return sorted(hit.row.name for item in everything(session, text).inside for hit in item.rows)


def test_words_stand_in_names_notes_tags_and_configs(session: Session, made: dict[str, Experiment]) -> None:
    assert names(session, "wide") == ["Ali wide", "Oppo wide"]
    assert names(session, "lookahead") == ["Ali wide"]
    assert names(session, "学习率") == ["Ali wide"]
    assert names(session, "to-send") == ["Oppo plain"]
    assert names(session, "nezha") == ["Ali wide", "Oppo wide"]
    assert names(session, "nezha -lookahead") == ["Oppo wide"]
    assert names(session, "encoder.model_type:bert ali") == ["Ali plain"]
    assert names(session, "bert") == [], "what a field is set to by itself says nothing"
    assert everything(session, "nothing-like-this").nothing


def test_what_matched_is_said(session: Session, made: dict[str, Experiment]) -> None:
    (item,) = everything(session, "lookahead").inside
    (hit,) = item.rows
    assert [[(part.text, part.hit) for part in text] for text in hit.texts] == [
        [("the ", False), ("Lookahead", True), (" trick, 学习率 变小", False)]
    ]
    settings = {hit.row.name: hit.settings for item in everything(session, "nezha").inside for hit in item.rows}
    assert settings["Oppo wide"] == ["encoder.model_type: nezha"]
    (item,) = everything(session, "send").inside
    assert [[part.text for part in tag if part.hit] for tag in item.rows[0].tags] == [["send"]]


def test_contests_files_and_numbers(session: Session, made: dict[str, Experiment]) -> None:
    found = everything(session, "oppo")
    assert [contest.slug for contest in found.contests] == ["oppo"]
    found = everything(session, "train.tsv")
    assert (len(found.files), found.file_total) == (2, 2)
    sha256 = found.files[0][0].sha256
    assert everything(session, sha256[:10]).file_total == 2, "the same bytes in both contests"
    number = made["Ali plain"].id
    for text in (f"{number}", f"#{number}", f"experiment {number}"):
        assert [item.id for item in everything(session, text).numbered] == [number]
    run = queries.runs_of(session, number)[0]
    by_run = everything(session, f"run {run.id}")
    assert ([item.id for item in by_run.numbered], by_run.run) == ([number], run.id)
    assert everything(session, "run 999999").numbered == ()
    with pytest.raises(Refused, match="is no column"):
        everything(session, "vlid>0.9")


def test_ten_of_each_contest_and_the_archive_are_said(session: Session, made: dict[str, Experiment]) -> None:
    for _ in range(12):
        make_experiment(session, contest_queries.contest(session, "oppo"), "many")
    (item,) = everything(session, "many").inside
    assert (len(item.rows), item.total, item.archived) == (10, 12, 0)


@pytest.mark.parametrize(
    ("text", "words", "pieces"),
    [
        ("abc", [], [("abc", False)]),
        ("a+b a.b", ["a.b"], [("a+b ", False), ("a.b", True)]),
        (
            "x" * 100 + "HIT" + "y" * 100,
            ["hit"],
            [("…", False), ("x" * 60, False), ("HIT", True), ("y" * 60 + "…", False)],
        ),
        ("z" * 200, ["q"], [("z" * 120 + "…", False)]),
    ],
)
def test_texts_are_cut_around_what_was_found(text, words, pieces) -> None:
    assert [(part.text, part.hit) for part in marked(text, words)] == pieces


def test_page_and_rest(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    number = experiment_over_http(client, name="<b>wide</b>")["id"]
    page = client.get("/search?q=wide").text
    assert "&lt;b&gt;<mark>wide</mark>&lt;/b&gt;" in page
    assert "Showing 1 of 1 experiments." in page
    assert 'value="wide"' in page
    assert "Nothing is found for &lt;x&gt;." in client.get("/search?q=<x>").text
    assert "Type into the box above" in client.get("/search").text
    assert f"/experiments/{number}" in client.get(f"/search?q=%23{number}").text
    wrong = client.get("/search?q=vlid>0.9")
    assert wrong.status_code == 422
    assert "is no column" in wrong.text
    read = client.get("/api/v1/search?q=wide").json()
    assert read["inside"][0]["experiments"] == [{"id": number, "name": "<b>wide</b>", "settings": []}]
    assert client.get("/api/v1/search?q=vlid>0.9").status_code == 422
    assert client.get("/api/v1/search").status_code == 422
