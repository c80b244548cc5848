"""What speaks for a row's numbers: reloading, exchanged sides, data, code, seeds; on the table, a page and by REST."""

import statistics
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import event
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from app.contests import queries as contest_queries
from app.contests.models import Contest
from app.db import clock
from app.errors import Refused
from app.experiments.models import Experiment
from app.leaderboard.checks import Check, checks
from app.leaderboard.importing import import_table
from app.leaderboard.queries import ranked
from app.leaderboard.search import CHECKS
from app.runs import intake, queries, service
from app.storage import Storage
from ml.contract.events import EventBatch, Failed, Finished, Scored, Started, SwapConsistency, Verified
from ml.contract.experiment import ExperimentConfig, merge
from ml.contract.scores import Scores
from tests.app.test_chinese_pages import english_in
from tests.factories import TINY, contest_over_http, make_contest, make_experiment, make_file, storage_in

LEASE = timedelta(seconds=60)
SWAP = SwapConsistency(rows=30, difference=0.0123, roc_auc=0.81)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return storage_in(tmp_path)


@pytest.fixture
def contest(session: Session, storage: Storage) -> Contest:
    made = make_contest(session, "Oppo")
    make_file(session, storage, made)
    return made


def started(code: str) -> Started:
    told = {"device": "cpu", "device_name": "chip", "threads": 1, "python": "3.11", "torch": "2", "transformers": "5"}
    return Started(code_version=code * 16, **told)


def ended(
    session: Session,
    contest: Contest,
    name: str,
    *,
    auc: float = 0.8,
    code: str = "a",
    swap: SwapConsistency | None = SWAP,
    failed: str = "",
    **changes: object,
) -> Experiment:
    """An experiment whose trainings told this."""
    config = ExperimentConfig.model_validate(merge({**TINY, "pretrain": None}, changes))
    experiment, runs = make_experiment(session, contest, name, config)
    scores = Scores(roc_auc=auc, accuracy=0.7, f1=0.6, log_loss=0.5)
    for run in runs:
        service.claim(session, run.id, worker="w1", boot_id="boot-one", lease=LEASE)
        attempt = queries.current_attempt(session, run)
        assert attempt is not None
        good = (Verified(rows=9, predictions_sha256="ab" * 32, swap=swap),) if run.kind == "finetune" else ()
        last = (Failed(reason=failed),) if failed else (*good, Scored(split="valid", rows=9, scores=scores))
        events = (started(code), *last, *(() if failed else (Finished(seconds=1),)))
        intake.store(session, run, attempt, EventBatch(first=1, events=events), LEASE, clock(session))
    return experiment


def of(session: Session, contest: Contest, row: Experiment, against: int | None = None) -> dict[str, Check]:
    return {check.key: check for check in checks(session, contest, [row.id], against)[row.id]}


def test_a_row_that_is_as_the_others(session: Session, contest: Contest) -> None:
    rows = [ended(session, contest, f"seed {seed}", auc=0.8 + seed / 100, seed=seed) for seed in (1, 2, 4)]
    found = of(session, contest, rows[0])
    assert {key: check.state for key, check in found.items()} == {
        "reloaded": "good",
        "swap": "told",
        "data": "good",
        "code": "good",
        "seeds": "told",
    }
    assert "gave its 9 predictions again, to the bit" in found["reloaded"].why
    assert found["swap"].text == "swap 0.0123"
    assert "the AUC is 0.81000 (on 30 valid rows, at most 2,000 of each training)" in found["swap"].why
    spread = statistics.stdev([0.81, 0.82, 0.84])
    assert found["seeds"].text == f"3 seeds ± {spread:.5f}"
    assert f"valid 0.82333 ± {spread:.5f}" in found["seeds"].why
    assert "most of the table's newest 500 rows (aaaaaaaaaaaa)" in found["code"].why


def test_what_differs_is_said(session: Session, storage: Storage, contest: Contest) -> None:
    usual = [ended(session, contest, f"seed {seed}", seed=seed) for seed in (1, 2, 3)]
    make_file(session, storage, contest, rows=61)
    other = ended(session, contest, "other", code="b", seed=4)
    found = of(session, contest, other)
    assert (found["data"].state, found["data"].text) == ("differs", "other data")
    assert (found["code"].state, found["code"].text) == ("differs", "other code")
    assert "bbbbbbbbbbbb; most of the table's newest 500 rows by aaaaaaaaaaaa" in found["code"].why
    assert found["seeds"].text == "1 seed", "of another file it is no seed of the others"
    assert of(session, contest, usual[0], against=other.id)["code"].why.endswith(f"row {other.id} by bbbbbbbbbbbb")
    assert of(session, contest, other, against=other.id)["data"].state == "good"


def test_another_field_than_the_seed_makes_another_family(session: Session, contest: Contest) -> None:
    """A learning rate, which the likeness of runs does not tell."""
    one = ended(session, contest, "one", seed=1)
    ended(session, contest, "two", seed=2, finetune={"learning_rate": 2e-3})
    assert of(session, contest, one)["seeds"].text == "1 seed"
    ended(session, contest, "three", seed=2)
    assert of(session, contest, one)["seeds"].text.startswith("2 seeds ± 0.0000")


