"""How the probabilities of M members become one column: fixed formulas, or weights found on rows with labels.

Called by blend_numbers, to tell what a fusion would score before its row is made. ml.mixing has the same formulas and
makes the row: the web loads nothing of ml but its contract, and a run nothing of the web. A test holds the two equal
to the bit.
"""

import heapq
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # scipy.stats takes a second to import: when it is first used
from numpy.typing import NDArray
from scipy.special import expit, logit

from app.language import N_
from app.significance.delong import Floats

Labels = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: methods whose weights are found; the others are formulas
FOUND = ("weights", "greedy", "constrained")
ONE_COMPONENT = N_("the valid rows hang together in one component: weights can't be cross-fitted")
ONE_LABEL = N_("too few valid rows of one label to find weights")
NOT_FOUND = N_("the weights of the smallest log loss were not found")
CROSS_FITS = 5
MOST_PICKS, PICKS_WITHOUT_GAIN = 50, 10
BINS = 2048  # an AUC by trapezoids of this width is off by a millionth; sorting each candidate takes 20 times as long
_EDGE = 1e-7  # probabilities of 0 and 1 have no logit
_SLACK = 1e-4  # by which the mean log loss of constrained weights may be above the smallest


@dataclass(frozen=True, slots=True)
class Mix:
    """Weights of the members' logits and a constant (weights), of their ranks (greedy), or of their probabilities
    (constrained); the last two are shares: none below 0, 1 together."""

    method: str
    weights_M: Floats
    constant: float = 0.0

    def of(self, probabilities_NM: Floats) -> Floats:
        """One column from M, over these N rows."""
        return self.of_features(Members(probabilities_NM).features_NM(self.method))

    def of_features(self, features_NM: Floats) -> Floats:
        """The same from what _features made."""
        found_N: Floats = features_NM @ self.weights_M + self.constant
        if self.method == "weights":
            return np.asarray(expit(found_N))
        return np.clip(found_N, 0.0, 1.0)  # nine ninths may be 1.0000000000000002


class Members:
    """What M members say of N rows, with what several methods make of it: ranks and logits are found once."""

    def __init__(self, probabilities_NM: Floats) -> None:
        self.probabilities_NM = probabilities_NM

    @cached_property
    def ranks_NM(self) -> Floats:
        """From 1 on; ties stay ties."""
        return np.asarray(scipy.stats.rankdata(self.probabilities_NM, axis=0))

    @cached_property
    def logits_NM(self) -> Floats:
        """Of the probabilities."""
        return _logits(self.probabilities_NM)

    def features_NM(self, method: str) -> Floats:
        """What a method's weights weigh. Ranks are of all rows at once: they are made without a label."""
        if method == "weights":
            return self.logits_NM
        return (self.ranks_NM - 0.5) / len(self.ranks_NM) if method == "greedy" else self.probabilities_NM


def combine(members: Members, method: str) -> Floats:
    """One column from M: mean; rank_mean (mean rank over N, in (0, 1)); logit_mean (sigmoid of the mean logit)."""
    if method == "mean":
        return np.asarray(members.probabilities_NM.mean(1))
    if method == "rank_mean":
        return np.asarray((members.ranks_NM - 0.5).mean(1) / len(members.ranks_NM))
    return np.asarray(expit(members.logits_NM.mean(1)))


def fitted(members: Members, labels_N: Labels, method: str) -> Mix:
    """The weights that a method finds on these rows."""
    return _fit(members.features_NM(method), labels_N, method)


def parts_of(component_N: Ints, labels_N: Labels) -> Ints:
    """Of each row its part of a cross-fit; all 0 where there is one component."""
    parts = min(CROSS_FITS, len(np.unique(component_N)))
    return dealt(component_N, labels_N, parts)


def cross_fitted(members: Members, labels_N: Labels, part_N: Ints, method: str) -> Floats:
    """Each row's blend by weights that were found on the other parts (parts_of)."""
    parts = int(part_N.max()) + 1
    if parts < 2:
        raise ValueError(ONE_COMPONENT)
    features_NM, found_N = members.features_NM(method), np.empty(len(labels_N))
    for part in range(parts):
        held_N = part_N == part
        if len(np.unique(labels_N[~held_N])) < 2:
            raise ValueError(ONE_LABEL)
        found_N[held_N] = _fit(features_NM[~held_N], labels_N[~held_N], method).of_features(features_NM[held_N])
    return found_N


def dealt(component_N: Ints, labels_N: Labels, parts: int) -> Ints:
    """Of each row its part. Components are dealt, the largest first and those with more positives first, each to the
    part with the fewest rows: parts are alike in rows and in labels, and the same whatever the components' numbers."""
    _, first_C, of_N = np.unique(component_N, return_index=True, return_inverse=True)
    rows_C, ones_C = np.bincount(of_N), np.bincount(of_N, weights=labels_N)
    part_C, heap = np.empty(len(rows_C), np.int64), [(0, part) for part in range(parts)]
    for component in np.lexsort((first_C, -ones_C, -rows_C)).tolist():
        rows, part = heap[0]
        part_C[component] = part
        heapq.heapreplace(heap, (rows + int(rows_C[component]), part))
    return np.asarray(part_C[of_N])


