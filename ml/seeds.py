"""One seed, many independent streams of random numbers: a change in masking never moves the split."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import torch

Stream = Literal["split", "shuffle", "mask", "weights", "augment", "swap", "generator", "bootstrap"]
_NUMBERS: dict[str, int] = {
    "split": 1,
    "shuffle": 2,
    "mask": 3,
    "weights": 4,
    "augment": 5,
    "swap": 6,
    "generator": 7,
    "bootstrap": 8,
}


def numpy_stream(seed: int, stream: Stream, index: int = 0) -> np.random.Generator:
    """NumPy's generator of `stream`; `index` tells passes apart."""
    return np.random.default_rng([seed, _NUMBERS[stream], index])


def torch_stream(seed: int, stream: Stream) -> torch.Generator:
    """A generator of torch on the CPU for `stream`."""
    import torch  # here: it takes seconds, and the split and the audit of it need NumPy alone

    return torch.Generator().manual_seed(_whole(seed, stream))


def seed_everything(seed: int) -> None:
    """Seed the global generators: they draw the first weights and dropout."""
    import torch

    whole = _whole(seed, "weights")
    random.seed(whole)
    np.random.seed(whole % 2**32)
    torch.manual_seed(whole)


def member_seed(seed: int, fold: int | None, repeat: int) -> int:
    """The seed of one training of an experiment: of the first, the experiment's own; of the others, different ones."""
    if not fold and not repeat:
        return seed
    return int(np.random.SeedSequence([seed, 100 + (fold or 0), repeat]).generate_state(1)[0] >> 1)


def _whole(seed: int, stream: Stream) -> int:
    return int(np.random.SeedSequence([seed, _NUMBERS[stream]]).generate_state(1, np.uint64)[0] >> 1)