def test_trainings_of_a_row_count_by_their_rows(session: Session, contest: Contest) -> None:
    folds = ended(session, contest, "folds", data={"folds": 2}, seed=5)
    found = of(session, contest, folds)
    assert "its 18 predictions" in found["reloaded"].why
    assert "on 60 valid rows" in found["swap"].why
    plain = ended(session, contest, "nothing of it", swap=None, seed=6)
    assert "swap" not in of(session, contest, plain)


def test_a_model_that_reloads_otherwise(session: Session, contest: Contest) -> None:
    reason = "the saved model does not predict the same in a fresh process: 3 of 9 valid rows differ, 3 times in turn"
    broken = ended(session, contest, "broken", failed=reason)
    found = of(session, contest, broken)
    assert (found["reloaded"].state, found["reloaded"].text) == ("differs", "reloads otherwise")
    import_table(session, "oppo", "| experiment | valid |\n|-|-|\n| elsewhere | 0.5 |\n")
    assert checks(session, contest, [broken.id + 1])[broken.id + 1] == []


def test_the_table_the_page_and_rest_show_them(client: TestClient, app: FastAPI) -> None:
    contest_over_http(client)
    with app.state.database.writing() as session:
        contest = contest_queries.contest(session, "oppo")
        one, two = (ended(session, contest, f"row {seed}", seed=seed).id for seed in (1, 2))
    assert "chip good" not in client.get("/contests/oppo").text
    for path in ("/contests/oppo?show=checks", "/contests/oppo/rows?show=checks"):
        page = client.get(path)
        assert page.status_code == 200
        assert page.text.count('<span class="chip good" title="a fresh process loaded the saved model') == 2
        assert page.text.count("2 seeds ± 0.00000") == 2
    assert "reloads, swap 0.0123, same data" in client.get("/contests/oppo/leaderboard.md?show=checks").text
    page = client.get(f"/experiments/{one}")
    assert "<h2>Checks</h2>" in page.text
    assert "a fresh process loaded the saved model and gave its 9 predictions again, to the bit" in page.text
    assert "Sides exchanged, a probability changes by 0.0123" in page.text
    read = client.get(f"/api/v1/contests/oppo/leaderboard/checks?ids={one},{two}&against={two}").json()
    assert [check["key"] for check in read[str(one)]] == ["reloaded", "swap", "data", "code", "seeds"]
    assert client.get(f"/api/v1/contests/oppo/leaderboard/checks?ids={one},99").status_code == 404
    for path in ("/contests/oppo?show=checks", f"/experiments/{one}"):
        assert english_in(client.get(path, headers={"Accept-Language": "zh"}).text) == []


def test_sorted_and_searched_by_them(session: Session, storage: Storage, contest: Contest) -> None:
    """As the cells say it; rows of which nothing is known come last, whichever way."""
    good = [ended(session, contest, f"good {seed}", seed=seed).id for seed in (1, 2, 3)]
    unproven = ended(session, contest, "old code", code="b", swap=None, seed=4).id
    reason = "the saved model does not predict the same in a fresh process: 3 of 9 valid rows differ, 3 times in turn"
    broken = ended(session, contest, "broken", failed=reason, seed=5).id
    make_file(session, storage, contest, rows=61)
    swap = SwapConsistency(rows=30, difference=0.25, roc_auc=0.7)
    both = ended(session, contest, "other file and code", code="b", swap=swap, seed=6).id
    import_table(session, "oppo", "| experiment | valid |\n|-|-|\n| elsewhere | 0.5 |\n")
    elsewhere = both + 1

    def found(search: str = "", sort: str = "id", against: int | None = None) -> list[int]:
        return [row.id for row in ranked(session, contest, sort=sort, search=search, against=against).rows]

    assert found(sort="-checks") == [both, broken, unproven, *reversed(good), elsewhere]
    assert found(sort="checks,id") == [*good, unproven, broken, both, elsewhere]
    assert found(sort="-swap,id") == [both, *good, unproven, broken, elsewhere]
    expected = {
        "reloads": {"reloaded": "good"},
        "reloads-otherwise": {"reloaded": "differs"},
        "same-data": {"data": "good"},
        "other-data": {"data": "differs"},
        "same-code": {"code": "good"},
        "other-code": {"code": "differs"},
        "swap": {"swap": "told"},
    }
    assert {*expected, "differs"} == set(CHECKS)
    for against in (None, both, elsewhere):
        cells = checks(session, contest, [*good, unproven, broken, both, elsewhere], against)
        for word, wanted in expected.items():
            own = [number for number, row in cells.items() if wanted.items() <= {c.key: c.state for c in row}.items()]
            assert found(f"check:{word}", against=against) == own, (word, against)
            assert set(found(f"-check:{word}", against=against)) == set(cells) - set(own)
        differs = [number for number, row in cells.items() if any(check.state == "differs" for check in row)]
        assert found("check:differs", against=against) == differs
        assert found("check!=differs", against=against) == [number for number in cells if number not in differs]
    assert found("swap>0.1") == [both]
    with pytest.raises(Refused, match="the checks are differs, reloads"):
        found("check:seeds")


def test_the_plain_table_does_not_read_them(session: Session, contest: Contest) -> None:
    ended(session, contest, "one")
    told: list[str] = []
    event.listen(session, "do_orm_execute", lambda state: told.append(str(state.statement)))
    ranked(session, contest, sort="-valid", search="valid>0.1")
    assert told
    assert not [statement for statement in told if "contest_files" in statement or "swap" in statement]
    ranked(session, contest, sort="checks")
    assert [statement for statement in told if "contest_files" in statement and "swap" in statement]
