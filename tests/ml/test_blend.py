"""Folds become one out-of-fold score; fusions blend members of one split, with weights that are honest."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml.contract.experiment import ExperimentConfig
from ml.contract.fusion_config import METHODS
from ml.contract.scores import Scores
from ml.errors import RunError
from ml.metrics import auc_interval
from ml.mixing import FOUND, combine
from ml.prediction_files import (
    RunScores,
    read_scores,
    read_test_predictions,
    read_valid,
    write_scores,
    write_test,
    write_valid,
)
from ml.run import run

ROWS = [(f"a{n}", f"b{n}", n % 3 == 0) for n in range(120)]
LABELS = np.array([int(row[2]) for row in ROWS], np.int8)
SCORES = Scores(roc_auc=0.8, accuracy=0.7, f1=0.6, log_loss=0.5)


@pytest.fixture
def bench(workplace: SimpleNamespace) -> SimpleNamespace:
    """`member` writes one's files; `blend` runs the job: (events, out folder)."""
    rows = [(a, b, int(label)) for a, b, label in ROWS]
    base = [
        workplace.put("train", "train.tsv", rows, workplace.train_layout),
        workplace.put("test", "test.tsv", [row[:2] for row in rows[:8]], workplace.test_layout),
    ]
    members: list[dict] = []

    def member(name: str, numbers: np.ndarray, probabilities: np.ndarray, test: np.ndarray, auc: float = 0.8) -> None:
        folder: Path = workplace.folder / name
        folder.mkdir()
        write_valid(folder, numbers, LABELS[numbers], probabilities)
        write_test(folder, test)
        found = SCORES.model_copy(update={"roc_auc": auc})
        write_scores(folder, RunScores(train=found, valid=found))
        members.extend(workplace.put("member", f"{name}/{path.name}") for path in sorted(folder.iterdir()))

    def blend(**config: object) -> tuple[list, Path]:
        told: list = []
        asked = ExperimentConfig.model_validate(config)
        run(workplace.job("blend", asked, base + members), workplace.folder / "out", told.append)
        return told, workplace.folder / "out"

    return SimpleNamespace(member=member, blend=blend, members=members, folder=workplace.folder)


def test_folds_give_the_auc_of_all_out_of_fold_predictions(bench: SimpleNamespace) -> None:
    random = np.random.default_rng(0)
    p = np.clip(LABELS * 0.3 + random.random(120) * 0.7, 0, 1)
    parts = [np.arange(k, 120, 3) for k in (1, 0, 2)]
    for k, rows in enumerate(parts):
        bench.member(f"fold-{k}-repeat-0", rows, p[rows], np.full(8, 0.1 * (k + 1)), auc=0.7 + 0.1 * k)
    told, out = bench.blend(data={"folds": 3})
    valid = next(event for event in told if event.type == "scored" and event.split == "valid")
    assert valid.scores.roc_auc == pytest.approx(roc_auc_score(LABELS, p))
    assert valid.rows == 120
    assert [member.roc_auc for member in valid.members] == pytest.approx([0.7, 0.8, 0.9])
    assert valid.interval[0] < valid.scores.roc_auc < valid.interval[1]
    train = next(event for event in told if event.type == "scored" and event.split == "train")
    assert train.scores.roc_auc == pytest.approx(0.8)
    assert read_test_predictions(out / "test_predictions.tsv") == pytest.approx([0.2] * 8)
    found = read_valid(out / "valid_predictions.tsv")
    assert found.rows.tolist() == list(range(120))
    assert found.probabilities_N == pytest.approx(p)


def test_repeats_are_averaged_row_by_row(bench: SimpleNamespace) -> None:
    rows = np.arange(0, 60)
    one, two = np.random.default_rng(1).random((2, 60))
    bench.member("repeat-0", rows, one, np.zeros(8))
    bench.member("repeat-1", rows, two, np.ones(8))
    _, out = bench.blend(data={"repeats": 2})
    assert read_valid(out / "valid_predictions.tsv").probabilities_N == pytest.approx((one + two) / 2)


def test_repeats_without_a_valid_part(bench: SimpleNamespace) -> None:
    """All rows trained: there is no valid score to tell, and the test predictions are averaged all the same."""
    nothing = np.empty(0, np.int64)
    for repeat in range(2):
        bench.member(f"repeat-{repeat}", nothing, np.empty(0), np.full(8, float(repeat)))
    told, out = bench.blend(data={"repeats": 2, "full_data": True}, finetune={"max_steps": 5})
    assert [event.split for event in told if event.type == "scored"] == ["train"]
    assert read_test_predictions(out / "test_predictions.tsv").tolist() == [0.5] * 8
    assert read_valid(out / "valid_predictions.tsv").rows.tolist() == []


