"""Queueing, reading and editing experiments over REST, and the leaderboard they stand on."""

import copy
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from ml.contract.presets import preset
from tests.factories import TINY, contest_over_http, experiment_over_http


@pytest.fixture
def slug(client: TestClient) -> str:
    return contest_over_http(client)


def refusal(client: TestClient, body: dict[str, Any], status: int = 422) -> dict[str, Any]:
    answer = client.post("/api/v1/contests/oppo/experiments", json=body)
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_a_preset_with_changes(client: TestClient, slug: str) -> None:
    found = experiment_over_http(client, slug, preset="demo", config={"finetune": {"num_train_epochs": 1}, "seed": 9})
    expected = preset("demo").model_dump(mode="json")
    expected["finetune"]["num_train_epochs"], expected["seed"] = 1, 9
    assert found["config"] == expected
    assert [run["status"] for run in found["runs"]] == ["queued", "queued"]
    assert client.get(f"/api/v1/experiments/{found['id']}").json()["fingerprint"] == found["fingerprint"]


def test_the_same_again_is_said(client: TestClient, slug: str) -> None:
    first, second = experiment_over_http(client, slug), experiment_over_http(client, slug, name="again")
    assert second["same_as"] == [first["id"]]
    assert second["runs"][0]["id"] == first["runs"][0]["id"]  # the pretrain, queued once


def test_each_wrong_field_is_named(client: TestClient, slug: str) -> None:
    config = copy.deepcopy(TINY)
    config["encoder"]["hidden_size"] = 33
    config["finetune"]["learing_rate"] = 1
    config["seed"] = "x"
    error = refusal(client, {"name": "a", "config": config})
    fields = {item["field"]: item["message"] for item in error["fields"]}
    assert fields["finetune.learing_rate"] == "there is no such field: did you mean finetune.learning_rate?"
    assert "not a multiple of num_attention_heads" in fields["encoder"]
    assert "seed" in fields
    assert refusal(client, {"name": "a", "preset": "demmo"})["fields"][0]["value"] == "demmo"
    assert "1 to 200 printable" in refusal(client, {"name": "  "})["message"]
    assert refusal(client, {"name": "a", "train_file_id": 99}, 404)
    assert refusal(client, {"nam": "a"})["fields"]


def test_a_folder_without_weights_is_refused_before_anything_is_queued(
    client: TestClient, slug: str, tmp_path: Path
) -> None:
    def told(**encoder: str) -> dict[str, str]:
        error = refusal(client, {"name": "a", "config": {"encoder": {"weights": str(tmp_path), **encoder}}})
        return {item["field"]: item["message"] for item in error["fields"]}

    assert "there is no folder '/nowhere'" in told(weights="/nowhere")["encoder.weights"]
    assert "has no config.json" in told()["encoder.weights"]
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    assert "has no model.safetensors" in told()["encoder.weights"]
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "holds weights of type 'roberta'" in told()["encoder.model_type"]
    assert client.get(f"/api/v1/contests/{slug}/leaderboard").json()["total"] == 0
    assert experiment_over_http(client, slug, config={"encoder": {"weights": str(tmp_path), "model_type": "roberta"}})


@pytest.mark.parametrize(
    ("config", "field", "allowed"),
    [
        ({"data": {"folds": 1}}, "data.folds", "2 to 20"),
        ({"pretrain": {"mlm_probability": 1.5}}, "pretrain.mlm_probability", "less than or equal to 0.8"),
        ({"pretrain": {"ngram_probabilities": [0.5, 0.2]}}, "pretrain.ngram_probabilities", "sum to 1"),
        ({"finetune": {"heads": "mean"}}, "finetune.heads", "there is no such field"),
        ({"finetune": {"head": "first"}}, "finetune.head", "'cls', 'all', 'mean'"),
        ({"fusion": {"members": [10**6, 10**6 + 1]}}, "fusion.members", "has no experiment 1000000"),
        ({"pretrain": {"unlabelled": True}}, "pretrain.unlabelled", "upload one"),
    ],
)
def test_bad_configs_are_refused_with_field_and_range(
    client: TestClient, slug: str, config: dict[str, Any], field: str, allowed: str
) -> None:
    error = refusal(client, {"name": "a", "config": config})
    assert [(item["field"], allowed in item["message"]) for item in error["fields"]] == [(field, True)], error
    assert client.get(f"/api/v1/contests/{slug}/leaderboard").json()["total"] == 0


