"""What exchanging the sides of a pair changes in the predictions of a trained model. Called by run, at its end."""

import numpy as np

from ml.averaging import Weights
from ml.contract.events import SwapConsistency
from ml.metrics import scores
from ml.pair_model import PairClassifier
from ml.pairs import Pairs
from ml.predict import PairsToScore, Probabilities, Scoring, predict_mean
from ml.tokens import Tokens

MOST_ROWS = 2000  # spread over the valid part: some seconds at most on a CPU


def swap_consistency(
    model: PairClassifier,
    weights: list[Weights],
    held: Pairs,
    valid_N: Probabilities,
    tokens: Tokens,
    scoring: Scoring,
    *,
    both_ways: bool,
) -> SwapConsistency | None:
    """Of the pairs that were held out, with the probabilities that they got. `both_ways`: the model scores each pair
    and its mirror image, so that nothing but rounding is left. None when the rows looked at lack a label."""
    rows = np.unique(np.linspace(0, len(held) - 1, min(len(held), MOST_ROWS)).round().astype(np.int64))
    labels_N = held.labels_N[rows]
    if len(np.unique(labels_N)) < 2:
        return None
    straight, turned = tokens.encode_both_ways(held.only(rows), turned=True)
    assert turned is not None  # noqa: S101 - it was asked for
    pairs = PairsToScore(turned, straight if both_ways else None)
    turned_N = predict_mean(model, weights, pairs, scoring)
    difference = float(np.abs(turned_N - valid_N[rows]).mean())
    return SwapConsistency(rows=len(rows), difference=difference, roc_auc=scores(labels_N, turned_N).roc_auc)
