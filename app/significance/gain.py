"""What another online score is worth: the gain to expect of sending a row, how many scores tell two recipes apart, and
how far a board's own number is from the truth. Numbers in, numbers out; called by sending.py and settling.py."""

import math

from scipy.special import ndtr, ndtri

#: two recipes are told apart when this holds: two-sided level, and how often a true difference is noticed
LEVEL, POWER = 0.05, 0.8


def expected_gain(mean: float, deviation: float, best: float) -> float:
    """By how much a row that scores about `mean` is expected to raise the best; a row that does not raises it by 0.
    (Expected improvement: Jones, Schonlau and Welch 1998, Journal of Global Optimization 13.) Higher is better."""
    if deviation <= 0:
        return max(0.0, mean - best)
    apart = (mean - best) / deviation
    density = math.exp(-(apart**2) / 2) / math.sqrt(2 * math.pi)
    return float(deviation * (apart * ndtr(apart) + density))


def chance(mean: float, deviation: float, best: float) -> float:
    """That a row that scores about `mean` comes out above the best. Higher is better."""
    if deviation <= 0:
        return float(mean > best)
    return float(ndtr((mean - best) / deviation))


def scores_needed(difference: float, deviation: float) -> int | None:
    """Of each of two recipes so many scores tell them apart that truly differ by so much, when one score of a recipe
    scatters by `deviation`. None: no number does, they do not differ."""
    if difference == 0:
        return None
    each = 2 * (float(ndtri(1 - LEVEL / 2) + ndtri(POWER)) * deviation / difference) ** 2
    return max(1, math.ceil(each - 1e-9))


def auc_error(auc: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC of which nothing is known but how many rows it was counted on (Hanley and McNeil 1982,
    Radiology 143; pairs counted as independent)."""
    if not 0 < auc < 1 or positives < 1 or negatives < 1:
        return 0.0
    two_of_ones, two_of_zeros = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = (positives - 1) * (two_of_ones - auc**2) + (negatives - 1) * (two_of_zeros - auc**2)
    return math.sqrt(max(0.0, auc * (1 - auc) + spread) / (positives * negatives))
