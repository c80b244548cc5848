"""Several values of a field make several rows: every combination or some of them, all rows or none."""

import pytest
from starlette.testclient import TestClient

from app.errors import Refused
from app.experiments.sweep import MOST_ROWS, configs, parse, variants
from ml.contract.experiment import ExperimentConfig
from tests.factories import TINY, contest_over_http, experiment_over_http
from tests.test_straight_line import flat

BASE = ExperimentConfig.model_validate(TINY)
LINES = "finetune.learning_rate = 1e-5 | 2e-5\n\n seed=1|2|3 \n"


def test_lines() -> None:
    assert parse(LINES) == {"finetune.learning_rate": ["1e-5", "2e-5"], "seed": ["1", "2", "3"]}
    assert parse(" \n") == {}
    for wrong, why in {
        "seed": "line 1: 'seed': write it as",
        "seed = 1 |": "line 1",
        "seed = 1\nseed = 2": "line 2: seed was named before",
    }.items():
        with pytest.raises(Refused, match=why):
            parse(wrong)


def test_every_combination() -> None:
    found = variants("lr", parse(LINES))
    assert [tuple(item.values.values()) for item in found] == [(a, b) for a in ("1e-5", "2e-5") for b in "123"]
    assert found[1].name == "lr: learning_rate 1e-5, seed 2"
    made = configs("lr", BASE, parse(LINES))
    assert [(config.finetune.learning_rate, config.seed) for _, config in made] == [
        (a, b) for a in (1e-5, 2e-5) for b in (1, 2, 3)
    ]
    assert all(config.encoder == BASE.encoder for _, config in made)
    words = configs("x", BASE, parse("pretrain.dynamic = on | off\npretrain.ngram_probabilities = 1 | 0.5, 0.5"))
    assert [config.pretrain.dynamic for _, config in words if config.pretrain] == [True, True, False, False]


def test_some_drawn_at_random_are_different_and_the_same_again() -> None:
    values = {"seed": list(range(100)), "finetune.learning_rate": [1e-5, 2e-5]}
    found = variants("x", values, "random", 30, seed=4)
    assert len({tuple(item.values.items()) for item in found}) == 30
    assert found == variants("x", values, "random", 30, seed=4)
    assert found != variants("x", values, "random", 30, seed=5)
    assert len(variants("x", {"seed": [1, 2]}, "random", 30)) == 2


def test_what_makes_no_rows_is_refused() -> None:
    for values, mode, rows, why in (
        ({"sed": [1]}, "grid", None, "'sed' is no field"),
        ({"seed": [1, 1]}, "grid", None, "different values"),
        ({"seed": []}, "grid", None, "at least"),
        ({}, "grid", None, "name a field"),
        ({"seed": list(range(MOST_ROWS + 1))}, "grid", None, "501 rows, and one sweep makes 500"),
        ({"seed": [1, 2]}, "random", None, "how many rows"),
    ):
        with pytest.raises(Refused, match=why):
            variants("x", values, mode, rows)
    with pytest.raises(Refused, match=r"seed -1': seed: .*greater than or equal to 0"):
        configs("x", BASE, {"seed": [1, -1]})


def test_by_form_and_rest(client: TestClient) -> None:
    contest_over_http(client)
    form = {"contest": "oppo", "name": "lr", "pretrain.enabled": "on", **flat(TINY), "sweep": LINES}
    assert "<strong>6 rows</strong>" in client.post("/experiments/preview", data=form).text
    answer = client.post("/experiments", data=form)
    assert answer.headers["location"] == "/contests/oppo?search=id:1,2,3,4,5,6"
    table = client.get(answer.headers["location"]).text
    assert "6 experiments are queued" in table
    assert "lr: learning_rate 2e-5, seed 3" in table
    runs = {run["id"] for n in range(1, 7) for run in client.get(f"/api/v1/experiments/{n}").json()["runs"]}
    assert len(runs) == 6 + 3, "a pretrain for each seed, shared by the learning rates"

    wrong = client.post("/experiments", data={**form, "sweep": "seed = 1 | many"})
    assert wrong.status_code == 422
    assert "seed many" in wrong.text
    assert "seed = 1 | many</textarea>" in wrong.text, "what was typed is kept"
    few = client.post("/experiments", data={**form, "sweep_mode": "random", "sweep_rows": "2"})
    assert few.headers["location"] == "/contests/oppo?search=id:7,8"

    body = {"name": "seeds", "config": TINY, "values": {"seed": [11, 12]}}
    assert [row["name"] for row in client.post("/api/v1/contests/oppo/experiments/sweep", json=body).json()] == [
        "seeds: seed 11",
        "seeds: seed 12",
    ]
    refused = client.post("/api/v1/contests/oppo/experiments/sweep", json={**body, "values": {"sed": [1]}})
    assert refused.status_code == 422


def test_all_rows_or_none(client: TestClient) -> None:
    """The second row can't be queued: the first is not, either."""
    contest_over_http(client)
    first = experiment_over_http(client, name="teacher", config={**TINY, "data": {**TINY["data"], "folds": 2}})["id"]
    client.post(f"/api/v1/experiments/{first}/cancel")
    form = {"contest": "oppo", "name": "student", **flat({**TINY, "pretrain": None})}
    form |= {"sweep": f"finetune.soft_labels_from = 0 | {first}"}
    answer = client.post("/experiments", data=form)
    assert answer.status_code == 422
    assert "has no predictions to build on" in answer.text
    rows = client.get("/api/v1/contests/oppo/leaderboard").json()["rows"]
    assert [row["name"] for row in rows] == ["teacher"]
