"""Several processes that train one model, each on its part of every batch. For run (start, join) and loop (each step).

torchrun starts them on one host, torch's DistributedDataParallel averages their gradients (Li et al. 2020), over NCCL
on GPUs and gloo on CPUs. Every process draws the whole batch with the same random numbers and keeps each n-th row, and
a mean is over the rows of all: the numbers are those of one process but for dropout, which each draws for its own rows.
Without such a start every function here does nothing, or answers for the one process there is.
"""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ml.contract.events import EVENT, LAST_EVENTS, Failed
from ml.contract.job import Job
from ml.contract.training_config import LEAST_ROWS
from ml.errors import RunError
from ml.teller import Tell

_PATIENCE = timedelta(hours=2)  # with the first process, which alone evaluates and saves


def processes_of(job: Job) -> int:
    """How many processes the job's training asks for."""
    phase = {"pretrain": job.config.pretrain, "finetune": job.config.finetune}.get(job.kind)
    return phase.num_processes if phase else 1


def launch(processes: int, job: Path, out: Path, tell: Tell) -> int:
    """Run `python -m ml` that many times by torchrun, and pass its events on; the exit code.

    They hold a pipe of ours as stdin, so none outlives us; if they end without a last word, that is told.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += ["-m", "ml", str(job), str(out), "--die-with-parent", "--one-of-several"]
    ended = False
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as many:
        for line in many.stdout or ():
            event = EVENT.validate_json(line)
            if not ended:
                tell(event)
            ended = ended or isinstance(event, LAST_EVENTS)
        code = many.wait()
    if not ended:
        tell(Failed(reason=f"one of {processes} processes ended without a last word (exit code {code})", detail=""))
    return code


def join(device: torch.device, processes: int) -> torch.device:
    """Meet the others that torchrun started; returns this process's own device.

    Raises RunError when there are fewer GPUs than processes.
    """
    if processes == 1 or not dist.is_torchelastic_launched():
        return device
    gpus = torch.cuda.device_count()
    if device.type == "cuda" and gpus < processes:
        raise RunError(f"num_processes {processes} asks for as many GPUs, and this machine has {gpus}: lower it")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    if device.type != "cuda":
        return device
    torch.cuda.set_device(rank())
    return torch.device("cuda", rank())


def leave() -> None:
    """Part from the others, when all have come so far."""
    if size() > 1:
        dist.barrier()
        dist.destroy_process_group()


def size() -> int:
    """Processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if size() > 1 else 0


def own_rows(rows: int) -> np.ndarray:
    """Which rows of a batch of `rows` this process learns from: numbers, ascending. Of a small last batch: all."""
    if rows < LEAST_ROWS * size():
        return np.arange(rows)
    return np.arange(rank(), rows, size())


def mean(total: Tensor, count: Tensor | float) -> Tensor:
    """`total` over the count that a process has on average: the mean of these over all processes, which is what
    gradients become, is the sum of all totals over the sum of all counts. A count of nothing counts as 1."""
    if size() == 1 and not isinstance(count, Tensor):  # nothing to bring to the device: a GPU need not wait for it
        return total / (count or 1)
    average = torch.as_tensor(count, dtype=torch.float32, device=total.device).detach().clone()
    if size() > 1:
        dist.all_reduce(average)
        average /= size()
    return total / torch.where(average == 0, 1.0, average)


def over_all(value: Tensor) -> Tensor:
    """The mean of the processes' values."""
    if size() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value / size()


def from_first(value: Any) -> Any:
    """What the first process has; whatever a clock or an evaluation decides must be decided once."""
    if size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def gathered(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """In the first process, the others' tensors under `process-<rank>/<name>`; nothing in the others."""
    if size() == 1:
        return {}
    boxes: list[Any] | None = [None] * size() if rank() == 0 else None
    dist.gather_object(values, boxes)
    return {
        f"process-{number}/{name}": tensor
        for number, box in enumerate(boxes or [])
        if number
        for name, tensor in box.items()
    }


class _Loss(nn.Module):
    """An objective as a module, which is what DistributedDataParallel wraps."""

    def __init__(self, objective: Any) -> None:
        super().__init__()
        self.model = objective.model
        self.objective = objective

    def forward(self, batch: Any) -> Tensor:
        loss: Tensor = self.objective.loss(batch)
        return loss


def loss_of(objective: Any) -> Any:
    """The objective's loss; among several processes the one whose backward averages gradients.

    From here on each process draws dropout of its own.
    """
    if size() == 1:
        return objective.loss
    torch.manual_seed(torch.initial_seed() + rank())
    # some heads rest for a batch (ALBERT's sentence order without pairs), and public weights bring parts nobody asks
    return DistributedDataParallel(_Loss(objective), find_unused_parameters=True)
