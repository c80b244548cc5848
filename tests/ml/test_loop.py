"""The one training loop: the loss falls, a broken loss stops it, time and steps add up."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml.batches import training_plan
from ml.contract.experiment import FinetuneConfig
from ml.errors import RunError
from ml.loop import Course, train
from ml.machine import Machine
from ml.optim import learning_rate, make_optimizer


def course(**phase: float) -> Course:
    config = FinetuneConfig.model_validate({"learning_rate": 0.05, "batch_size": 10, "num_train_epochs": 5, **phase})
    return Course("finetune", 100, training_plan(np.full(100, 8), config.batch_size, 1), config)


def toy() -> tuple[nn.Linear, Callable[[np.ndarray], Tensor]]:
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    inputs = torch.randn(100, 4)
    targets = (inputs[:, 0] > 0).long()
    return model, lambda rows: cross_entropy(model(inputs[torch.from_numpy(rows)]), targets[torch.from_numpy(rows)])


def test_the_loss_falls_and_progress_adds_up(cpu: Machine) -> None:
    model, objective = toy()
    told, passes = [], []
    train(model, objective, course(), cpu, told.append, passes.append)
    assert told[0].step == 1
    assert told[-1].step == told[-1].total_steps == 50
    assert told[-1].loss < 0.7 * told[0].loss
    assert told[-1].seconds_left == 0
    assert told[-1].epoch == 5
    assert passes == [1, 2, 3, 4, 5]


def test_part_of_a_pass(cpu: Machine) -> None:
    model, objective = toy()
    told, passes = [], []
    train(model, objective, course(num_train_epochs=1.25), cpu, told.append, passes.append)
    assert told[-1].total_steps == 13
    assert passes == [1, 1.3]


def test_a_loss_that_is_no_number_stops_the_run(cpu: Machine) -> None:
    model, objective = toy()
    with pytest.raises(RunError, match=r"finetune loss became nan by step 1 of 50.*lower learning_rate"):
        train(model, lambda rows: objective(rows) * math.nan, course(), cpu, lambda event: None)


def test_a_loss_that_breaks_late_is_seen_at_the_end_at_the_latest(cpu: Machine) -> None:
    model, objective = toy()
    calls = []

    def breaks(rows: np.ndarray) -> Tensor:
        calls.append(rows)
        return objective(rows) * (math.inf if len(calls) == 30 else 1)

    with pytest.raises(RunError, match="loss became"):
        train(model, breaks, course(), cpu, lambda event: None)


def test_learning_rate_rises_and_falls() -> None:
    phase = FinetuneConfig(learning_rate=1.0, warmup_ratio=0.2)
    rates = [learning_rate(step, 50, phase) for step in range(1, 51)]
    assert max(rates) == rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.03


def test_biases_and_norms_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    decayed, spared = make_optimizer(model, FinetuneConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], len(decayed["params"])) == (0.1, 1)
    assert (spared["weight_decay"], len(spared["params"])) == (0.0, 3)
