"""Read this first: one experiment from the form to a filled row, with nothing faked.

A real web server, a real Celery worker, a real trainer; the form is read from the page and posted as a browser does.
Once on SQLite with the filesystem broker, once on Postgres with Redis.
"""

import uuid
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import drop_postgres, new_postgres
from tests.factories import TINY, pair_text
from tests.processes import SetUp, set_up


class FormReader(HTMLParser):
    """What a browser would send for the only form that posts to `action`."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self._action, self._inside, self._select = action, False, ""
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect inputs and the options that are chosen."""
        found: dict[str, str] = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = found.get("action") == self._action
        if not self._inside:
            return
        if tag == "select":
            self._select = found["name"]
        elif tag == "option" and ("selected" in found or self._select not in self.values):
            self.values[self._select] = found.get("value", "")
        elif tag == "input" and "name" in found and (found.get("type") != "checkbox" or "checked" in found):
            self.values[found["name"]] = found.get("value", "")

    def handle_data(self, data: str) -> None:
        """An option without a value sends its text."""
        if self._select and not self.values.get(self._select) and self.get_starttag_text() == "<option selected>":
            self.values[self._select] = data

    def handle_endtag(self, tag: str) -> None:
        """Leave a form or a select."""
        if tag == "form":
            self._inside = False
        if tag == "select":
            self._select = ""


@pytest.fixture(params=["sqlite+filesystem", "postgres+redis"])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SetUp]:
    """A web server and a worker on each pair of database and broker."""
    if request.param == "sqlite+filesystem":
        with set_up(tmp_path) as made:
            yield made
        return
    redis_url, postgres = request.getfixturevalue("redis_url"), new_postgres()
    env = {"DATABASE_URL": postgres, "BROKER_URL": redis_url, "QUEUE": f"test-{uuid.uuid4().hex[:8]}"}
    with set_up(tmp_path, **{f"PAIRBOARD_{name}": value for name, value in env.items()}) as made:
        yield made
    drop_postgres(postgres)


def flat(config: dict[str, Any]) -> dict[str, str]:
    """A nested config as the form's names."""
    found = {}
    for name, value in config.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": str(item) for key, item in value.items()}
        else:
            found[name] = str(value)
    return found


def make_contest(line: SetUp) -> None:
    """A contest with a train and a test file, through the pages."""
    made = line.http.post("/contests", data={"name": "Oppo pairs", "slug": "oppo", "metric": "roc_auc"})
    assert (made.status_code, made.headers["location"]) == (303, "/contests/oppo/files")
    for kind in ("train", "test"):
        text = pair_text(300 if kind == "train" else 40, label=kind == "train")
        sent = line.http.post("/contests/oppo/files", files={"file": (f"{kind}.tsv", text)}, data={"kind": kind})
        assert sent.status_code == 303, sent.text


def test_from_the_form_to_a_filled_row(line: SetUp) -> None:
    line.start_web()
    line.start_worker()
    make_contest(line)

    page = line.http.get("/experiments/new", params={"contest": "oppo", "preset": "demo"})
    form = FormReader("/experiments")
    form.feed(page.text)
    assert form.values["encoder.num_hidden_layers"] == "2"
    assert form.values["pretrain.enabled"] == "on"
    assert form.values["tokens.unit"] == "auto"
    tiny = flat(TINY)
    assert set(tiny) <= set(form.values)
    queued = line.http.post("/experiments", data={**form.values, **tiny, "name": "first 一号", "note": "by hand"})
    assert queued.status_code == 303, queued.text
    number = int(queued.headers["location"].rsplit("/", 1)[1])

    done = line.finished(number)
    assert [(run["kind"], run["status"]) for run in done["runs"]] == [
        ("pretrain", "finished"),
        ("finetune", "finished"),
    ]
    scores = {(score["split"], score["metric"]): score["value"] for score in done["scores"]}
    assert {metric for split, metric in scores if split == "valid"} == {"roc_auc", "accuracy", "f1", "log_loss"}
    assert done["config"]["encoder"] | TINY["encoder"] == done["config"]["encoder"]

    artifacts = f"/api/v1/runs/{done['runs'][1]['id']}/artifacts"
    predictions = line.http.get(f"{artifacts}/test_predictions.tsv").text.splitlines()
    assert len(predictions) == 40
    assert all(0 < float(p) < 1 for p in predictions)

    key = {"Idempotency-Key": "board A, once"}
    for status in (201, 200):
        body = {"value": 0.8778, "note": "board A"}
        posted = line.http.post(f"/api/v1/experiments/{number}/online-scores", json=body, headers=key)
        assert posted.status_code == status, posted.text

    row = line.http.get("/api/v1/contests/oppo/leaderboard", params={"sort": "-online"}).json()["rows"][0]
    assert (row["name"], row["status"]) == ("first 一号", "finished")
    assert row["train"]["value"] == scores["train", "roc_auc"]
    assert row["valid"]["value"] == scores["valid", "roc_auc"]
    assert (row["online"]["value"], row["online"]["note"], row["online"]["count"]) == (0.8778, "board A", 1)
    table = line.http.get("/contests/oppo").text
    assert all(text in table for text in ("first 一号", f"{scores['valid', 'roc_auc']:.5f}", "0.8778"))

    # a second experiment that differs in finetuning alone does not pay for its pretrain again
    finetune = {**done["config"]["finetune"], "learning_rate": 5e-4}
    changes = {"config": {**done["config"], "finetune": finetune}, "name": "second"}
    second = line.http.post("/api/v1/contests/oppo/experiments", json=changes).raise_for_status().json()
    again = line.finished(second["id"])
    assert again["runs"][0]["id"] == done["runs"][0]["id"]
    assert line.stop("worker") == 0


def test_the_same_experiment_gives_the_same_numbers(tmp_path: Path) -> None:
    """Queued twice, and the second time by another worker: the scores are equal to the bit."""
    with set_up(tmp_path) as line:
        line.start_web()
        make_contest(line)
        body = {"name": "twin", "config": {**TINY, "pretrain": None}}
        numbers = [line.http.post("/api/v1/contests/oppo/experiments", json=body).json()["id"] for _ in range(2)]
        line.start_worker()  # what was queued before it came is found by the sweeper
        first, second = (
            {(s["split"], s["metric"]): s["value"] for s in line.finished(number)["scores"]} for number in numbers
        )
        assert first == second
        assert len(first) == 8
