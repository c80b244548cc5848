"""AUCs of several rows on the same pairs, their covariance, and whether two of them differ by more than noise.

Arrays in, numbers out; called by noise.py. K rows of the table are compared on N pairs. The pairs of one component
share sentences and err together: with `clusters_N` they count as one draw (Obuchowski 1997, Nonparametric analysis of
clustered ROC curve data, Biometrics 53); without, each pair is a draw of its own (DeLong, DeLong and Clarke-Pearson
1988, Biometrics 44; midranks in O(N log N): Sun and Xu 2014, IEEE Signal Processing Letters 21).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Aucs:
    """`auc_K`, and the covariance `covariance_KK` of their estimates."""

    auc_K: Floats
    covariance_KK: Floats


def aucs(labels_N: NDArray[np.bool_], scores_KN: Floats, clusters_N: NDArray[np.int64] | None = None) -> Aucs:
    """AUC of each row (ties count half) with the covariance of the estimates.

    Raises ValueError when a label is missing altogether, a score is not finite, or all pairs lie in one cluster: one
    draw has no spread.
    """
    if not np.isfinite(scores_KN).all():
        raise ValueError("a score is not a number")
    ones, zeros = int(labels_N.sum()), int((~labels_N).sum())
    if not ones or not zeros:
        raise ValueError(f"{ones} positives and {zeros} negatives: an AUC needs both")
    auc_K, influence_KN = np.empty(len(scores_KN)), np.empty(scores_KN.shape)
    for row, scores_N in enumerate(scores_KN):
        positive_M, negative_M = _placements(labels_N, scores_N)
        auc_K[row] = auc = positive_M.mean()
        # how much each pair moves the AUC: the mean of all of them is 0
        influence_KN[row, labels_N] = (positive_M - auc) / ones
        influence_KN[row, ~labels_N] = (negative_M - auc) / zeros
    if clusters_N is None:
        return Aucs(auc_K, _independent(influence_KN, labels_N))
    return Aucs(auc_K, _clustered(influence_KN, clusters_N))


def _placements(labels_N: NDArray[np.bool_], scores_N: Floats) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties count
    half. From one sort: midranks of all, of the positives and of the negatives would take three."""
    order = np.argsort(scores_N)
    sorted_N, ones_N = scores_N[order], labels_N[order]
    begins = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))  # of each run of ties
    sizes_G = np.diff(np.concatenate([begins, [len(order)]]))
    ones_G = np.add.reduceat(ones_N.astype(np.int64), begins)
    zeros_G = sizes_G - ones_G
    below_N, above_N = np.empty(len(order)), np.empty(len(order))
    below_N[order] = np.repeat(np.cumsum(zeros_G) - zeros_G / 2, sizes_G)
    above_N[order] = np.repeat(np.cumsum(ones_G) - ones_G / 2, sizes_G)
    ones = int(ones_G.sum())
    return below_N[labels_N] / (len(order) - ones), 1 - above_N[~labels_N] / ones


def _independent(influence_KN: Floats, labels_N: NDArray[np.bool_]) -> Floats:
    total: Floats = np.zeros((len(influence_KN), len(influence_KN)))
    for part_KM in (influence_KN[:, labels_N], influence_KN[:, ~labels_N]):
        count = part_KM.shape[1]
        if count > 1:
            part_KK: Floats = part_KM @ part_KM.T
            total += part_KK * (count / (count - 1))
    return total


def _clustered(influence_KN: Floats, clusters_N: NDArray[np.int64]) -> Floats:
    """Sums of the influences within each cluster are independent draws. Obuchowski corrects for the number of clusters
    with a positive and with a negative apart; one correction for all of them is the same to the second order."""
    _, of_N = np.unique(clusters_N, return_inverse=True)
    count = int(of_N.max()) + 1
    if count < 2:
        raise ValueError("every pair lies in one component: nothing is known about the noise of its AUC")
    sums_KC: Floats = np.stack([np.bincount(of_N, weights=row_N, minlength=count) for row_N in influence_KN])
    covariance_KK: Floats = sums_KC @ sums_KC.T
    return covariance_KK * (count / (count - 1))


def interval(auc: float, variance: float, confidence: float = 0.95) -> tuple[float, float]:
    """Ends of the confidence interval of an AUC, on the logit scale, so that they stay between 0 and 1 and cover as
    often as they say near the ends (Pepe 2003, The Statistical Evaluation of Medical Tests, 5.2). An AUC of exactly 0
    or 1 has no logit: it is its own interval."""
    if not 0 < auc < 1:
        return auc, auc
    logit, half = np.log(auc / (1 - auc)), -ndtri((1 - confidence) / 2) * np.sqrt(variance) / (auc * (1 - auc))
    low, high = 1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half)))
    return float(low), float(high)


def difference(found: Aucs, first: int, second: int) -> tuple[float, float, float]:
    """AUC of the first minus that of the second, the standard error of it, and the two-sided p-value of no difference.
    Two rows that rank the pairs in the same way differ by 0 with p = 1."""
    delta = float(found.auc_K[first] - found.auc_K[second])
    matrix = found.covariance_KK
    variance = float(matrix[first, first] + matrix[second, second] - 2 * matrix[first, second])
    error = float(np.sqrt(max(variance, 0.0)))
    if error < 1e-12:  # rounding, not noise
        return delta, 0.0, 1.0 if abs(delta) < 1e-12 else 0.0
    return delta, error, float(2 * ndtr(-abs(delta) / error))


def holm(p_values: Floats) -> Floats:
    """p-values corrected for how many comparisons were made (Holm 1979, Scandinavian Journal of Statistics 6)."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p_values[order] * factors))
    return corrected
