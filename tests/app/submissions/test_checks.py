"""What is found in a file before it is sent: each malformation by itself, and numbers that are known."""

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats
from starlette.testclient import TestClient

from app.submissions import checks
from tests.app.submissions.conftest import ROWS, Finish, predicted

GOOD = np.random.default_rng(1).random(1000)


def changed(row: int, value: float) -> np.ndarray:
    copy = GOOD.copy()
    copy[row] = value
    return copy


def states(written: np.ndarray, expected: int | None = 1000, **form: Any) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = checks.of_file(written, GOOD, expected, **form)
        return {check.name: check.state for check in found if check.state != "ok"}


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        (GOOD, {}),
        (GOOD.round(6), {"order": "refuse"}),
        (GOOD[:-1], {"rows": "refuse", "order": "refuse"}),
        (GOOD[::-1].copy(), {"order": "refuse"}),
        (np.roll(GOOD, 1), {"order": "refuse"}),
        (changed(3, np.nan), {"numbers": "refuse"}),
        (changed(3, np.inf), {"numbers": "refuse", "order": "refuse"}),
        (changed(3, 1.01), {"range": "refuse", "order": "refuse"}),
        (changed(3, -1e-9), {"range": "refuse", "order": "refuse"}),
        (np.full(1000, 0.5), {"constant": "refuse", "order": "refuse"}),
        (np.full(1000, np.nan), {"numbers": "refuse", "range": "refuse", "constant": "refuse"}),
        (np.empty(0), {"rows": "refuse", "order": "refuse", "range": "refuse", "constant": "refuse"}),
    ],
)
def test_each_malformation(written: np.ndarray, wrong: dict[str, str]) -> None:
    assert states(written) == wrong


@pytest.mark.parametrize(
    ("written", "form", "wrong"),
    [
        (GOOD.round(6), {"decimals": 6}, {}),
        (GOOD.round(6), {"decimals": 7}, {"order": "refuse"}),
        (GOOD.round(2), {"decimals": 2}, {"constant": "warn"}),
        ((GOOD >= 0.5) * 1.0, {"labels": True}, {"constant": "warn"}),
        ((GOOD < 0.5) * 1.0, {"labels": True}, {"constant": "warn", "order": "refuse"}),
        (np.zeros(1000), {"decimals": 1}, {"constant": "refuse", "order": "refuse"}),
    ],
)
def test_what_a_form_leaves(written: np.ndarray, form: dict[str, Any], wrong: dict[str, str]) -> None:
    assert states(written, **form) == wrong


def test_a_small_shuffle_is_seen() -> None:
    """Near what was predicted, but in another order."""
    close = 0.5 + 0.02 * GOOD
    assert checks.order(close[::-1].copy(), close).state == "refuse"
    assert checks.order(close[::-1].copy(), close, 3).state == "refuse"


def test_ties_by_rounding_are_counted() -> None:
    predicted_N = np.array([0.111, 0.112, 0.113, 0.2, 0.2, 0.9])  # one pair of 15 is tied by itself
    found = checks.constant(predicted_N.round(2), predicted_N)
    assert found.text == (
        "its form leaves 3 of 5 different values: 20% of all pairs of rows are tied by it, and ties cost AUC"
    )
    assert checks.constant(predicted_N, predicted_N).state == "ok"


def test_without_a_test_file_rows_are_told_only() -> None:
    assert states(GOOD, None) == {"rows": "warn"}


def test_texts_name_the_row_and_the_value() -> None:
    texts = {check.name: check.text for check in checks.of_file(changed(41, np.nan), GOOD, 999)}
    assert texts["rows"] == "1000 rows, but the test file has 999"
    assert texts["numbers"] == "1 rows are no finite number; the first is row 42: nan"


