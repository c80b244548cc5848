"""Counts loss, rows and time of a training, says Progress, and notices when it goes wrong. Called by loop."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ml import parallel
from ml.contract.events import Progress
from ml.contract.job import RunKind
from ml.errors import RunError
from ml.flops import Work, matrix_rate
from ml.machine import Machine, peak_memory
from ml.pairs import Rows
from ml.teller import Tell

#: between two Progress events: one at first, five from 100 seconds on, when what is told changes slowly; an event
#: costs the tracker some 10 ms of a processor
SECONDS_BETWEEN = (1.0, 5.0)
DIVERGED = 4.0  # times the mean loss of the first steps: an untrained model guesses, and this is far worse
FIRST_STEPS = 10  # that make up that mean
JUDGED_STEPS = 5  # at least so many, or one odd batch would pass for a run that went wrong


class Meter:
    """Sums loss and rows since the last Progress event, and tells one when it is due."""

    def __init__(
        self, stage: RunKind, total_steps: int, epoch_steps: int, machine: Machine, model: nn.Module, tell: Tell
    ) -> None:
        self.stage, self.total_steps, self.epoch_steps = stage, total_steps, epoch_steps
        self.device, self.tell = machine.device, tell
        device = self.device
        self.work = Work(model)
        self.peak_rate = matrix_rate(machine) * parallel.size()
        self.tokens = 0
        self.flops = 0.0
        self.loss_sum = torch.zeros((), device=device)
        self.part_sum = torch.zeros((), device=device, dtype=torch.float64)  # since the last evaluation
        self.part_steps = torch.zeros((), dtype=torch.float64)
        self.first_sum = torch.zeros((), device=device, dtype=torch.float64)
        self.steps = self.rows = self.done = 0
        self.all_seconds = 0.0  # spent in training, pauses left out
        self.since = self.last = time.perf_counter()
        self.where = 0.0

    def count(self, step: int, lengths_B: Rows, loss: Tensor, rate: float, where: float) -> float:
        """Add a step with pairs of these lengths, and return the seconds it took; tell the first step, the last, and
        one every few seconds."""
        self.loss_sum += loss.detach().float()
        self.part_sum += loss.detach().double()
        self.part_steps += 1
        if step <= FIRST_STEPS:
            self.first_sum += loss.detach().double()
        self.steps += 1
        self.rows += len(lengths_B)
        self.tokens += int(lengths_B.sum())
        self.flops += self.work.of(lengths_B)
        self.done += 1
        self.where = where
        if self.done == 1 or step == self.total_steps or self._is_due():
            self._say(step, rate)
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        self.all_seconds += seconds
        return seconds

    def _is_due(self) -> bool:
        least, most = SECONDS_BETWEEN
        return time.perf_counter() - self.since >= min(most, max(least, self.all_seconds / 20))

    def part_loss(self) -> float:
        """Mean loss since this was last asked."""
        mean = float(self.part_sum) / max(1.0, float(self.part_steps))
        self.part_sum.zero_()
        self.part_steps.zero_()
        return mean

    def end(self, step: int) -> None:
        """Tell where a training ended that stopped before its last step."""
        if step < self.total_steps and self.steps:
            self.total_steps = step
            self._say(step, 0.0)

    def _say(self, step: int, rate: float) -> None:
        loss = float(self.loss_sum) / self.steps  # waits for the device: the seconds below are then true
        advice = "lower learning_rate or max_grad_norm"
        if not math.isfinite(loss):
            raise RunError(
                f"the {self.stage} loss became {loss} by step {step} of {self.total_steps} "
                f"(learning rate {rate:.2g}): {advice}"
            )
        first = float(self.first_sum) / min(step, FIRST_STEPS)
        if step > FIRST_STEPS and self.steps >= JUDGED_STEPS and loss > DIVERGED * first:
            raise RunError(
                f"the {self.stage} loss ran away: {loss:.4g} by step {step} of {self.total_steps}, "
                f"{first:.4g} at the start (learning rate {rate:.2g}): {advice}"
            )
        seconds = max(time.perf_counter() - self.since, 1e-9)
        spent = self.all_seconds + (time.perf_counter() - self.last)
        self.tell(
            Progress(
                stage=self.stage,
                step=step,
                total_steps=self.total_steps,
                epoch=step / self.epoch_steps,
                loss=loss,
                learning_rate=rate,
                samples_per_second=self.rows / seconds,
                tokens_per_second=self.tokens / seconds,
                model_flops_utilization=self.flops / seconds / self.peak_rate,
                peak_memory_bytes=peak_memory(self.device),
                seconds_left=spent / max(self.where, 1.0) * max(0.0, self.total_steps - self.where),
            )
        )
        self.loss_sum.zero_()
        self.steps = self.rows = self.tokens = 0
        self.flops = 0.0
        self.since = time.perf_counter()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the time of an evaluation out of rows a second."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        before = time.perf_counter()
        yield
        away = time.perf_counter() - before
        self.since += away
        self.last += away

    def state(self) -> dict[str, Tensor]:
        """Tensors for a checkpoint."""
        return {"part_sum": self.part_sum, "part_steps": self.part_steps, "first_sum": self.first_sum}

    def restore(self, saved: dict[str, Tensor], seconds: float) -> None:
        """Put back what state() gave."""
        for name, value in saved.items():
            getattr(self, name).copy_(value)
        self.all_seconds = seconds
