"""The objectives of pretraining: guess masked tokens, and what ALBERT and ELECTRA add. Called by run."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from transformers import AlbertForPreTraining, PreTrainedModel

from ml import parallel
from ml.batches import Batch, make_batch, scoring_plan
from ml.contract.experiment import PretrainConfig
from ml.encoded import EncodedPairs
from ml.encoder import ARCHITECTURES, hidden_states, inputs, type_of
from ml.loop import Course, Objective, Training, train
from ml.machine import Machine
from ml.masking import Masked, Masker
from ml.pair_model import ElectraPair, pad_of
from ml.pairs import Rows
from ml.resume import Saves
from ml.seeds import torch_stream
from ml.teller import Tell
from ml.tokens import Tokens

_AT_ONCE = 2048  # rows that are masked together when masks are drawn once for all


@dataclass(frozen=True, slots=True)
class Corpus:
    """N rows to pretrain on. `turns`: behind them, `encoded` holds the same N with their sides exchanged (of a single
    sentence the same again)."""

    encoded: EncodedPairs
    is_pair_N: np.ndarray
    turns: bool = False

    def __len__(self) -> int:
        return len(self.is_pair_N)

    @property
    def lengths_N(self) -> np.ndarray:
        """Tokens of each row, special ones counted; turned round it has as many."""
        return self.encoded.lengths_N[: len(self)]


def pretrain(
    model: PreTrainedModel | ElectraPair,
    corpus: Corpus,
    tokens: Tokens,
    phase: PretrainConfig,
    seed: int,
    machine: Machine,
    tell: Tell,
    *,
    saves: Saves | None = None,
) -> None:
    """Train `model` in place on `corpus`; `saves` as in Course."""
    course = Course("pretrain", corpus.lengths_N, phase, seed, saves)
    train(
        Training(model, pretrain_objective(model, corpus, tokens, phase, seed, machine.device), course, machine, tell)
    )


def pretrain_objective(
    model: PreTrainedModel | ElectraPair,
    corpus: Corpus,
    tokens: Tokens,
    phase: PretrainConfig,
    seed: int,
    device: torch.device,
) -> Objective:
    """The objective that belongs to this kind of model."""
    drawn = Drawn(corpus, tokens, phase, seed, device)
    if isinstance(model, ElectraPair):
        return ReplacedTokens(model, drawn, phase, torch_stream(seed, "generator"))
    if isinstance(model, AlbertForPreTraining) and phase.sentence_order:
        return SentenceOrder(model, drawn)
    return MaskedLanguage(model, drawn)


@dataclass(frozen=True, slots=True)
class Holed:
    """A masked batch on the device. `order_B`: 1 for a turned pair, 0 for one as it stands, -1 for a sentence."""

    batch: Batch
    true_BL: Tensor
    places_M: Tensor
    targets_M: Tensor
    order_B: Tensor
    mine_M: Tensor  # which masked tokens of the whole batch these are, on the CPU


class Drawn:
    """Draws batches: which pairs are turned round, and which tokens are to be guessed."""

    def __init__(self, corpus: Corpus, tokens: Tokens, phase: PretrainConfig, seed: int, device: torch.device) -> None:
        self.corpus, self.device, self.pad_id = corpus, device, pad_of(tokens)
        self.encoded = corpus.encoded
        self.masker = Masker(tokens, phase, torch_stream(seed, "mask"))
        self.turns = torch_stream(seed, "swap")
        self.fixed = None if phase.dynamic else _masked_once(self.encoded, self.masker, self.pad_id)
        self.generators = {"mask": self.masker.generator, "swap": self.turns}

    def __call__(self, rows: Rows) -> Holed:
        """The masked batch of these rows."""
        order_B = np.where(self.corpus.is_pair_N[rows], 0, -1)
        if self.corpus.turns:
            turned_B = (torch.rand(len(rows), generator=self.turns) < 0.5).numpy()
            rows = rows + turned_B * len(self.corpus)
            order_B = np.where(order_B == 0, turned_B, order_B)
        batch = make_batch(self.encoded, rows, self.pad_id)
        masked = self._mask(batch)
        kept = torch.from_numpy(parallel.own_rows(len(rows)))
        place_B = torch.full((len(rows),), -1)
        place_B[kept] = torch.arange(len(kept))
        width = batch.ids_BL.size(1)
        row_M = place_B[masked.places_M // width]
        mine_M = row_M >= 0
        places_M = row_M[mine_M] * width + (masked.places_M % width)[mine_M]
        own = Batch(masked.ids_BL[kept], batch.types_BL[kept], batch.real_BL[kept], rows[kept.numpy()])
        return Holed(
            own.to(self.device),
            batch.ids_BL[kept].to(self.device, non_blocking=True),
            places_M.to(self.device, non_blocking=True),
            masked.targets_M[mine_M].to(self.device, non_blocking=True),
            torch.from_numpy(order_B.astype(np.int64))[kept].to(self.device, non_blocking=True),
            mine_M,
        )

    def _mask(self, batch: Batch) -> Masked:
        if self.fixed is None:
            return self.masker(batch.ids_BL, batch.begins_BL)
        holed = make_batch(replace(self.encoded, flat_T=self.fixed[0], begins_T=self.fixed[1]), batch.rows, self.pad_id)
        assert holed.begins_BL is not None  # noqa: S101 - the chosen places travel where word starts do
        places_M = (holed.begins_BL & batch.real_BL).flatten().nonzero()[:, 0]
        return Masked(holed.ids_BL, places_M, batch.ids_BL.flatten()[places_M])


def _masked_once(encoded: EncodedPairs, masker: Masker, pad_id: int) -> tuple[np.ndarray, np.ndarray]:
    """(ids with holes, whether a token is to be guessed) of the whole corpus: masks that never change."""
    flat_T, chosen_T = encoded.flat_T.copy(), np.zeros(len(encoded.flat_T), dtype=bool)
    for rows in scoring_plan(encoded.lengths_N, _AT_ONCE):
        batch = make_batch(encoded, rows, pad_id)
        masked = masker(batch.ids_BL, batch.begins_BL)
        place_BL = encoded.offsets[rows][:, None] + np.arange(batch.ids_BL.size(1))
        real_BL = batch.real_BL.numpy()
        flat_T[place_BL[real_BL]] = masked.ids_BL.numpy()[real_BL]
        guess_T = np.zeros(batch.ids_BL.numel(), dtype=bool)
        guess_T[masked.places_M.numpy()] = True
        chosen_T[place_BL[real_BL]] = guess_T.reshape(real_BL.shape)[real_BL]
    return flat_T, chosen_T


class MaskedLanguage:
    """Mean cross-entropy of the masked tokens of a batch (Devlin et al. 2019)."""

    def __init__(self, model: PreTrainedModel, drawn: Drawn) -> None:
        self.model, self.drawn, self.generators = model, drawn, drawn.generators

    def batch(self, rows: Rows) -> Holed:
        """A masked batch."""
        return self.drawn(rows)

    def loss(self, batch: Holed) -> Tensor:
        """Of the tokens to guess."""
        return masked_loss(self.model, hidden_states(self.model.base_model, batch.batch, batch.places_M), batch)


def masked_loss(model: PreTrainedModel, states_MD: Tensor, batch: Holed) -> Tensor:
    """The head at the masked places only: logits of all tokens would be 7 times the work and memory."""
    logits_MV = ARCHITECTURES[type_of(model.config)].lm_head(model, states_MD)
    return parallel.mean(cross_entropy(logits_MV.float(), batch.targets_M, reduction="sum"), len(batch.targets_M))


class SentenceOrder(MaskedLanguage):
    """ALBERT's: masked tokens, and whether the pair was turned round (Lan et al. 2020)."""

    def loss(self, batch: Holed) -> Tensor:
        """Sum of both; sentences by themselves have no order to tell."""
        out = self.model.albert(**inputs(batch.batch, "albert"))
        loss = masked_loss(self.model, out.last_hidden_state.flatten(0, 1)[batch.places_M], batch)
        order_B2 = self.model.sop_classifier(out.pooler_output)
        told = cross_entropy(order_B2.float(), batch.order_B, ignore_index=-1, reduction="sum")
        return loss + parallel.mean(told, (batch.order_B >= 0).sum())


