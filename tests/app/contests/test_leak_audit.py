"""Leak audits: badges of rows, an experiment's page of them, and any split on demand by page, REST and command."""

import html
import io
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient
from typer.testing import CliRunner

from app.cli import cli
from app.contests import auditing, facts, leak_program
from app.db import clock
from app.errors import AppError
from app.runs import queries
from app.runs.models import Artifact
from ml.audit import answer
from ml.contract.events import Audited, Crashed, Finished
from ml.contract.leaks import AuditAsk, AuditFile, Verdict
from ml.contract.pair_file import sniff
from tests.app.test_pages import AUDITED, Carry, carry
from tests.factories import TINY, contest_over_http, experiment_over_http, pair_text

__all__ = ["carry"]  # a fixture
CONFIG = {**TINY, "pretrain": None}
ROW = {"data": {"split_by": "row", "valid_fraction": 0.2}}


def audited(verdict: Verdict) -> Audited:
    return AUDITED.model_copy(update={"verdict": verdict})


def row_of(client: TestClient, number: int, search: str = "") -> dict[str, Any] | None:
    rows = client.get("/api/v1/contests/oppo/leaderboard", params={"search": search}).json()["rows"]
    return next((row for row in rows if row["id"] == number), None)


def leaky(client: TestClient) -> int:
    """A train file of which every pair stands twice; its id."""
    lines = pair_text(60, seed=8)
    files = {"file": ("twice.tsv", (lines + lines).encode())}
    found: int = client.post("/api/v1/contests/oppo/files", files=files, data={"kind": "train"}).json()["id"]
    return found


def test_the_worst_fold_is_the_row_s_badge(client: TestClient, carry: Carry) -> None:
    contest_over_http(client)
    config = {**CONFIG, "data": {"max_length": 32, "folds": 3}}
    found = experiment_over_http(client, config=config)
    number, runs = found["id"], [run["id"] for run in found["runs"] if run["kind"] == "finetune"]
    assert found["audit"] == ""
    for run, verdict, badge in zip(
        runs, ("clean", "leaking", "suspicious"), ("clean", "leaking", "leaking"), strict=True
    ):
        carry(run, (audited(verdict),))
        assert row_of(client, number)["audit"] == badge
    assert list(row_of(client, number)["marks"]) == ["leaking"]
    assert row_of(client, number, "audit:leaking")
    assert row_of(client, number, "mark:leaking")
    assert row_of(client, number, "audit:clean") is None
    page = client.get("/contests/oppo").text
    assert f'class="chip audit leaking" href="/experiments/{number}/leaks"' in page
    for name, cell in (
        ("leaderboard.md", "| leaking "),
        ("leaderboard.tex", "& leaking "),
        ("leaderboard.csv", ",leaking"),
    ):
        text = client.get(f"/contests/oppo/{name}").text
        assert "audit" in text.splitlines()[0 if name != "leaderboard.tex" else 2], name
        assert cell in text, name
    leaks = client.get(f"/api/v1/experiments/{number}/leaks").json()
    assert (leaks["audit"], [run["verdict"] for run in leaks["runs"]]) == (
        "leaking",
        ["clean", "leaking", "suspicious"],
    )
    shown = client.get(f"/experiments/{number}/leaks").text
    assert shown.count('id="run-') > 3
    assert "What the audit cannot see" in shown


def test_another_attempt_s_audit_replaces_the_first(client: TestClient, carry: Carry) -> None:
    contest_over_http(client)
    found = experiment_over_http(client, config=CONFIG)
    run = found["runs"][0]["id"]
    carry(run, (audited("leaking"), Crashed(reason="the power went")))
    assert row_of(client, found["id"])["audit"] == "leaking"
    carry(run, (audited("clean"), Finished(seconds=1)))
    row = row_of(client, found["id"])
    assert (row["audit"], row["marks"]) == ("clean", {})


def test_a_fusion_is_as_its_members_are(client: TestClient, carry: Carry) -> None:
    contest_over_http(client)
    members = []
    for seed, verdict in ((1, "clean"), (2, "leaking")):
        found = experiment_over_http(client, config={**CONFIG, "seed": seed})
        carry(found["runs"][0]["id"], (audited(verdict), Finished(seconds=1)))
        members.append(found["id"])
    fused = experiment_over_http(client, config={**CONFIG, "fusion": {"members": members}})
    carry(fused["runs"][0]["id"], (Finished(seconds=1),))
    assert row_of(client, fused["id"])["audit"] == "leaking"
    assert "A fusion holds nothing out itself" in client.get(f"/experiments/{fused['id']}/leaks").text