@pytest.mark.parametrize("method", METHODS)
def test_a_fusion_through_a_job(bench: SimpleNamespace, method: str) -> None:
    random = np.random.default_rng(3)
    rows = np.arange(0, 90)
    good = np.clip(LABELS[rows] * 0.4 + random.random(90) * 0.6, 0.01, 0.99)
    noise = random.random(90)
    bench.member("experiment-4", rows, good, np.linspace(0.1, 0.9, 8))
    bench.member("experiment-7", rows, noise, np.linspace(0.9, 0.1, 8))
    told, out = bench.blend(fusion={"members": [4, 7], "method": method})
    (scored,) = [event for event in told if event.type == "scored"]
    assert scored.split == "valid"
    assert len(scored.members) == 2
    found = read_valid(out / "valid_predictions.tsv").probabilities_N
    assert scored.scores.roc_auc == pytest.approx(roc_auc_score(LABELS[rows], found))
    test = read_test_predictions(out / "test_predictions.tsv")
    if method in FOUND:
        assert scored.scores.roc_auc > roc_auc_score(LABELS[rows], good) - 0.06
        assert np.all(np.diff(test) > 0)  # the good member's order
        weighed = {"weights": "weights of the logits", "greedy": "shares of the ranks"}
        wanted = f"{weighed.get(method, 'shares of the probabilities')}: experiment-4"
        assert any(wanted in event.message for event in told if event.type == "log")
    else:
        assert found == pytest.approx(combine(np.stack([good, noise], 1), method))


def test_members_that_do_not_fit_are_refused(bench: SimpleNamespace) -> None:
    rows = np.arange(0, 60)
    p = np.random.default_rng(5).random(60)
    with pytest.raises(RunError, match="brings 0 members: a blend needs two"):
        bench.blend(data={"repeats": 2})
    bench.member("experiment-1", rows, p, np.zeros(8))
    bench.member("experiment-2", rows + 1, p, np.zeros(8))
    with pytest.raises(RunError, match="experiment-2 and experiment-1 were validated on different rows"):
        bench.blend(fusion={"members": [1, 2]})
    bench.member("experiment-3", rows, p, np.zeros(5))
    with pytest.raises(RunError, match="experiment-3 has predictions for another test file"):
        bench.blend(fusion={"members": [1, 3]})
    broken = bench.folder / "experiment-1" / "valid_predictions.tsv"
    broken.write_text("1\t0\n")
    with pytest.raises(RunError, match=r"line 1: .* is not a row \(above the one before\), a label and a probability"):
        read_valid(broken)
    tests = bench.folder / "experiment-1" / "test_predictions.tsv"
    tests.write_text("0.5\nx\n")
    with pytest.raises(RunError, match="line 2: 'x' is not a probability"):
        read_test_predictions(tests)


@pytest.mark.parametrize(
    "line",
    [
        *(
            "1\t0\tnan",
            "1\t0\t1.5",
            "1\t0\t-0.5",
            "1\t2\t0.5",
            "-1\t0\t0.5",
            "1_0\t0\t0.5",
            "\u0661\t0\t0.5",
            "0\t0\t0.5",
        ),
        *(f"{10**30}\t0\t0.5", "1\t300\t0.5", "1\t0\t0.5\u2028", "#", ""),
    ],
)
def test_a_line_that_no_run_wrote_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "valid_predictions.tsv"
    path.write_bytes(f"0\t1\t0.5\n{line}\n".encode())
    with pytest.raises(RunError, match=r"line 2: .* is not a row"):
        read_valid(path)


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "predictions.tsv"
    path.write_bytes(b"0.5\n\xff\n")
    with pytest.raises(RunError, match=r"line 2: '\\\\xff' is not a probability"):
        read_test_predictions(path)
    for content in (b"{", b'{"train": {}}', b"\xff"):
        path.write_bytes(content)
        with pytest.raises(RunError, match="the file is not what a run writes"):
            read_scores(path)


def test_the_interval_covers_and_narrows_and_goes_by_component() -> None:
    random = np.random.default_rng(6)

    def interval(rows: int, component: int) -> tuple[float, float]:
        labels = (random.random(rows) < 0.4).astype(np.int8)
        p = labels * 0.5 + random.normal(0, 0.5, rows)
        p, labels = np.repeat(p, component), np.repeat(labels, component)
        return auc_interval(labels, p, np.arange(rows).repeat(component))

    few, many, copies = interval(100, 1), interval(2000, 1), interval(100, 5)
    assert many[1] - many[0] < few[1] - few[0]
    assert copies[1] - copies[0] > 0.6 * (few[1] - few[0])  # five copies of each row are no more evidence
    assert few[0] < 0.76 < few[1]  # of two normals a standard deviation apart: Phi(1 / sqrt 2)
    assert auc_interval(np.array([0, 1], np.int8), np.array([0.1, 0.9]), np.zeros(2, np.int64)) == (0.0, 1.0)
    assert json.dumps(few)