class ReplacedTokens:
    """ELECTRA's: the generator guesses masked tokens, samples of its guesses replace them, and the discriminator tells
    which tokens were replaced (Clark et al. 2020). Loss: generator's + rtd_weight x discriminator's."""

    def __init__(self, model: ElectraPair, drawn: Drawn, phase: PretrainConfig, sampler: torch.Generator) -> None:
        self.model, self.drawn, self.weight, self.sampler = model, drawn, phase.rtd_weight, sampler
        self.generators = {**drawn.generators, "generator": sampler}
        self.special_V = drawn.masker.special_V.to(drawn.device)

    def batch(self, rows: Rows) -> tuple[Holed, Tensor]:
        """A masked batch, and random numbers for the samples: the same ones whenever its loss is asked for."""
        holed = self.drawn(rows)
        numbers_M = torch.rand(len(holed.mine_M), generator=self.sampler)[holed.mine_M]
        return holed, numbers_M.to(self.drawn.device, non_blocking=True)

    def loss(self, batch: tuple[Holed, Tensor]) -> Tensor:
        """Of both."""
        holed, numbers_M = batch
        generator = self.model.generator
        states_MD = hidden_states(generator.electra, holed.batch, holed.places_M)
        logits_MV = generator.generator_lm_head(generator.generator_predictions(states_MD)).float()
        guessing = parallel.mean(cross_entropy(logits_MV, holed.targets_M, reduction="sum"), len(holed.targets_M))
        with torch.no_grad():
            sampled_M = _sample(logits_MV.masked_fill(self.special_V, -torch.inf), numbers_M)
            seen_BL = holed.true_BL.flatten().scatter(0, holed.places_M, sampled_M).view_as(holed.true_BL)
        replaced_BL = (seen_BL != holed.true_BL).float()
        told_BL = self.model.discriminator.discriminator_predictions(
            hidden_states(self.model.discriminator.electra, replace(holed.batch, ids_BL=seen_BL))
        ).float()
        real_BL = (holed.batch.real_BL & ~self.special_V[holed.true_BL]).float()
        each_BL = binary_cross_entropy_with_logits(told_BL, replaced_BL, reduction="none")
        return guessing + self.weight * parallel.mean((each_BL * real_BL).sum(), real_BL.sum())


def _sample(logits_MV: Tensor, numbers_M: Tensor) -> Tensor:
    """One token a row from its softmax, by the inverse of the cumulative distribution at numbers_M in [0, 1)."""
    cumulative_MV = torch.cumsum(torch.softmax(logits_MV.double(), dim=-1), dim=-1)
    found_M = torch.searchsorted(cumulative_MV, (numbers_M.double() * cumulative_MV[:, -1])[:, None], right=True)
    return found_M[:, 0].clamp(max=logits_MV.size(-1) - 1)
