"""What it means to choose among rows by the valid AUC: which can't be told apart, and how much the best one flatters.

Arrays in, numbers out, beside delong.py; called by noise.py.
"""

import numpy as np
import scipy  # scipy.stats takes a second to import: when it is first used
from numpy.typing import NDArray

from app.significance.delong import Aucs, Floats, difference, holm

LEVEL = 0.05
DRAWS = 4000


def tiers(found: Aucs, level: float = LEVEL) -> list[int]:
    """Of each row the tier it stands in, from 0, the best.

    The best row leads the first tier; each row below that can't be told from it (Holm over the rows compared with that
    leader) is in its tier. The first that can leads the next, and all from there on are compared with that one.
    """
    order = np.argsort(-found.auc_K, kind="stable")
    tier_K = [0] * len(order)
    place = tier = 0
    while place < len(order):
        leader, rest = int(order[place]), order[place + 1 :]
        corrected = holm(np.array([difference(found, leader, int(row))[2] for row in rest]))
        apart = np.flatnonzero(corrected < level)
        end = place + 1 + (int(apart[0]) if len(apart) else len(rest))
        for row in order[place:end]:
            tier_K[int(row)] = tier
        place, tier = end, tier + 1
    return tier_K


def optimism(found: Aucs, draws: int = DRAWS, seed: int = 0) -> float:
    """By how much the valid AUC of the chosen row, the best of the K, is expected to flatter it, in AUC.

    Simulated: the true AUCs are taken to be the found ones pulled together to their mean, as far as noise alone spreads
    them (James and Stein 1961; Efron and Morris 1973); noise of the found covariance is added, the best is chosen, and
    what it shows above its truth is averaged. One row chosen among one flatters nothing.
    """
    count = len(found.auc_K)
    if count < 2:
        return 0.0
    centre = np.eye(count) - 1 / count
    noise = float(np.trace(centre @ found.covariance_KK @ centre)) / (count - 1)
    spread = float(found.auc_K.var(ddof=1))
    kept = max(0.0, 1 - noise / spread) if spread > 0 else 0.0
    truth_K = found.auc_K.mean() + kept * (found.auc_K - found.auc_K.mean())
    values, vectors = np.linalg.eigh(found.covariance_KK)
    root_KK = vectors * np.sqrt(np.clip(values, 0, None))
    noise_DK = np.random.default_rng(seed).standard_normal((draws, count)) @ root_KK.T
    chosen_D = np.argmax(truth_K + noise_DK, axis=1)
    return float(noise_DK[np.arange(draws), chosen_D].mean())


def mcnemar(first_right_N: NDArray[np.bool_], second_right_N: NDArray[np.bool_]) -> float:
    """Two-sided exact p-value that both are right equally often (McNemar 1947, Psychometrika 12): only the pairs that
    one judges rightly and the other not say anything."""
    only_first = int((first_right_N & ~second_right_N).sum())
    differing = only_first + int((~first_right_N & second_right_N).sum())
    return float(scipy.stats.binomtest(only_first, differing).pvalue) if differing else 1.0


def clustered_bootstrap(
    labels_N: NDArray[np.bool_],
    scores_KN: Floats,
    clusters_N: NDArray[np.int64],
    draws: int = 1000,
    seed: int = 0,
) -> Floats:
    """AUC of each row in resamples of whole components, the same resample for all rows: shape (draws, K). A resample
    without one of the labels is left out. Seeded: the same predictions give the same numbers (Field and Welsh 2007)."""
    _, of_N = np.unique(clusters_N, return_inverse=True)
    count = int(of_N.max()) + 1
    rng = np.random.default_rng(seed)
    orders = [np.argsort(row_N, kind="stable") for row_N in scores_KN]
    starts = [
        np.flatnonzero(np.diff(row_N[order], prepend=-np.inf)) for row_N, order in zip(scores_KN, orders, strict=True)
    ]
    found = []
    for _ in range(draws):
        times_N = np.bincount(rng.integers(count, size=count), minlength=count)[of_N].astype(float)
        ones, zeros = float(times_N[labels_N].sum()), float(times_N[~labels_N].sum())
        if ones and zeros:
            found.append(
                [
                    _auc(times_N[order], labels_N[order], start) / (ones * zeros)
                    for order, start in zip(orders, starts, strict=True)
                ]
            )
    return np.array(found).reshape(-1, len(scores_KN))


def _auc(times_N: Floats, labels_N: NDArray[np.bool_], starts: NDArray[np.int64]) -> float:
    """Pairs of a positive and a negative in the right order, of rows in the order of their scores, each so often."""
    ones_T = np.add.reduceat(times_N * labels_N, starts)
    zeros_T = np.add.reduceat(times_N * ~labels_N, starts)
    return float((ones_T * (np.cumsum(zeros_T) - zeros_T / 2)).sum())
