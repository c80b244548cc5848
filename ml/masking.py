"""Which tokens a masked language model must guess (Devlin et al. 2019), drawn anew for each batch. For pretrain."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Masked:
    """A batch with holes. Of the tokens to guess 80% are [MASK], 10% another token, 10% themselves."""

    ids_BL: Tensor
    places_M: Tensor  # of the tokens to guess, in the batch laid out flat (B*L)
    targets_M: Tensor  # their true ids


class Masker:
    """Masks batches with random numbers of its own, so that masking moves no other draw."""

    def __init__(self, special_ids: tuple[int, ...], vocab_size: int, probability: float, generator: torch.Generator):
        """`special_ids` in the order of vocabulary.SPECIALS; the last is [MASK]."""
        self.special_V = torch.zeros(vocab_size, dtype=torch.bool)
        self.special_V[list(special_ids)] = True
        self.ordinary = (~self.special_V).nonzero()[:, 0]  # what a random token may be
        self.mask_id = special_ids[-1]
        self.probability = probability
        self.generator = generator

    def __call__(self, ids_BL: Tensor) -> Masked:
        """Mask a batch of CPU ids. Special tokens are never chosen; at least one token is, if there is any other."""
        flat_T = ids_BL.flatten()
        candidates = (~self.special_V[flat_T]).nonzero()[:, 0]
        chosen = torch.rand(len(candidates), generator=self.generator) < self.probability
        if len(candidates) and not chosen.any():
            chosen[torch.randint(len(candidates), (1,), generator=self.generator)] = True
        places_M = candidates[chosen]
        targets_M = flat_T[places_M]
        return Masked(self._with_holes(flat_T, places_M, targets_M).view_as(ids_BL), places_M, targets_M)

    def _with_holes(self, flat_T: Tensor, places_M: Tensor, targets_M: Tensor) -> Tensor:
        fate_M = torch.rand(len(places_M), generator=self.generator)
        random_M = self.ordinary[torch.randint(len(self.ordinary), (len(places_M),), generator=self.generator)]
        new_M = torch.where(fate_M < 0.8, self.mask_id, torch.where(fate_M < 0.9, random_M, targets_M))
        return flat_T.scatter(0, places_M, new_M)
