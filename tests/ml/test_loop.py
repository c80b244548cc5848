"""The one training loop: the loss falls, a broken loss stops it, it goes on where it was stopped."""

import hashlib
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ml import resume, stopping
from ml.averaging import Keeper
from ml.contract.events import Checkpointed, Event
from ml.contract.experiment import FinetuneConfig
from ml.contract.training_config import Phase
from ml.errors import RunError
from ml.loop import Course, Training, train
from ml.machine import Machine
from ml.optim import Lookahead, learning_rate, make_optimizer
from ml.resume import Saves


class Toy(nn.Module):
    """A bag of embeddings and a linear layer with dropout: all that the loop can touch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embeddings = nn.Embedding(20, 4)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(4, 2)

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def forward(self, ids_BL: Tensor) -> Tensor:
        return self.out(self.dropout(self.embeddings(ids_BL).mean(1)))


class ToyObjective:
    """Does the row hold a token under 5? `change` spoils the loss."""

    def __init__(self, model: Toy, change: Callable[[Tensor], Tensor] = lambda loss: loss) -> None:
        self.model, self.change = model, change
        self.generators = {"noise": torch.Generator().manual_seed(3)}
        self.ids_NL = torch.randint(0, 20, (100, 3), generator=torch.Generator().manual_seed(1))
        self.labels_N = (self.ids_NL < 5).any(1).long()

    def batch(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        keep = torch.rand(len(rows), generator=self.generators["noise"]) < 0.9
        keep[0] = True
        numbers = torch.from_numpy(rows)[keep]
        return self.ids_NL[numbers], self.labels_N[numbers]

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return self.change(cross_entropy(self.model(batch[0]), batch[1]))


def course(folder: Path | None = None, **phase: object) -> Course:
    asked = {"learning_rate": 0.05, "batch_size": 10, "num_train_epochs": 5, **phase}
    saves = Saves(folder, "toy", 0.0) if folder else None
    return Course("finetune", np.full(100, 8), FinetuneConfig.model_validate(asked), 1, saves)


def training(cpu: Machine, told: list, asked: Course, change: object = None, evaluate: object = None) -> Training:
    model = Toy()
    objective = ToyObjective(model, change) if change else ToyObjective(model)
    return Training(model, objective, asked, cpu, told.append, evaluate)


def progress(told: list) -> list:
    return [event for event in told if event.type == "progress"]


def test_the_loss_falls_and_progress_adds_up(cpu: Machine) -> None:
    told, passes = [], []
    train(training(cpu, told, course(num_train_epochs=20), evaluate=lambda epoch: passes.append(epoch)))
    assert told[0].step == 1
    assert told[-1].step == told[-1].total_steps == 200
    assert told[-1].loss < 0.7 * told[0].loss
    assert told[-1].seconds_left == 0
    assert told[-1].epoch == 20
    for event in told:
        assert event.tokens_per_second == pytest.approx(8 * event.samples_per_second)  # toy rows have 8 tokens
        assert event.model_flops_utilization == 0  # and a toy no encoder
        assert 10**7 < event.peak_memory_bytes < 10**11
    assert passes == list(range(1, 21))


def test_parts_of_passes_and_step_limits(cpu: Machine) -> None:
    told, passes = [], []
    train(training(cpu, told, course(num_train_epochs=1.25), evaluate=lambda epoch: passes.append(epoch)))
    assert told[-1].total_steps == 13
    assert passes == [1, 1.3]
    passes.clear()
    train(
        training(cpu, told, course(max_steps=7, evaluations_per_epoch=5), evaluate=lambda epoch: passes.append(epoch))
    )
    assert told[-1].total_steps == 7
    assert passes == [0.2, 0.4, 0.6, 0.7]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(cpu: Machine, bad: float) -> None:
    with pytest.raises(RunError, match=r"finetune loss became (nan|inf) by step 1 of 50.*lower learning_rate"):
        train(training(cpu, [], course(), lambda loss: loss * bad))


@pytest.mark.parametrize(("factor", "match"), [(math.inf, "loss became"), (1e4, r"loss ran away: .* at the start")])
def test_a_loss_that_breaks_late_is_seen_at_the_end_at_the_latest(cpu: Machine, factor: float, match: str) -> None:
    calls: list[int] = []

    def breaks(loss: Tensor) -> Tensor:
        calls.append(1)
        return loss * (factor if len(calls) == 30 else 1)

    with pytest.raises(RunError, match=match):
        train(training(cpu, [], course(), breaks))


def test_a_budget_ends_the_training_and_the_learning_rate_goes_to_its_end(cpu: Machine) -> None:
    told: list = []
    train(training(cpu, told, course(num_train_epochs=1000, max_minutes=0.02, warmup_ratio=0)))
    last = progress(told)[-1]
    assert last.step < 10_000
    assert last.step == last.total_steps
    rates = [event.learning_rate for event in progress(told)]
    assert rates[0] > 0.045
    assert rates[-2 if rates[-1] == 0 else -1] < rates[0]


def test_early_stopping_and_the_plateau_follow_the_value(cpu: Machine) -> None:
    values = iter([0.6, 0.7, 0.65, 0.64, 0.9, 0.9, 0.9])
    told: list = []
    train(training(cpu, told, course(early_stopping_patience=2), evaluate=lambda _: next(values)))
    assert progress(told)[-1].step == 40
    assert any("stopped early at step 40" in event.message for event in told if event.type == "log")

    values = iter([0.6, 0.5, 0.4, 0.3, 0.2])
    told.clear()
    flat = course(lr_scheduler_type="reduce_lr_on_plateau", plateau_patience=1, warmup_ratio=0)
    run = training(cpu, told, flat, evaluate=lambda _: next(values))
    train(run)
    assert run.at.plateau_scale == 0.25
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * 0.5)  # of the last pass, before its evaluation


SHAPES = ["linear", "cosine", "constant_with_warmup"]


@pytest.mark.parametrize("shape", SHAPES)
def test_learning_rate_rises_and_follows_its_shape(shape: str) -> None:
    phase = FinetuneConfig(learning_rate=1.0, warmup_ratio=0.2, lr_scheduler_type=shape)
    rates = [learning_rate(step, 50, phase) for step in range(1, 51)]
    assert max(rates) == rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == 1.0 if shape == "constant_with_warmup" else 0 < rates[-1] < 0.03
    middle = {"linear": 0.5, "cosine": 0.5, "constant_with_warmup": 1.0}[shape]
    assert learning_rate(31, 50, phase) == pytest.approx(middle)
    assert learning_rate(21, 50, phase) == pytest.approx({"linear": 0.75, "cosine": 0.8536}.get(shape, 1.0), abs=1e-4)


def test_biases_and_norms_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    decayed, spared = make_optimizer(model, FinetuneConfig(weight_decay=0.1)).param_groups
    assert (decayed["weight_decay"], len(decayed["params"])) == (0.1, 1)
    assert (spared["weight_decay"], len(spared["params"])) == (0.0, 3)


def test_lookahead_steps_back_and_its_inner_rate_follows_the_schedule(cpu: Machine) -> None:
    """The note's bug: a scheduler bound to the wrapper's own groups leaves the inner rate where it was."""
    seen: list[float] = []
    run = training(cpu, [], course(lookahead_steps=3, num_train_epochs=1, warmup_ratio=0.3))
    assert isinstance(run.optimizer, Lookahead)
    inner = run.optimizer.inner
    step = inner.step
    inner.step = lambda: (seen.append(inner.param_groups[0]["lr"]), step())  # type: ignore[method-assign,assignment,func-returns-value]
    train(run)
    assert seen == [learning_rate(n, 10, run.course.phase) for n in range(1, 11)]
    assert len(set(seen)) > 5

    weight = nn.Linear(1, 1, bias=False)
    nn.init.constant_(weight.weight, 1.0)
    ahead = Lookahead(torch.optim.SGD(weight.parameters(), lr=1.0), 2, 0.5)
    found = []
    for _ in range(4):
        weight.weight.grad = torch.ones(1, 1)
        ahead.step()
        found.append(weight.weight.item())
    assert found == [0.0, 0.0, -1.0, -1.0]  # 1 -> 0 -> -1, half way back to 0; 0 -> -1 -> -2, half way back to -1


def test_layers_below_learn_more_slowly() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.Embedding(3, 2)
            self.encoder = nn.Module()
            self.encoder.layer = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
            self.out = nn.Linear(2, 2)

    model = Two()
    optimizer = make_optimizer(model, Phase(layer_decay=0.5))
    scales = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    named = {name: scales[id(parameter)] for name, parameter in model.named_parameters()}
    assert named["out.weight"] == 1
    assert named["encoder.layer.1.weight"] == 0.5
    assert named["encoder.layer.0.bias"] == 0.25
    assert named["embeddings.weight"] == 0.125


class Stop(Exception):
    """The machine dies."""


VARIANTS: list[dict[str, object]] = [
    {},
    {"lookahead_steps": 3},
    {"averaging": "ema", "ema_decay": 0.9},
    {"averaging": "swa", "swa_start": 0.2},
    {"averaging": "last_weights", "averaging_checkpoints": 2},
    {"averaging": "best_predictions", "averaging_checkpoints": 2},
    {"adversarial": "fgm", "lr_scheduler_type": "reduce_lr_on_plateau"},
]


@pytest.mark.parametrize("phase", VARIANTS)
def test_a_stopped_training_goes_on_with_the_same_numbers(
    cpu: Machine, tmp_path: Path, phase: dict[str, object]
) -> None:
    """Stopped in the middle of a pass and started anew, it ends with the same weights to the bit as one that ran."""
    values = [0.5, 0.7, 0.6, 0.65, 0.66]

    def run(folder: Path | None, stop_at: int | None) -> tuple[list[dict[str, Tensor]], Training]:
        steps = [0]

        def dies(loss: Tensor) -> Tensor:
            steps[0] += 1
            if stop_at and steps[0] == stop_at:
                raise Stop
            return loss

        asked = course(folder, **phase)
        made = training(cpu, [], asked, dies, lambda epoch: values[round(epoch) - 1])
        made.keeper = Keeper(made.model, asked.phase, (folder or tmp_path / "whole") / "kept")
        train(made)
        return made.keeper.results(), made

    whole, first = run(None, None)
    interrupted = tmp_path / "interrupted"
    with pytest.raises(Stop):
        run(interrupted, 27)
    elsewhere = tmp_path / "elsewhere"  # another machine has the checkpoint and nothing else
    newest = max(interrupted.glob("checkpoint-*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    resume.take(elsewhere, newest, hashlib.sha256(newest.read_bytes()).hexdigest())
    resumed, second = run(elsewhere, None)
    assert len(resumed) == len(whole)
    for one, two in zip(whole, resumed, strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert second.at.best == first.at.best
    if "lookahead_steps" in phase:
        assert all(torch.equal(a, b) for a, b in zip(first.optimizer.slow, second.optimizer.slow, strict=True))


def test_sigterm_ends_a_training_after_its_step(cpu: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved, told, and gone on with to the same weights."""
    whole = training(cpu, [], course())
    train(whole)
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(stopping, "_asked", False)
    try:
        stopping.listen()
        told: list[Event] = []
        steps = [0]

        def hit(loss: Tensor) -> Tensor:
            steps[0] += 1
            if steps[0] == 7:
                os.kill(os.getpid(), signal.SIGTERM)
            return loss

        with pytest.raises(stopping.Stopped, match=f"after step 7 of {whole.course.total_steps}"):
            train(training(cpu, told, course(tmp_path), hit))
    finally:
        signal.signal(signal.SIGTERM, before)
    saved = [event for event in told if isinstance(event, Checkpointed)][-1]
    content = (tmp_path / saved.path).read_bytes()
    assert (saved.step, saved.size, saved.sha256) == (7, len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(stopping, "_asked", False)
    rest = training(cpu, [], course(tmp_path))
    train(rest)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, rest.model.state_dict()[name])


