"""How far two parts differ in length, share of label 1 and vocabulary: size of the effect, and whether chance alone
makes one as large. Called by the leak audit.

Rows of one component resemble each other, so they count together: a test that takes them for independent finds drift in
every honest split.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from ml.contract.leaks import Between, Drift, Level
from ml.leak_limits import LIMITS
from ml.sentence_numbers import Ints, Tokens


@dataclass(frozen=True, slots=True)
class Portion:
    """A part: both sides as sentences, component of each row, labels (empty: none)."""

    a: Ints
    b: Ints
    component_N: Ints
    labels: npt.NDArray[np.int8]


def drifts(tokens: Tokens, one: Portion, other: Portion, between: Between, *, judged: bool) -> list[Drift]:
    """Length, prior (where both have labels) and vocabulary. Not `judged`: told only."""
    found = [_length(tokens, one, other, between), _vocabulary(tokens, one, other, between)]
    if len(one.labels) and len(other.labels):
        found.insert(1, _prior(one, other, between))
    return found if judged else [item.model_copy(update={"level": "info"}) for item in found]


def _length(tokens: Tokens, one: Portion, other: Portion, between: Between) -> Drift:
    lengths = [tokens.lengths_S[part.a] + tokens.lengths_S[part.b] for part in (one, other)]
    sides = [tokens.lengths_S[np.concatenate([part.a, part.b])] for part in (one, other)]
    gap = _gap(*sides)
    p = _p(*(_mean_and_variance(values, part) for values, part in zip(lengths, (one, other), strict=True)))
    means = [float(values.mean()) for values in sides]
    return _drift("length", between, means, gap, p, LIMITS.length_gap)


def _gap(one: Ints, other: Ints) -> float:
    """The statistic of Kolmogorov and Smirnov: the largest difference of the two distribution functions."""
    longest = int(max(one.max(), other.max())) + 1
    upto = [np.cumsum(np.bincount(values, minlength=longest)) / len(values) for values in (one, other)]
    return float(np.abs(upto[0] - upto[1]).max())


def _prior(one: Portion, other: Portion, between: Between) -> Drift:
    """Cohen's h: differences of shares that are equally easy to see have the same size, near 0 as near 1/2."""
    shares = [float(np.mean(part.labels == 1)) for part in (one, other)]
    h = abs(2 * math.asin(math.sqrt(shares[1])) - 2 * math.asin(math.sqrt(shares[0])))
    p = _p(*(_mean_and_variance(part.labels == 1, part) for part in (one, other)))
    return _drift("prior", between, shares, h, p, LIMITS.prior_h)


def _mean_and_variance(values_N: npt.NDArray[np.generic], part: Portion) -> tuple[float, float]:
    """Of the mean, with the components as clusters."""
    values = values_N.astype(np.float64)
    mean = float(values.mean())
    summed = np.bincount(part.component_N, weights=values - mean)
    return mean, float((summed**2).sum()) / len(values) ** 2


def _p(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Two-sided, by the normal distribution."""
    deviation = math.sqrt(one[1] + other[1])
    return float(2 * ndtr(-abs(one[0] - other[0]) / deviation)) if deviation else float(one[0] == other[0])


def _vocabulary(tokens: Tokens, one: Portion, other: Portion, between: Between) -> Drift:
    """Tokens of the other part that the first does not have, beside those that only one component of the first has:
    Good and Turing's estimate of what another sample of its kind would show, component by component."""
    size = int(tokens.flat_T.max(initial=0)) + 1
    flat, owner, weight = _occurrences(tokens, one)
    low, high = np.full(size, np.iinfo(np.int64).max), np.full(size, -1, np.int64)
    np.minimum.at(low, flat, owner)
    np.maximum.at(high, flat, owner)
    expected = _share(low[flat] == high[flat], weight)
    seen, _owner, weight = _occurrences(tokens, other)
    found = _share(high[seen] < 0, weight)
    return _drift("vocabulary", between, [expected, found], found - expected, None, LIMITS.vocabulary_excess)


def _share(which: npt.NDArray[np.bool_], weight: Ints) -> float:
    return float(weight[which].sum() / weight.sum()) if len(weight) else 0.0


def _occurrences(tokens: Tokens, part: Portion) -> tuple[Ints, Ints, Ints]:
    """Every token of a part's sentences, the component it stands in, and how often the part has that sentence. (One
    that is written in two ways may stand in two components: the first counts.)"""
    stands = np.concatenate([part.a, part.b])
    sentences, first, times = np.unique(stands, return_index=True, return_counts=True)
    lengths = tokens.lengths_S[sentences]
    starts = np.cumsum(lengths) - lengths
    places = np.arange(int(lengths.sum())) + np.repeat(tokens.offsets[sentences] - starts, lengths)
    owner = part.component_N[first % len(part.a)]
    return tokens.flat_T[places].astype(np.int64), np.repeat(owner, lengths), np.repeat(times, lengths)


def _drift(name: str, between: Between, values: list[float], effect: float, p: float | None, limit: float) -> Drift:
    large = effect >= limit and (p is None or p < LIMITS.drift_p)
    level: Level = "suspicious" if large else "clean"
    return Drift(name=name, between=between, first=values[0], second=values[1], effect=effect, p=p, level=level)
