"""Scores of a split, by scikit-learn. Called by finetune, run and blend."""

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from ml.contract.scores import Scores
from ml.errors import RunError

Labels = npt.NDArray[np.int8]
RESAMPLES = 1000


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


def auc_interval(
    labels_N: Labels, probabilities_N: npt.NDArray[np.float64], component_N: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """95% interval of the AUC: percentile bootstrap over components (Efron 1979; clusters: Field and Welsh 2007).

    Rows that share sentences are not independent, so whole components are drawn. Seeded: the same predictions give
    the same interval.
    """
    _, cluster_N = np.unique(component_N, return_inverse=True)
    clusters = int(cluster_N.max()) + 1

    def auc_of(drawn_C: npt.NDArray[np.int64]) -> float:
        weights_N = np.bincount(drawn_C, minlength=clusters)[cluster_N].astype(float)
        seen = labels_N[weights_N > 0]
        if len(np.unique(seen)) < 2:
            return 0.5  # one label alone tells nothing
        return float(roc_auc_score(labels_N, probabilities_N, sample_weight=weights_N))

    if clusters < 2:
        return 0.0, 1.0
    found = bootstrap(
        (np.arange(clusters),),
        auc_of,
        n_resamples=RESAMPLES,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
