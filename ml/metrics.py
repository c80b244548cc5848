"""Scores of a split, by scikit-learn. Called by finetune, run and blend."""

import numpy as np
import numpy.typing as npt
from scipy.stats import bootstrap
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from ml.contract.scores import Scores
from ml.errors import RunError

Labels = npt.NDArray[np.int8]
RESAMPLES = 1000
CELLS = 1 << 20  # resamples times rows that are in memory at once: 8 MB an array


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
    if clusters < 2:
        return 0.0, 1.0
    order_N = np.argsort(probabilities_N, kind="stable")
    positive_N, cluster_N = labels_N[order_N] == 1, cluster_N[order_N]
    ties = np.flatnonzero(np.diff(probabilities_N[order_N], prepend=-np.inf))  # where each distinct probability begins

    def auc_of(drawn_BC: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.float64]:  # noqa: ARG001 - scipy gives it
        """Of B resamples at once: one sort serves them all, where roc_auc_score sorts for each."""
        place_BC = drawn_BC + np.arange(len(drawn_BC))[:, None] * clusters
        times_BC = np.bincount(place_BC.ravel(), minlength=drawn_BC.size).reshape(drawn_BC.shape)
        times_BN = times_BC[:, cluster_N].astype(float)
        positive_BT, negative_BT = (np.add.reduceat(times_BN * rows_N, ties, 1) for rows_N in (positive_N, ~positive_N))
        below_BT = np.cumsum(negative_BT, 1) - negative_BT / 2  # negatives ranked lower, those of a tie by half
        pairs_B = positive_BT.sum(1) * negative_BT.sum(1)
        found_B = np.full(len(drawn_BC), 0.5)  # one label alone tells nothing
        return np.divide((positive_BT * below_BT).sum(1), pairs_B, out=found_B, where=pairs_B > 0)

    found = bootstrap(
        (np.arange(clusters),),
        auc_of,
        n_resamples=RESAMPLES,
        batch=max(1, CELLS // len(labels_N)),
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
