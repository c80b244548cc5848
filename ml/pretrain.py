"""The objective of pretraining: guess masked tokens of the training pairs. Called by run."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertForMaskedLM

from ml.batches import Batch, make_batch, training_plan
from ml.contract.experiment import PretrainConfig
from ml.encoder import hidden_states
from ml.loop import Course, Objective, train
from ml.machine import Machine
from ml.masking import Masker
from ml.pair_model import pad_of
from ml.pairs import Rows
from ml.seeds import torch_stream
from ml.teller import Tell
from ml.tokens import EncodedPairs, Tokens


def pretrain(
    model: BertForMaskedLM,
    encoded: EncodedPairs,
    tokens: Tokens,
    phase: PretrainConfig,
    seed: int,
    machine: Machine,
    tell: Tell,
) -> None:
    """Train `model` in place on `encoded`, the training part only."""
    masker = Masker(tokens.special_ids, tokens.vocab_size, phase.mlm_probability, torch_stream(seed, "mask"))
    course = Course("pretrain", len(encoded), training_plan(encoded.lengths_N, phase.batch_size, seed), phase)
    train(model, mlm_objective(model, encoded, masker, pad_of(tokens), machine.device), course, machine, tell)


def mlm_objective(
    model: BertForMaskedLM, encoded: EncodedPairs, masker: Masker, pad_id: int, device: torch.device
) -> Objective:
    """Mean cross-entropy of the masked tokens of a batch."""

    def objective(rows: Rows) -> Tensor:
        batch = make_batch(encoded, rows, pad_id)
        masked = masker(batch.ids_BL)
        holed = Batch(masked.ids_BL, batch.types_BL, batch.real_BL, rows).to(device)
        hidden_TD = hidden_states(model.bert, holed).flatten(0, 1)
        # the head at the masked places only: logits of all tokens would be 7 times the work and memory
        logits_MV = model.cls(hidden_TD[masked.places_M.to(device)])
        loss = cross_entropy(logits_MV.float(), masked.targets_M.to(device), reduction="sum")
        return loss / max(1, len(masked.targets_M))

    return objective
