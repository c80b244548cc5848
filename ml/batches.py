"""Which rows make a batch, and the padded tensors of one. Called by the objectives and by predict.

Rows of like length stand together, which saves most of the padding: pairs of these contests are of 6 to 160 tokens.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ml.encoded import EncodedPairs
from ml.pairs import Rows
from ml.seeds import numpy_stream

CHUNK_BATCHES = 50  # batches among which rows are sorted: enough to save padding, few enough to stay random
WIDTH_MULTIPLE = 2  # half the shapes for oneDNN to prepare; costs half a token a row


@dataclass(frozen=True, slots=True)
class Batch:
    """B pairs padded to a common width L (int64)."""

    ids_BL: Tensor
    types_BL: Tensor  # 0: [CLS] a [SEP] and padding; 1: b [SEP]
    real_BL: Tensor  # bool: not padding
    rows: Rows  # B, where they come from
    begins_BL: Tensor | None = None  # bool: begins a word; on the CPU, where masks are drawn

    def to(self, device: torch.device) -> "Batch":
        """The same batch on `device`, copied without waiting."""
        moved = (t.to(device, non_blocking=True) for t in (self.ids_BL, self.types_BL, self.real_BL))
        return Batch(*moved, self.rows)


def round_up(width: int) -> int:
    """`width`, up to the next multiple of WIDTH_MULTIPLE."""
    return -(-width // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Batches of one pass, a last smaller one counted."""
    return -(-rows // batch_size)


def training_plan(lengths_N: Rows, batch_size: int, seed: int, start: int = 0) -> Iterator[Rows]:
    """Endless batches (row numbers), pass after pass; each row once a pass, each pass in another order.

    `start`: how many batches are behind already, when a training goes on.
    """
    epoch, skip = divmod(start, steps_per_epoch(len(lengths_N), batch_size))
    while True:
        yield from epoch_plan(lengths_N, batch_size, numpy_stream(seed, "shuffle", epoch))[skip:]
        epoch, skip = epoch + 1, 0


def epoch_plan(lengths_N: Rows, batch_size: int, random: np.random.Generator) -> list[Rows]:
    """Batches of one pass: shuffled, sorted by length inside chunks, then the batches' order shuffled.

    A smaller batch is of any length: were it what is left at the end, the longest rows would weigh most in every pass.
    """
    order = random.permutation(len(lengths_N))
    chunk = CHUNK_BATCHES * batch_size
    batches: list[Rows] = []
    for start in range(0, len(order), chunk):
        rows = order[start : start + chunk]
        rows = rows[np.argsort(lengths_N[rows], kind="stable")]
        starts = np.arange(0, len(rows), batch_size)
        if len(rows) % batch_size:
            starts[random.integers(len(starts)) + 1 :] -= batch_size - len(rows) % batch_size
        batches.extend(np.split(rows, starts[1:]))
    return [batches[number] for number in random.permutation(len(batches))]


def scoring_plan(lengths_N: Rows, batch_size: int) -> list[Rows]:
    """Batches of a whole set by length, longest first: if memory does not suffice, it shows at once."""
    order = np.argsort(-lengths_N, kind="stable")
    return [order[at : at + batch_size] for at in range(0, len(order), batch_size)]


def make_batch(encoded: EncodedPairs, rows: Rows, pad_id: int) -> Batch:
    """The padded tensors of `rows`, gathered without a loop over rows."""
    width = round_up(int((encoded.offsets[rows + 1] - encoded.offsets[rows]).max()))
    ids_BL, types_BL, real_BL = (torch.from_numpy(array) for array in encoded.padded(rows, width, pad_id))
    begins_BL = None
    if encoded.begins_T is not None:
        place_BL = np.minimum(encoded.offsets[rows][:, None] + np.arange(width), len(encoded.begins_T) - 1)
        begins_BL = torch.from_numpy(encoded.begins_T[place_BL]) | ~real_BL.bool()
    return Batch(ids_BL, types_BL, real_BL.bool(), rows, begins_BL)
