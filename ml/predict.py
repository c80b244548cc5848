"""Scores a whole set of pairs. Called by finetune (on the way), run (at the end) and verify (in a fresh process)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ml.averaging import Weights
from ml.batches import make_batch, scoring_plan
from ml.encoded import EncodedPairs
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


def predict(model: PairClassifier, pairs: PairsToScore, device: torch.device) -> Probabilities:
    """Probability of label 1 of each row, in row order (N). float32 inside, on every device: bfloat16 would make ties.

    Softmax of two classes is the sigmoid of their logits' difference, taken in float64.
    """
    straight_N = _predict(model, pairs.encoded, device)
    return straight_N if pairs.turned is None else (straight_N + _predict(model, pairs.turned, device)) / 2


def predict_mean(
    model: PairClassifier, checkpoints: list[Weights], pairs: PairsToScore, device: torch.device
) -> Probabilities:
    """Mean of the predictions of several sets of weights, in their order; `model` is left with the last ones."""
    total_N = np.zeros(len(pairs))
    for weights in checkpoints:
        model.load_state_dict(weights)
        total_N += predict(model, pairs, device)
    return total_N / len(checkpoints)


def _predict(model: PairClassifier, encoded: EncodedPairs, device: torch.device) -> Probabilities:
    model.eval()
    plan = scoring_plan(encoded.lengths_N, SCORING_BATCH)
    found = []
    with torch.inference_mode():
        for rows in plan:
            batch = make_batch(encoded, rows, model.config.pad_token_id).to(device)
            logits_B2 = model(batch)[0].double()
            found.append(torch.sigmoid(logits_B2[:, 1] - logits_B2[:, 0]))
    probabilities_N = np.empty(len(encoded), dtype=np.float64)
    if plan:
        probabilities_N[np.concatenate(plan)] = torch.cat(found).cpu().numpy()
    return probabilities_N