def test_a_torn_or_foreign_resume_file_is_not_used(tmp_path: Path) -> None:
    state = resume.State({"a/x": torch.arange(4.0)}, {"job": "toy", "step": 3})
    resume.save(tmp_path, state)
    found = resume.load(tmp_path, "toy")
    assert found is not None
    assert torch.equal(found.part("a")["x"], torch.arange(4.0))
    assert resume.load(tmp_path, "another job") is None
    path = tmp_path / "checkpoint-3.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert resume.load(tmp_path, "toy") is None
    path.write_bytes(content[:-5])
    assert resume.load(tmp_path, "toy") is None

    for step in (4, 10, 9):  # by number, not by name or by when they were written
        resume.save(tmp_path, resume.State(state.tensors, {"job": "toy", "step": step}))
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        *("checkpoint-10.safetensors", "checkpoint-9.safetensors")
    ]
    found = resume.load(tmp_path, "toy")
    assert found is not None
    assert found.facts["step"] == 10
    (tmp_path / "checkpoint-10.safetensors").write_bytes(content)
    found = resume.load(tmp_path, "toy")
    assert found is not None
    assert found.facts["step"] == 9, "the one before a torn one"
    resume.forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_adversarial_training_changes_the_step_and_leaves_the_embeddings_in_place(cpu: Machine) -> None:
    def weights(**phase: object) -> dict[str, Tensor]:
        run = training(cpu, [], course(max_steps=3, **phase))
        train(run)
        return {name: value.clone() for name, value in run.model.state_dict().items()}

    plain, fgm, pgd = (weights(adversarial=kind) for kind in ("none", "fgm", "pgd"))
    assert not torch.equal(plain["out.weight"], fgm["out.weight"])
    assert not torch.equal(fgm["out.weight"], pgd["out.weight"])
    assert (plain["embeddings.weight"] - fgm["embeddings.weight"]).abs().max() < 0.5  # moved back: epsilon is 1
    small = weights(adversarial="fgm", adversarial_epsilon=1e-9)
    twice = {name: (small[name] - plain[name]).abs().max().item() for name in plain}
    assert max(twice.values()) < 0.2  # next to no move: the same direction twice, which AdamW's scale takes out
    more = weights(adversarial="pgd", adversarial_steps=1)
    assert not torch.equal(more["out.weight"], pgd["out.weight"])
    wider = weights(adversarial="pgd", adversarial_step_size=0.9)
    assert not torch.equal(wider["out.weight"], pgd["out.weight"])
