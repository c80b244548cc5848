"""Scores a whole set of pairs. Called by finetune (on the way), run (at the end) and verify (in a fresh process)."""

import numpy as np
import numpy.typing as npt
import torch
from transformers import BertForSequenceClassification

from ml.batches import make_batch, scoring_plan
from ml.encoder import inputs
from ml.tokens import EncodedPairs

Probabilities = npt.NDArray[np.float64]
SCORING_BATCH = 128  # fixed, never the training batch: the last bit of a product can depend on the batch's shape


def predict(model: BertForSequenceClassification, encoded: EncodedPairs, device: torch.device) -> Probabilities:
    """Probability of label 1 of each row, in row order (N). float32 inside, on every device: bfloat16 would make ties.

    Softmax of two classes is the sigmoid of their logits' difference, taken in float64.
    """
    model.eval()
    plan = scoring_plan(encoded.lengths_N, SCORING_BATCH)
    found = []
    with torch.inference_mode():
        for rows in plan:
            batch = make_batch(encoded, rows, model.config.pad_token_id).to(device)
            logits_B2 = model(**inputs(batch)).logits.double()
            found.append(torch.sigmoid(logits_B2[:, 1] - logits_B2[:, 0]))
    probabilities_N = np.empty(len(encoded), dtype=np.float64)
    if plan:
        probabilities_N[np.concatenate(plan)] = torch.cat(found).cpu().numpy()
    return probabilities_N
