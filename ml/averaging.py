"""Which weights a finetuning leaves: the last ones, a mean of weights, or several whose predictions are averaged.

Checkpoints lie in a hidden folder of the run and are gone at its end. Called by finetune through the loop.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ml.contract.finetune_config import FinetuneConfig

Weights = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint on disk: the step it was taken at, and the valid AUC it had (None without a valid part)."""

    step: int
    value: float | None


class Keeper:
    """Follows a training and keeps what averaging needs."""

    def __init__(self, model: nn.Module, config: FinetuneConfig, folder: Path) -> None:
        self.model, self.config, self.folder = model, config, folder
        self.kept: list[Kept] = []
        mean = get_ema_multi_avg_fn(config.ema_decay) if config.averaging == "ema" else None
        self.mean = AveragedModel(model, multi_avg_fn=mean) if config.averaging in {"ema", "swa"} else None

    def after_step(self, progress: float) -> None:
        """Take the weights into the running mean. `progress`: share of the training that is done."""
        if self.mean is not None and (self.config.averaging == "ema" or progress > self.config.swa_start):
            self.mean.update_parameters(self.model)

    def after_evaluation(self, step: int, value: float | None) -> None:
        """Write a checkpoint if it may be among those that are wanted in the end, and drop one that is not."""
        if not self._wanted:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        here = Kept(step, value)
        self.kept.append(here)
        if self._by_value:
            self.kept.sort(key=lambda kept: (-(kept.value or 0.0), kept.step))
        dropped = self.kept[self._wanted :] if self._by_value else self.kept[: -self._wanted]
        self.kept = [kept for kept in self.kept if kept not in dropped]
        if here in self.kept:
            state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.model.state_dict().items()}
            self._write(here, state)
        for kept in dropped:
            self._path(kept).unlink(missing_ok=True)

    def results(self) -> list[Weights]:
        """The weights to predict with: one set, or several for averaged predictions."""
        if self.mean is not None and int(self.mean.n_averaged) > 0:
            return [dict(self.mean.module.state_dict())]
        if not self.kept:
            return [dict(self.model.state_dict())]
        checkpoints = [load_file(self._path(kept)) for kept in sorted(self.kept, key=lambda kept: kept.step)]
        if self.config.averaging.endswith("_predictions"):
            return checkpoints
        return [mean_of(checkpoints)]

    def forget(self) -> None:
        """Remove the checkpoints from the disk."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def state(self) -> tuple[Weights, str]:
        """Tensors and facts for a checkpoint: the kept weights too, for it may be read on another machine."""
        tensors = {} if self.mean is None else {f"mean/{name}": t for name, t in self.mean.state_dict().items()}
        for kept in self.kept:
            tensors |= {f"kept-{kept.step}/{name}": t for name, t in load_file(self._path(kept)).items()}
        return tensors, json.dumps([asdict(kept) for kept in self.kept])

    def restore(self, tensors: Weights, facts: str) -> None:
        """Put back what state() gave."""
        if self.mean is not None:
            self.mean.load_state_dict(_under("mean/", tensors))
        rows: list[dict[str, Any]] = json.loads(facts)
        self.kept = [Kept(**row) for row in rows]
        self.folder.mkdir(parents=True, exist_ok=True)
        for kept in self.kept:
            self._write(kept, _under(f"kept-{kept.step}/", tensors))

    def _write(self, kept: Kept, weights: Weights) -> None:
        beside = self._path(kept).with_suffix(".part")
        save_file(weights, beside)
        beside.replace(self._path(kept))

    @property
    def _wanted(self) -> int:
        """How many checkpoints to hold."""
        if self.config.averaging.startswith(("last_", "best_")):
            return self.config.averaging_checkpoints
        return 1 if self.config.early_stopping_patience else 0

    @property
    def _by_value(self) -> bool:
        return not self.config.averaging.startswith("last_")

    def _path(self, kept: Kept) -> Path:
        return self.folder / f"step-{kept.step}.safetensors"


def _under(prefix: str, tensors: Weights) -> Weights:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def mean_of(checkpoints: list[Weights]) -> Weights:
    """Mean of each tensor, in float64 so that the order does not matter to the last bit; whole numbers as the first."""
    if len(checkpoints) == 1:
        return checkpoints[0]
    return {
        name: torch.stack([weights[name].double() for weights in checkpoints]).mean(0).to(first.dtype)
        if first.is_floating_point()
        else first
        for name, first in checkpoints[0].items()
    }