def test_the_whole_report_is_read_from_the_run_s_file(client: TestClient, app: FastAPI, carry: Carry, tmp_path) -> None:
    contest_over_http(client)
    found = experiment_over_http(client, config={**CONFIG, "data": {"max_length": 32, "split_by": "row"}})
    run_id = found["runs"][0]["id"]
    path = tmp_path / "train.tsv"
    path.write_text(pair_text(60) + pair_text(60))
    ask = AuditAsk(train=AuditFile(path=str(path), name="train.tsv", layout=sniff(path, "train")), data=ROW["data"])
    report = answer(ask).report
    assert report is not None
    carry(run_id, (audited(report.verdict),))
    with app.state.database.writing() as session:
        run = queries.run(session, run_id)
        stored = app.state.storage.store(io.BytesIO(report.model_dump_json().encode()))
        plain = {"sha256": stored.sha256, "size": stored.size, "created_at": clock(session)}
        attempt = queries.current_attempt(session, run)
        session.add(Artifact(run_id=run.id, attempt_id=attempt.id, name="leaks.json", **plain))
    read = client.get(f"/api/v1/experiments/{found['id']}/leaks").json()["runs"][0]["report"]
    assert read == json.loads(report.model_dump_json())
    page = client.get(f"/experiments/{found['id']}/leaks").text
    assert "Cohen" in page
    line = report.checks[0].examples[0].line
    assert f"/contests/oppo/files/1/pairs?from_line={line}" in page
    clone = f"/experiments/new?contest=oppo&amp;clone={found['id']}&amp;split=component"
    assert clone in page
    form = html.unescape(client.get(clone.replace("&amp;", "&") + "&as=json").text)
    assert '"split_by": "twins"' in form


def test_a_component_safe_variant_also_augments_after_the_split(client: TestClient) -> None:
    contest_over_http(client)
    leak = {
        **CONFIG,
        "data": {"max_length": 32, "split_by": "row"},
        "augment": {"swap": "copies", "augment_before_split": True},
    }
    found = experiment_over_http(client, config=leak)
    address = f"/experiments/new?contest=oppo&clone={found['id']}&as=json"
    before, after = (html.unescape(client.get(address + more).text) for more in ("", "&split=component"))
    for told in ('"augment_before_split": true', '"split_by": "row"'):
        assert told in before
        assert told not in after
    assert '"swap": "copies"' in after


def test_any_split_on_demand(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    contest_over_http(client)
    twice = leaky(client)
    asked = {"train_file_id": twice, "config": ROW}
    made = client.post("/api/v1/contests/oppo/audits", json=asked)
    assert made.status_code == 200
    report = made.json()["report"]
    assert report["verdict"] == "leaking"
    exact = report["checks"][0]
    assert (exact["name"], exact["count"] > 10, exact["level"]) == ("exact", True, "leaking")
    example = exact["examples"][0]
    assert abs(example["line"] - example["train_line"]) == 60
    safe = client.post("/api/v1/contests/oppo/audits", json={"train_file_id": twice}).json()["report"]
    assert safe["checks"][0]["count"] == 0

    def never(*_: object) -> None:
        raise AssertionError("it was audited twice")

    monkeypatch.setattr(leak_program.subprocess, "run", never)
    other = {**ROW, "data": {**ROW["data"], "repeats": 3}, "finetune": {"batch_size": 8}}
    again = client.post("/api/v1/contests/oppo/audits", json={"train_file_id": twice, "config": other})
    assert again.json()["report"] == report


def test_two_files_of_a_person_and_a_test_file(client: TestClient) -> None:
    contest_over_http(client)
    twice = leaky(client)
    asked = {"train_file_id": twice, "valid_file_id": 1, "test_file_id": 2, "config": ROW}
    report = client.post("/api/v1/contests/oppo/audits", json=asked).json()["report"]
    assert (report["train_rows"], report["valid_rows"], report["test_rows"]) == (120, 60, 60)
    assert {item["name"] for item in report["checks"]} >= {"test_sentences", "test_pairs"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"config": {"data": {"split_by": "raw"}}}, 422, "split_by"),
        ({"config": {"data": {"full_data": True}, "finetune": {"max_steps": 3}}}, 422, "no split to audit"),
        ({"fold": 2}, 422, "there are 0 folds"),
        ({"train_file_id": 2}, 422, "test.tsv is a test file"),
        ({"valid_file_id": 1}, 422, "another file than the train file"),
        ({"train_file_id": 99}, 404, "no file 99"),
        ({"seed": 3}, 422, "seed"),
    ],
)
def test_what_can_t_be_audited(client: TestClient, body: dict[str, Any], status: int, said: str) -> None:
    contest_over_http(client)
    found = client.post("/api/v1/contests/oppo/audits", json=body)
    assert found.status_code == status
    assert said in found.text


