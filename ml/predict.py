"""Scores a whole set of pairs. Called by finetune (on the way), run (at the end) and verify (in a fresh process)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ml.averaging import Weights
from ml.batches import make_batch, scoring_plan
from ml.contract.finetune_config import FinetuneConfig
from ml.encoded import EncodedPairs
from ml.lean_scoring import scored_by
from ml.machine import Machine
from ml.pair_model import PairClassifier

Probabilities = npt.NDArray[np.float64]
SCORING_BATCH = 128  # fixed, never the training batch: the last bit of a product can depend on the batch's shape


@dataclass(frozen=True, slots=True)
class PairsToScore:
    """Pairs to score; with `turned`, the same pairs with their sides exchanged, the mean of both is taken."""

    encoded: EncodedPairs
    turned: EncodedPairs | None = None

    def __len__(self) -> int:
        return len(self.encoded)


@dataclass(frozen=True, slots=True)
class Scoring:
    """Where and how pairs are scored: products in bfloat16 or float32, by our own pass on CPUs or by transformers'.

    Of the last states on everything is float32 or float64: bfloat16 there would make ties.
    """

    device: torch.device
    bf16: bool = False
    lean: bool = True

    @property
    def dtype(self) -> torch.dtype:
        """Of the products."""
        return torch.bfloat16 if self.bf16 else torch.float32


def scoring_on(machine: Machine, phase: FinetuneConfig) -> Scoring:
    """As the config asks."""
    return Scoring(machine.device, phase.scoring_precision == "bfloat16")


def predict(model: PairClassifier, pairs: PairsToScore, scoring: Scoring) -> Probabilities:
    """Probability of label 1 of each row, in row order (N).

    Softmax of two classes is the sigmoid of their logits' difference, taken in float64.
    """
    with scored_by(model.encoder, scoring.dtype, lean=scoring.lean and scoring.device.type == "cpu"):
        straight_N = _predict(model, pairs.encoded, scoring)
        return straight_N if pairs.turned is None else (straight_N + _predict(model, pairs.turned, scoring)) / 2


def predict_mean(
    model: PairClassifier, checkpoints: list[Weights], pairs: PairsToScore, scoring: Scoring
) -> Probabilities:
    """Mean of the predictions of several sets of weights, in their order; `model` is left with the last ones."""
    total_N = np.zeros(len(pairs))
    for weights in checkpoints:
        model.load_state_dict(weights)
        total_N += predict(model, pairs, scoring)
    return total_N / len(checkpoints)


def _predict(model: PairClassifier, encoded: EncodedPairs, scoring: Scoring) -> Probabilities:
    model.eval()
    plan = scoring_plan(encoded.lengths_N, SCORING_BATCH)
    found = []
    with torch.inference_mode():
        for rows in plan:
            batch = make_batch(encoded, rows, model.config.pad_token_id).to(scoring.device)
            logits_B2 = model(batch)[0].double()
            found.append(torch.sigmoid(logits_B2[:, 1] - logits_B2[:, 0]))
    probabilities_N = np.empty(len(encoded), dtype=np.float64)
    if plan:
        probabilities_N[np.concatenate(plan)] = torch.cat(found).cpu().numpy()
    return probabilities_N
