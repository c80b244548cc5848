"""Scores of a split, by scikit-learn. Called by finetune and run."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from ml.contract.scores import Scores
from ml.errors import RunError

Labels = npt.NDArray[np.int8]


def scores(labels_N: Labels, probabilities_N: npt.NDArray[np.float64]) -> Scores:
    """AUC (ties count half), accuracy and F1 at 0.5, and log loss of probabilities of label 1.

    Raises RunError for labels of one class, or a prediction that is not a number.
    """
    if not np.isfinite(probabilities_N).all():
        raise RunError(
            f"{np.sum(~np.isfinite(probabilities_N))} of {len(probabilities_N)} predictions are not numbers: "
            "the training diverged, lower learning_rate"
        )
    if len(np.unique(labels_N)) < 2:
        raise RunError(f"all {len(labels_N)} labels are the same: AUC needs rows of both labels")
    guesses_N = (probabilities_N >= 0.5).astype(np.int8)
    return Scores(
        roc_auc=float(roc_auc_score(labels_N, probabilities_N)),
        accuracy=float(accuracy_score(labels_N, guesses_N)),
        f1=float(f1_score(labels_N, guesses_N, zero_division=0.0)),
        log_loss=float(log_loss(labels_N, probabilities_N, labels=[0, 1])),
    )
