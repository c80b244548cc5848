"""AdamW (Loshchilov and Hutter 2019), Lookahead around it, and the learning rate of a step. Called by loop."""

import math
import re

import torch
from torch import Tensor, nn

from ml.contract.training_config import Phase

_LAYER = re.compile(r"\.layer\.(\d+)\.")


class Lookahead:
    """k steps forward, one step back (Zhang et al. 2019): every k steps slow += alpha (fast - slow), fast = slow.

    `param_groups` are the inner optimizer's own list: a schedule that writes into a copy of it, as wrappers invite,
    leaves the inner learning rate where it was.
    """

    def __init__(self, inner: torch.optim.Optimizer, steps: int, alpha: float) -> None:
        self.inner, self.k, self.alpha = inner, steps, alpha
        self.taken = 0
        self.slow = [p.detach().clone() for p in _parameters(inner)]

    @property
    def param_groups(self) -> list[dict]:
        """The inner optimizer's groups."""
        return self.inner.param_groups

    def step(self) -> None:
        """One inner step, and every k-th time the step back."""
        self.inner.step()
        self.taken += 1
        if self.taken % self.k:
            return
        with torch.no_grad():
            for slow, fast in zip(self.slow, _parameters(self.inner), strict=True):
                slow.lerp_(fast, self.alpha)
                fast.copy_(slow)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        self.inner.zero_grad(set_to_none=set_to_none)


Optimizer = torch.optim.Optimizer | Lookahead


def make_optimizer(model: nn.Module, phase: Phase) -> Optimizer:
    """AdamW that spares biases and LayerNorm (every parameter of one dimension) of weight decay, with layer-wise
    learning rates and Lookahead if asked for. A group's `scale` is what its learning rate is multiplied by.

    fused: one kernel for all parameters, measured 5-20% of a step faster here.
    """
    top = max((_depth(name, 0) for name, _ in model.named_parameters()), default=0) + 1
    groups: dict[tuple[int, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = _depth(name, top) if phase.layer_decay < 1 else top
            groups.setdefault((depth, parameter.dim() > 1), []).append(parameter)
    inner = torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": phase.weight_decay if decays else 0.0,
                "scale": phase.layer_decay ** (top - depth),
            }
            for (depth, decays), parameters in groups.items()
        ],
        lr=phase.learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        fused=True,
    )
    return Lookahead(inner, phase.lookahead_steps, phase.lookahead_alpha) if phase.lookahead_steps else inner


def _depth(name: str, top: int) -> int:
    """0: embeddings. i + 1: layer i (ALBERT's one layer: 1). `top`: everything above the encoder."""
    if found := _LAYER.search(name):
        return int(found[1]) + 1
    if "albert_layer" in name or "embedding_hidden_mapping" in name:
        return 1
    return 0 if "embeddings" in name else top


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group `rate` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def learning_rate(at: float, total_steps: int, phase: Phase, plateau_scale: float = 1.0) -> float:
    """Of step `at` (1-based; under a time budget a fraction): rises over warmup_ratio of the steps, then follows
    lr_scheduler_type. Linear and cosine reach 0 one step after the last."""
    warmup = round(phase.warmup_ratio * total_steps)
    if at <= warmup:
        return phase.learning_rate * at / (warmup + 1)
    left = max(0.0, (total_steps + 1 - at) / (total_steps - warmup))
    if phase.lr_scheduler_type == "linear":
        return phase.learning_rate * left
    if phase.lr_scheduler_type == "cosine":
        return phase.learning_rate * 0.5 * (1 + math.cos(math.pi * (1 - left)))
    return phase.learning_rate * plateau_scale


def state_of(optimizer: Optimizer) -> dict[str, Tensor]:
    """All that the optimizer knows, by name, for a file: moments and steps of AdamW, Lookahead's slow weights."""
    inner = optimizer.inner if isinstance(optimizer, Lookahead) else optimizer
    found: dict[str, Tensor] = {}
    for number, parameter in enumerate(_parameters(inner)):
        for name, value in inner.state.get(parameter, {}).items():
            found[f"{number}.{name}"] = value
    if isinstance(optimizer, Lookahead):
        found["taken"] = torch.tensor(optimizer.taken)
        found |= {f"{number}.slow": slow for number, slow in enumerate(optimizer.slow)}
    return found


def restore(optimizer: Optimizer, saved: dict[str, Tensor]) -> None:
    """Put back what state_of gave. Raises KeyError for a state of another optimizer."""
    inner = optimizer.inner if isinstance(optimizer, Lookahead) else optimizer
    for number, parameter in enumerate(_parameters(inner)):
        names = [key for key in saved if key.startswith(f"{number}.") and not key.endswith(".slow")]
        if names:
            # AdamW's step counter lives on the parameter's device because it is fused
            inner.state[parameter] = {key.split(".", 1)[1]: saved[key].to(parameter.device).clone() for key in names}
    if isinstance(optimizer, Lookahead):
        optimizer.taken = int(saved["taken"])
        with torch.no_grad():
            for number, slow in enumerate(optimizer.slow):
                slow.copy_(saved[f"{number}.slow"])


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
