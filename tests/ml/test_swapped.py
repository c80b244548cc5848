"""What exchanging the sides of a pair changes, told at the end of a finetune."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml import swapped
from ml.checkpoint import load_classifier
from ml.contract.events import SwapConsistency
from ml.contract.experiment import ExperimentConfig
from ml.machine import set_up
from ml.pairs import Pairs
from ml.predict import PairsToScore, predict_mean, scoring_on
from ml.prediction_files import read_valid
from ml.run import read_job, run

Tuned = Callable[..., tuple[SwapConsistency | None, SimpleNamespace]]


@pytest.fixture
def tuned(
    workplace: SimpleNamespace,
    toy_rows: Callable[..., list[tuple[str, str, int]]],
    tiny_config: Callable[..., ExperimentConfig],
    unverified: None,
) -> Tuned:
    """A small finetune: what it told of swapping, its job, folder and rows."""

    def do(name: str, **finetune: object) -> tuple[SwapConsistency | None, SimpleNamespace]:
        rows = toy_rows()
        inputs = [workplace.put("train", "train.tsv", rows, workplace.train_layout)]
        config = tiny_config(pretrain=None, finetune={"num_train_epochs": 1, **finetune})
        job, out, told = workplace.job("finetune", config, inputs), workplace.folder / name, []
        run(job, out, told.append)
        (verified,) = [event for event in told if event.type == "verified"]
        return verified.swap, SimpleNamespace(job=job, out=out, rows=rows)

    return do


def test_it_is_the_mean_difference_and_the_auc_of_exchanged_pairs(tuned: Tuned) -> None:
    told, made = tuned("out", num_train_epochs=4, learning_rate=1e-2)
    assert told is not None
    job, valid = read_job(made.job), read_valid(made.out / "valid_predictions.tsv")
    machine = set_up(job)
    model, weights, tokens = load_classifier(made.out, machine.device)
    a, b = ([made.rows[row][side] for row in valid.rows.tolist()] for side in (0, 1))
    exchanged = PairsToScore(*tokens.encode_both_ways(Pairs(b, a, valid.labels_N), turned=False))
    turned = predict_mean(model, weights, exchanged, scoring_on(machine, job.config.finetune))
    assert told.rows == len(valid.rows)
    assert told.difference == pytest.approx(np.abs(turned - valid.probabilities_N).mean(), abs=1e-7)
    assert told.difference > 1e-4
    assert told.roc_auc == pytest.approx(roc_auc_score(valid.labels_N, turned), abs=1e-3)


def test_a_model_that_scores_both_ways_is_the_same_either_way(tuned: Tuned) -> None:
    told, _ = tuned("out", swap_at_test=True)
    assert told is not None
    assert told.difference < 1e-6


def test_of_many_rows_some_are_looked_at(tuned: Tuned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapped, "MOST_ROWS", 12)
    told, _ = tuned("out")
    assert told is not None
    assert told.rows == 12