def test_rank_correlation_is_spearmans_ties_included() -> None:
    draw = np.random.default_rng(2)
    for truth in (0.0, 0.5, 0.95):
        both = draw.multivariate_normal([0, 0], [[1, truth], [truth, 1]], 20_000)
        one, other = stats.norm.cdf(both.T).round(3)
        found = checks.likeness(one, other)
        assert found == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)
        assert found == pytest.approx(6 / np.pi * np.arcsin(truth / 2), abs=0.02)  # of two normals
    assert checks.likeness(GOOD, GOOD**3) == pytest.approx(1)
    assert checks.likeness(GOOD, 1 - GOOD) == pytest.approx(-1)
    assert checks.likeness(GOOD, np.full(1000, 0.5)) is None
    assert checks.likeness(GOOD, GOOD[:-1]) is None
    assert checks.likeness(GOOD, changed(3, np.nan)) is None


def test_histogram_counts_everything_once() -> None:
    values = np.array([0.0, 0.049, 0.05, 0.999, 1.0, 1.2, -0.1, np.nan])
    found = checks.histogram(values)
    assert (found[0], found[1], found[-1], sum(found)) == (2, 1, 2, 5)


def test_the_whole_examination(client: TestClient, finish: Finish) -> None:
    first, like, other = finish("first", seed=1), finish("like", seed=2), finish("other", seed=3)
    api = "/api/v1"
    for made, value in ((first, 0.86), (like, 0.87)):
        client.post(f"{api}/experiments/{made['id']}/online-scores", json={"value": value, "board": "A"})
    found = client.get(f"{api}/experiments/{other['id']}/submission-check").json()
    assert (found["state"], found["rows"], found["file_sha256"]) == ("ok", ROWS, other["sha256"])
    assert {item["name"] for item in found["checks"]} == set(checks.NAMES)
    expected = {
        made["id"]: stats.spearmanr(predicted(3), predicted(seed)).statistic for made, seed in ((first, 1), (like, 2))
    }
    assert {item["experiment_id"]: item["rank_correlation"] for item in found["earlier"]} == pytest.approx(expected)
    assert (found["best"]["experiment"], found["best"]["score"]) == ("like", 0.87)
    assert sum(part["own"] for part in found["histogram"]) == sum(part["best"] for part in found["histogram"]) == ROWS
    assert [part["best"] for part in found["histogram"]] == checks.histogram(np.array(predicted(2)))
    # the same predictions under another seed: the bytes are the same, and so are the ranks
    twin = finish("twin", predicted(1), seed=4)
    found = client.get(f"{api}/experiments/{twin['id']}/submission-check?board=A").json()
    assert found["state"] == "refuse"
    told = {item["name"]: item["text"] for item in found["checks"] if item["state"] != "ok"}
    assert told["same_file"].startswith("exactly this file was sent before: submission 1 by local")
    assert "board A, 0.86" in told["same_file"]
    assert "rank correlation 1.00000" in told["likeness"]
    strange = finish("strange", [1 - value for value in predicted(1)], seed=5)
    found = client.get(f"{api}/experiments/{strange['id']}/submission-check").json()
    assert "are these the same rows in the same order?" in found["checks"][-1]["text"]


def test_predictions_of_an_older_test_file(client: TestClient, finish: Finish) -> None:
    made = finish("first")
    files = {"file": ("board-b.tsv", b"1 2\t3 4\n" * ROWS)}
    assert client.post("/api/v1/contests/oppo/files", files=files, data={"kind": "test"}).status_code == 201
    found = client.get(f"/api/v1/experiments/{made['id']}/submission-check").json()
    assert (found["state"], found["checks"][6]["text"]) == (
        "warn",
        "it answers test.tsv; the contest's newest test file is board-b.tsv",
    )


def test_a_broken_file_is_named_by_its_line(client: TestClient, finish: Finish) -> None:
    made = finish("first", content=b"0.5\n0,7\n")
    answer = client.get(f"/api/v1/experiments/{made['id']}/submission-check")
    assert answer.status_code == 422
    assert "line 2 of the predictions is '0,7\\n', not a number" in answer.json()["error"]["message"]
    assert "line 2 of the predictions" in client.get(f"/experiments/{made['id']}/submission").text