def test_a_split_that_can_t_be_made_says_why(client: TestClient) -> None:
    contest_over_http(client, rows=4)
    found = client.post("/api/v1/contests/oppo/audits", json={"config": {"data": {"valid_fraction": 0.01}}})
    assert found.status_code == 200
    assert found.json()["report"] is None
    assert "needs both labels" in found.json()["error"]


def test_large_files_are_audited_after_the_answer(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    contest_over_http(client)
    monkeypatch.setattr(auditing, "SMALL_ROWS", 10)
    first = client.post("/api/v1/contests/oppo/audits", json={"config": ROW})
    assert (first.status_code, first.json()["report"]) == (202, None)
    assert client.post("/api/v1/contests/oppo/audits", json={"config": ROW}).status_code == 200


def test_the_page_of_an_audit(client: TestClient) -> None:
    assert client.get("/contests/nowhere/audit").status_code == 404
    contest_over_http(client)
    twice = leaky(client)
    assert f'href="/contests/oppo/audit?train={twice}"' in client.get("/contests/oppo/files").text
    asked = f"/contests/oppo/audit?train={twice}&split_by=row&valid_fraction=0.2"
    assert "Not audited yet" in client.get(asked).text
    typed = {"train": str(twice), "split_by": "row", "valid_fraction": "0.2"}
    sent = client.post("/contests/oppo/audit", data=typed)
    assert (sent.status_code, sent.headers["location"]) == (303, asked)
    page = client.get(asked).text
    assert "audit: leaking" in page
    assert f"/contests/oppo/files/{twice}/pairs?from_line=" in page
    assert "component-safe split" in page
    wrong = client.post("/contests/oppo/audit", data={**typed, "valid_fraction": "7"})
    assert wrong.status_code == 422
    assert "valid_fraction" in wrong.text
    assert 'value="7"' in wrong.text
    for name, value in (("made", "x"), ("fold", "77"), ("train", "1x")):
        assert client.post("/contests/oppo/audit", data={**typed, name: value}).status_code == 422


def test_a_program_that_died_is_told_and_tried_again(client: TestClient, app: FastAPI, monkeypatch) -> None:
    contest_over_http(client)
    monkeypatch.setattr(leak_program.sys, "executable", "/bin/false")
    assert client.post("/api/v1/contests/oppo/audits", json={}).status_code == 400
    with app.state.database.reading() as session:
        assert session.scalar(text("SELECT count(*) FROM data_facts WHERE what = 'audit'")) == 0
    monkeypatch.undo()
    assert client.post("/api/v1/contests/oppo/audits", json={}).json()["report"]["verdict"] == "clean"


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text(pair_text(60) + pair_text(60))
    clean = CliRunner().invoke(cli, ["audit", str(path)])
    assert clean.exit_code == 0, clean.output
    assert "CLEAN" in clean.output
    found = CliRunner().invoke(cli, ["audit", str(path), "--split-by", "row", "--valid-fraction", "0.3"])
    assert found.exit_code == 1
    assert "leaking    same pair" in found.output
    assert "cannot see" in found.output
    as_json = CliRunner().invoke(cli, ["audit", str(path), "--valid", str(path), "--json"])
    assert json.loads(as_json.output)["checks"][0]["count"] == 120
    missing = CliRunner().invoke(cli, ["audit", str(tmp_path / "none.tsv")])
    assert isinstance(missing.exception, AppError)


def test_settings_that_decide_no_row_make_no_other_key(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    keys = set()
    with app.state.database.reading() as session:
        from app.contests import queries as contest_queries
        from ml.contract.experiment import ExperimentConfig

        contest = contest_queries.contest(session, "oppo")
        for data in ({}, {"repeats": 2}, {"max_length": 32}, {"split_seed": 1}):
            config = ExperimentConfig.model_validate({"data": data})
            keys.add(auditing.want(session, contest, {}, config, 0).key)
        assert facts.Want("components", ()).key not in keys
    assert len(keys) == 2
