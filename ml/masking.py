"""Which tokens a masked language model must guess, drawn anew for each batch. For pretrain and the auxiliary loss.

One mechanism: the tokens of a sentence fall into groups (tokens, words, or spans of drawn lengths), and each group is
chosen with the same probability, so that every token is masked with exactly that probability. Groups never hold a
special token, so they end where the sentence ends. No loop over rows or words, and no strings.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ml.contract.experiment import PretrainConfig
from ml.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Masked:
    """A batch with holes. The tokens to guess are [MASK], another token, or themselves, in the config's shares."""

    ids_BL: Tensor
    places_M: Tensor  # of the tokens to guess, in the batch laid out flat (B*L)
    targets_M: Tensor  # their true ids


class Masker:
    """Masks batches with random numbers of its own, so that masking moves no other draw."""

    def __init__(self, tokens: Tokens, config: PretrainConfig, generator: torch.Generator):
        self.special_V = torch.zeros(tokens.vocab_size, dtype=torch.bool)
        self.special_V[list(tokens.never_masked)] = True
        self.ordinary = (~self.special_V).nonzero()[:, 0]  # what a random token may be
        self.mask_id = tokens.special_ids[-1]
        self.config = config
        self.generator = generator
        rate = config.mlm_probability
        # with a gap every second group of a run of chosen ones is dropped: q / (1 + q) of them are left
        self.probability = rate / (1 - rate) if config.gap_after_span else rate
        self.span_ends = torch.cumsum(torch.tensor(config.ngram_probabilities), 0)[:-1].contiguous()

    def __call__(self, ids_BL: Tensor, begins_BL: Tensor | None = None) -> Masked:
        """Mask a batch of CPU ids; `begins_BL`: where words begin, for whole_word.

        Special tokens are never chosen; at least one token is, if there is any other. Raises ValueError for
        whole_word without words.
        """
        flat_T = ids_BL.flatten()
        special_T = self.special_V[flat_T]
        group_T = torch.cumsum(self._begins(special_T, begins_BL), 0) - 1
        places_M = self._choose(group_T, special_T)[group_T].logical_and_(~special_T).nonzero()[:, 0]
        targets_M = flat_T[places_M]
        return Masked(self._with_holes(flat_T, places_M, targets_M).view_as(ids_BL), places_M, targets_M)

    def _begins(self, special_T: Tensor, begins_BL: Tensor | None) -> Tensor:
        """Where a group begins: at every special token, after it, and as `masking` says."""
        after_T = torch.ones_like(special_T)
        after_T[1:] = special_T[:-1]
        edge_T = special_T | after_T
        if self.config.masking == "token":
            return torch.ones_like(special_T)
        if self.config.masking == "ngram":
            return edge_T | self._span_begins(special_T, after_T)
        if begins_BL is None:
            raise ValueError("whole_word masking needs to know where words begin, and nobody marked them")
        return edge_T | begins_BL.flatten()

    def _span_begins(self, special_T: Tensor, after_T: Tensor) -> Tensor:
        """Cut each of S sentences into spans of drawn lengths, the last one ended by the sentence."""
        begins_T = torch.zeros_like(special_T)
        starts_S = (after_T & ~special_T).nonzero()[:, 0]
        if not len(starts_S):
            return begins_T
        tokens_T = (~special_T).int()
        lengths_S = torch.zeros(len(starts_S), dtype=torch.long)
        sentence_T = torch.cumsum((after_T & ~special_T).int(), 0) - 1
        lengths_S.index_add_(0, sentence_T[~special_T], tokens_T[~special_T].long())
        draws_SL = torch.rand(len(starts_S), int(lengths_S.max()), generator=self.generator)
        spans_SL = torch.bucketize(draws_SL, self.span_ends, right=True) + 1
        if self.config.ngram_divisor:
            spans_SL = torch.minimum(spans_SL, (lengths_S // self.config.ngram_divisor).clamp(min=1)[:, None])
        at_SL = torch.cumsum(spans_SL, 1) - spans_SL
        inside_SL = at_SL < lengths_S[:, None]
        begins_T[(starts_S[:, None] + at_SL)[inside_SL]] = True
        return begins_T

    def _choose(self, group_T: Tensor, special_T: Tensor) -> Tensor:
        """Which of the groups are masked."""
        groups = int(group_T[-1]) + 1
        ordinary_G = torch.zeros(groups, dtype=torch.bool)
        ordinary_G[group_T[~special_T]] = True
        chosen_G = (torch.rand(groups, generator=self.generator) < self.probability) & ordinary_G
        if self.config.gap_after_span:
            order_G = torch.arange(groups)
            unchosen_G = torch.cummax(torch.where(chosen_G, -1, order_G), 0).values
            chosen_G &= (order_G - unchosen_G) % 2 == 1
        if not chosen_G.any() and ordinary_G.any():
            candidates = ordinary_G.nonzero()[:, 0]
            chosen_G[candidates[torch.randint(len(candidates), (1,), generator=self.generator)]] = True
        return chosen_G

    def _with_holes(self, flat_T: Tensor, places_M: Tensor, targets_M: Tensor) -> Tensor:
        fate_M = torch.rand(len(places_M), generator=self.generator)
        random_M = self.ordinary[torch.randint(len(self.ordinary), (len(places_M),), generator=self.generator)]
        mask, other = self.config.mask_token_share, self.config.random_token_share
        kept_or_random_M = torch.where(fate_M < mask + other, random_M, targets_M)
        return flat_T.scatter(0, places_M, torch.where(fate_M < mask, self.mask_id, kept_or_random_M))
