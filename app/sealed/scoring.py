"""Scores of predictions by answers, with scikit-learn. Called by answers.py alone."""

import numpy as np
from numpy.typing import NDArray

#: A score with all its digits is a message about single rows: a log loss of sixteen digits gives away dozens of labels.
SHOWN_DECIMALS = 5


def score(metric: str, labels: NDArray[np.int8], predictions: NDArray[np.float64]) -> float:
    """Of predictions from 0 to 1; accuracy and F1 take 0.5 as the threshold. Rounded before anybody sees it."""
    from sklearn import metrics  # a second to import, and few requests come here

    guesses = (predictions >= 0.5).astype(np.int8)
    if metric == "roc_auc":
        value = metrics.roc_auc_score(labels, predictions)
    elif metric == "accuracy":
        value = metrics.accuracy_score(labels, guesses)
    elif metric == "f1":
        value = metrics.f1_score(labels, guesses, zero_division=0.0)
    else:
        value = metrics.log_loss(labels, predictions, labels=[0, 1])
    return round(float(value), SHOWN_DECIMALS)