def test_a_preset_takes_a_size(client: TestClient, slug: str) -> None:
    found = experiment_over_http(client, slug, preset="note-06", size="tiny", config={})
    assert found["config"]["encoder"]["hidden_size"] == 128
    assert set(found["marks"]) == {"leaking"}
    assert refusal(client, {"name": "a", "preset": "demo", "size": "vast"})["fields"][0]["field"] == "size"


def test_without_a_train_file(client: TestClient) -> None:
    client.post("/api/v1/contests", json={"name": "Empty", "slug": "oppo"})
    assert "has no train file yet" in refusal(client, {"name": "a"})["message"]


def test_name_and_note_can_be_edited_and_nothing_else(client: TestClient, slug: str) -> None:
    found = experiment_over_http(client, slug)
    url = f"/api/v1/experiments/{found['id']}"
    edited = client.patch(url, json={"name": "better name", "note": "why"}).json()
    assert (edited["name"], edited["note"]) == ("better name", "why")
    assert edited["config"] == found["config"]
    assert client.patch(url, json={"name": "x", "config": {}}).status_code == 422


def test_sorting(client: TestClient, slug: str) -> None:
    ids = [experiment_over_http(client, slug, name=name)["id"] for name in ("b", "a", "c")]
    for number, value in zip(ids, (0.5, 0.9), strict=False):
        client.post(f"/api/v1/experiments/{number}/online-scores", json={"value": value})

    def names(sort: str) -> list[str]:
        rows = client.get(f"/api/v1/contests/{slug}/leaderboard", params={"sort": sort}).json()["rows"]
        return [row["name"] for row in rows]

    assert names("-online") == ["a", "b", "c"]
    assert names("online") == ["b", "a", "c"]  # without a score always last
    assert names("name") == ["a", "b", "c"]
    assert names("") == ["c", "a", "b"]
    wrong = client.get(f"/api/v1/contests/{slug}/leaderboard", params={"sort": "auc"})
    assert wrong.status_code == 422
    assert "choose one of name, train, valid, online" in wrong.json()["error"]["message"]


def test_pages_of_the_table_say_how_many_there_are(client: TestClient, slug: str) -> None:
    for number in range(3):
        experiment_over_http(client, slug, name=f"row {number}")
    page = client.get(f"/api/v1/contests/{slug}/leaderboard", params={"limit": 2, "offset": 2}).json()
    assert (page["total"], page["offset"], len(page["rows"])) == (3, 2, 1)


def test_downloads(client: TestClient, slug: str) -> None:
    experiment_over_http(client, slug, name="=cmd|'x'")
    table = client.get(f"/contests/{slug}/leaderboard.csv")
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    assert "'=cmd|'x'" in table.text
    assert "cmd\\|" in client.get(f"/contests/{slug}/leaderboard.md").text


def test_docs_work_offline(client: TestClient) -> None:
    page = client.get("/docs").text
    assert "http://" not in page.replace("http://127.0.0.1", "")
    assert "cdn" not in page
    for path in ("/swagger/swagger-ui-bundle.js", "/swagger/swagger-ui.css", "/static/icon.svg"):
        assert path in page
        assert client.get(path).status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/api/v1/contests",
        "/api/v1/contests/{slug}/files",
        "/api/v1/contests/{slug}/experiments",
        "/api/v1/experiments/{experiment_id}",
        "/api/v1/experiments/{experiment_id}/online-scores",
        "/api/v1/contests/{slug}/leaderboard",
        "/health",
    } <= set(paths)
