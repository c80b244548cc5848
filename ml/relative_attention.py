"""NEZHA's functional relative positions (Wei et al. 2019), as an attention function of transformers. For encoder.

To each query's product with a key the query's product with R[j - i] is added, and to each value R[j - i]. R is the
sinusoid of Vaswani et al. 2017 of the clipped distance, as wide as a head, without parameters.
"""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

RELATIVE = "pairboard_relative"
FARTHEST = 64  # distances are clipped to it, as in the paper's code


@lru_cache(maxsize=64)
def relative_positions(length: int, width: int, device: torch.device) -> Tensor:
    """R_RD: the sinusoids of the distances -(L - 1) to L - 1, in this order (R = 2 L - 1)."""
    distance_R = torch.arange(1 - length, length, device=device).clamp(-FARTHEST, FARTHEST).float()
    frequency = torch.exp(torch.arange(0, width, 2, device=device).float() * (-math.log(10000.0) / width))
    angle = distance_R[:, None] * frequency
    return torch.stack([torch.sin(angle), torch.cos(angle)], dim=-1).flatten(-2)[:, :width].contiguous()


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention with relative positions: query, key, value (B, heads, L, D) -> (B, L, heads, D), weights.

    One product with all 2 L - 1 distances and a shifted view of it: a product for each pair of places took 1.6 times
    as long a step.
    """
    width, length = query.size(-1), query.size(-2)
    # made outside inference mode, or the cached tensor could not be used in training
    with torch.inference_mode(False):
        relative_RD = relative_positions(length, width, query.device)
    relative_RD = relative_RD.to(query.dtype)
    scores = torch.matmul(query, key.transpose(2, 3)) + by_place(torch.matmul(query, relative_RD.T))
    scores = scores * (scaling if scaling is not None else width**-0.5)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    mixed = torch.matmul(weights, value) + torch.matmul(by_distance(weights), relative_RD)
    return mixed.transpose(1, 2).contiguous(), weights


def by_place(of_distance: Tensor) -> Tensor:
    """(..., L, 2 L - 1), its last axis the distance j - i, as (..., L, L), its last axis the place j."""
    length = of_distance.size(-2)
    step = 2 * length - 2  # row i begins one distance further left than row i - 1
    flat = of_distance.flatten(-2)[..., length - 1 : length - 1 + length * step]
    return flat.unflatten(-1, (length, step))[..., :length]


def by_distance(of_place: Tensor) -> Tensor:
    """The inverse of by_place, with zeros where there is no place."""
    length = of_place.size(-1)
    wide = nn.functional.pad(of_place, (0, length - 2)).flatten(-2)
    return nn.functional.pad(wide, (length - 1, 1)).unflatten(-1, (length, 2 * length - 1))


AttentionInterface.register(RELATIVE, attend)
