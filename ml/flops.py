"""How much arithmetic a training needs, and how much of it this device can do. Called by meter.

Model-FLOPs utilisation (Chowdhery et al. 2022, PaLM, appendix B): operations that the model needs by formula, whatever
is recomputed or spared, over what the device can do. A device's data sheet is a promise; here it is a plain product of
matrices on this device, in the precision of the training, when the training began.
"""

import time
from functools import cache

import torch
from torch import nn
from transformers import PreTrainedModel

from ml.machine import Machine
from ml.pairs import Rows

_SIDE = {"cpu": 768, "cuda": 8192}  # of the square matrices of the measurement
_SECONDS = {"cpu": 0.02, "cuda": 0.05}


class Work:
    """Floating-point operations of one training step: 6 a matrix parameter and token (2 forward, 4 backward), and
    12 x width x length a token and layer for attention. Embedding look-ups and heads are not counted."""

    def __init__(self, model: nn.Module) -> None:
        self.a_token = self.a_token_and_place = 0.0
        for part in model.modules():
            if isinstance(part, PreTrainedModel) and hasattr(part, "embeddings") and hasattr(part, "encoder"):
                self._add(part)

    def _add(self, encoder: PreTrainedModel) -> None:
        config = encoder.config
        for name, parameter in encoder.encoder.named_parameters():
            # ALBERT passes through its one layer many times
            times = config.num_hidden_layers if "albert_layer_groups" in name else 1
            self.a_token += 6 * parameter.numel() * times if parameter.dim() > 1 else 0
        self.a_token_and_place += 12 * config.hidden_size * config.num_hidden_layers

    def of(self, lengths_B: Rows) -> float:
        """Of a step over pairs of these lengths."""
        lengths = lengths_B.astype(float)
        return float(self.a_token * lengths.sum() + self.a_token_and_place * (lengths**2).sum())


@cache
def matrix_rate(machine: Machine) -> float:
    """Floating-point operations a second of a square product of matrices, the best of several."""
    side, kind = _SIDE[machine.device.type], machine.device.type
    matrix = torch.full((side, side), 0.01, device=machine.device, dtype=torch.bfloat16 if machine.bf16 else None)
    torch.mm(matrix, matrix)
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < _SECONDS[kind] or best == float("inf"):
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        if kind == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2.0 * side**3 / best
