"""The one training loop. What is learnt is passed in; called by pretrain and finetune.

Loss is summed on the device and read about once a second: reading it at every step would make a GPU wait.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ml.batches import steps_per_epoch
from ml.contract.events import Progress
from ml.contract.experiment import FinetuneConfig, PretrainConfig
from ml.contract.job import RunKind
from ml.errors import RunError
from ml.machine import Machine
from ml.optim import learning_rate, make_optimizer
from ml.pairs import Rows
from ml.teller import Tell

Objective = Callable[[Rows], Tensor]  # rows of a batch -> mean loss, a scalar that can be differentiated
SECONDS_BETWEEN = 1.0  # of two Progress events


@dataclass(frozen=True, slots=True)
class Course:
    """A training to do: which stage, over how many rows, in which batches, with which numbers."""

    stage: RunKind
    rows: int
    batches: Iterator[Rows]
    phase: PretrainConfig | FinetuneConfig

    @property
    def epoch_steps(self) -> int:
        """Steps of one pass."""
        return steps_per_epoch(self.rows, self.phase.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps in all; part of a pass is rounded up to whole steps."""
        return max(1, math.ceil(self.phase.num_train_epochs * self.epoch_steps - 1e-9))


def train(
    model: nn.Module,
    objective: Objective,
    course: Course,
    machine: Machine,
    tell: Tell,
    after_epoch: Callable[[float], None] | None = None,
) -> None:
    """Run the whole course: forward, backward, clip, step. `after_epoch(epochs done)` is called after each pass.

    Raises RunError when the loss is not a finite number any more.
    """
    optimizer = make_optimizer(model, course.phase)
    meter = _Meter(course, machine.device, tell)
    model.train()
    for step in range(1, course.total_steps + 1):
        rows = next(course.batches)
        rate = _set_rate(optimizer, learning_rate(step, course.total_steps, course.phase))
        with torch.autocast(machine.device.type, dtype=torch.bfloat16, enabled=machine.bf16):
            loss = objective(rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), course.phase.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        meter.count(step, len(rows), loss, rate)
        if after_epoch and (step % course.epoch_steps == 0 or step == course.total_steps):
            with meter.paused():
                after_epoch(step / course.epoch_steps)
            model.train()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate


@dataclass(slots=True)
class _Meter:
    """Sums loss and rows since the last Progress event, and tells one when it is due."""

    course: Course
    device: torch.device
    tell: Tell
    loss_sum: Tensor = field(init=False)
    steps: int = 0
    rows: int = 0
    all_seconds: float = 0.0  # spent in training, pauses left out
    since: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.loss_sum = torch.zeros((), device=self.device)

    def count(self, step: int, rows: int, loss: Tensor, rate: float) -> None:
        """Add a step; tell the first, the last, and one a second."""
        self.loss_sum += loss.detach().float()
        self.steps += 1
        self.rows += rows
        if step in (1, self.course.total_steps) or time.perf_counter() - self.since >= SECONDS_BETWEEN:
            self._say(step, rate)

    def _say(self, step: int, rate: float) -> None:
        loss = float(self.loss_sum) / self.steps  # waits for the device: the seconds below are then true
        if not math.isfinite(loss):
            raise RunError(
                f"the {self.course.stage} loss became {loss} by step {step} of {self.course.total_steps} "
                f"(learning rate {rate:.2g}): lower learning_rate or max_grad_norm"
            )
        seconds = max(time.perf_counter() - self.since, 1e-9)
        self.all_seconds += seconds
        self.tell(
            Progress(
                stage=self.course.stage,
                step=step,
                total_steps=self.course.total_steps,
                epoch=step / self.course.epoch_steps,
                loss=loss,
                learning_rate=rate,
                samples_per_second=self.rows / seconds,
                seconds_left=self.all_seconds / step * (self.course.total_steps - step),
            )
        )
        self._restart()

    def _restart(self) -> None:
        self.loss_sum.zero_()
        self.steps = self.rows = 0
        self.since = time.perf_counter()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the time of an evaluation out of rows a second."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        before = time.perf_counter()
        yield
        self.since += time.perf_counter() - before