def _fit(features_NM: Floats, labels_N: Labels, method: str) -> Mix:
    if method == "weights":
        from sklearn.linear_model import LogisticRegression  # a second to import, and few requests come here

        found = LogisticRegression(C=1.0, max_iter=1000, solver="newton-cholesky").fit(features_NM, labels_N)
        return Mix(method, found.coef_[0], float(found.intercept_[0]))
    if method == "greedy":
        return Mix(method, _selected(features_NM, labels_N))
    return Mix(method, _constrained(features_NM, labels_N))


def _selected(ranks_NM: Floats, positive_N: NDArray[np.bool_]) -> Floats:
    """Share of each member: the one that lifts the AUC of the mean rank most is picked, again and again, with
    replacement; the shortest row of picks with the highest AUC stands."""
    ones, zeros = _Side(ranks_NM[positive_N]), _Side(ranks_NM[~positive_N])
    picks_M, best_M, best, since = np.zeros(ranks_NM.shape[1]), np.zeros(ranks_NM.shape[1]), -1.0, 0
    for count in range(1, MOST_PICKS + 1):
        zeros_MB = zeros.counts(count)
        below_MB = np.cumsum(zeros_MB, axis=1)
        below_MB *= 2
        below_MB -= zeros_MB  # twice the negatives below a bin's, ties half: whole numbers, so no digit is lost
        auc_M = np.einsum("mb,mb->m", ones.counts(count), below_MB) / 2
        pick, since = int(np.argmax(auc_M)), since + 1
        picks_M[pick] += 1
        ones.add(pick)
        zeros.add(pick)
        if auc_M[pick] > best:
            best, best_M, since = float(auc_M[pick]), picks_M.copy(), 0
        if since == PICKS_WITHOUT_GAIN:
            break
    shares_M: Floats = best_M / best_M.sum()
    return shares_M


class _Side:
    """Ranks that M members give the rows of one label, and the sum of those of the picks so far."""

    def __init__(self, ranks_NM: Floats) -> None:
        self.ranks_MN = ranks_NM.T.copy()
        self.sum_N = np.zeros(len(ranks_NM))
        self.first_bin_M1 = np.arange(len(self.ranks_MN))[:, None] * BINS
        self.place_MN, self.bin_MN = np.empty(self.ranks_MN.shape), np.empty(self.ranks_MN.shape, np.int64)

    def counts(self, count: int) -> Ints:
        """With each member as the pick of this number: rows by mean rank, shape (M, BINS)."""
        np.add(self.ranks_MN, self.sum_N, out=self.place_MN)
        np.multiply(self.place_MN, BINS / count, out=self.place_MN)
        np.add(self.place_MN, self.first_bin_M1, out=self.bin_MN, casting="unsafe")
        return np.bincount(self.bin_MN.ravel(), minlength=len(self.bin_MN) * BINS).reshape(-1, BINS)

    def add(self, pick: int) -> None:
        """Its ranks stand from here on."""
        self.sum_N += self.ranks_MN[pick]


def _constrained(probabilities_NM: Floats, positive_N: NDArray[np.bool_]) -> Floats:
    """The shares whose mixture has the smallest log loss: a convex problem. Raises ValueError where it is not found."""
    held_NM = np.clip(probabilities_NM, _EDGE, 1 - _EDGE)
    likely_NM = np.where(positive_N[:, None], held_NM, 1 - held_NM)

    def loss(weights_M: Floats) -> tuple[float, Floats]:
        # with the sum of the weights added, the smallest is where they sum to 1: bounds are all that is left to keep
        mixed_N = np.einsum("nm,m->n", likely_NM, weights_M)
        slope_M = 1 - np.einsum("n,nm->m", 1 / mixed_N, likely_NM) / len(mixed_N)
        return float(weights_M.sum() - np.log(mixed_N).mean()), slope_M

    members = likely_NM.shape[1]
    start_M, options = np.full(members, 1 / members), {"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-6}
    found = scipy.optimize.minimize(
        loss, start_M, jac=True, method="L-BFGS-B", bounds=[(0, 1)] * members, options=options
    )
    weights_M: Floats = np.clip(found.x, 0, None)
    weights_M /= weights_M.sum()
    # the loss is above the smallest by no more than this, whatever the solver says of itself
    gap = -float(loss(weights_M)[1].min())
    if not gap < _SLACK:
        raise ValueError(NOT_FOUND)
    return weights_M


def _logits(probabilities_NM: Floats) -> Floats:
    return np.asarray(logit(np.clip(probabilities_NM, _EDGE, 1 - _EDGE)))
