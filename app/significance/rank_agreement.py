"""Whether valid ranks the rows as online does. Arrays in, numbers out; called by valid_online.py."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # scipy.stats takes a second to import: when it is first used
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
LEVEL = 0.05
#: every order of 7 rows; of more rows as many orders, drawn
ORDERS = 5040
#: from here on the p-value for many rows is as good as the one by orders
MANY = 50


@dataclass(frozen=True)
class Agreement:
    """`same` and `turned`: pairs of rows in the same and in the opposite order, `tied` the others. Kendall's tau-b and
    Spearman's rho with their 95% intervals; `p`: how often rows in random order agree as much, or disagree as much."""

    rows: int
    same: int
    turned: int
    tied: int
    kendall: float
    kendall_low: float
    kendall_high: float
    spearman: float
    spearman_low: float
    spearman_high: float
    p: float

    @property
    def ranks(self) -> bool:
        """Whether valid ranks online by more than chance."""
        return self.kendall > 0 and self.p < LEVEL

    @property
    def can_tell(self) -> bool:
        """Whether so many rows could be told from chance at all: four in perfect order can't."""
        return self.rows >= 5


def agreement(x_N: Floats, y_N: Floats) -> Agreement | None:
    """Of rows in both orders; None where one of the two puts all rows level, or there are fewer than three."""
    if len(x_N) < 3 or np.ptp(x_N) == 0 or np.ptp(y_N) == 0:
        return None
    same, turned, tied = _pairs(x_N, y_N)
    kendall = round(float(scipy.stats.kendalltau(x_N, y_N).statistic), 12)
    rho = round(float(scipy.stats.spearmanr(x_N, y_N).statistic), 12)
    count = len(x_N)
    # variances of the transformed coefficients: Fieller, Hartley and Pearson 1957, Biometrika 44
    low, high = _interval(kendall, same + turned + tied, 0.437 / (count - 4) if count > 4 else np.inf)
    rho_low, rho_high = _interval(rho, same + turned + tied, 1.06 / (count - 3) if count > 3 else np.inf)
    p = _by_orders(x_N, y_N) if count <= MANY else float(scipy.stats.kendalltau(x_N, y_N).pvalue)
    return Agreement(count, same, turned, tied, kendall, low, high, rho, rho_low, rho_high, p)


def _pairs(x_N: Floats, y_N: Floats) -> tuple[int, int, int]:
    """From tau-b and the ties, which scipy counts in n log n."""
    every = len(x_N) * (len(x_N) - 1) // 2
    ties_x, ties_y = _tied(x_N), _tied(y_N)
    _, both = np.unique(np.stack([x_N, y_N]), axis=1, return_counts=True)
    untied = every - ties_x - ties_y + int((both * (both - 1) // 2).sum())
    more = round(float(scipy.stats.kendalltau(x_N, y_N).statistic) * np.sqrt((every - ties_x) * float(every - ties_y)))
    return (untied + more) // 2, (untied - more) // 2, every - untied


def _tied(x_N: Floats) -> int:
    _, counts = np.unique(x_N, return_counts=True)
    return int((counts * (counts - 1) // 2).sum())


def _interval(coefficient: float, pairs: int, variance: float) -> tuple[float, float]:
    """By Fisher's transformation; a perfect order counts as one that a pair more could spoil by half."""
    most = 1 - 1 / pairs
    centre, half = np.arctanh(np.clip(coefficient, -most, most)), -ndtri(0.025) * np.sqrt(variance)
    return float(np.tanh(centre - half)), max(float(np.tanh(centre + half)), coefficient)


def _by_orders(x_N: Floats, y_N: Floats) -> float:
    """Two-sided, over every order of the rows or ORDERS drawn ones; ties stay ties. Seeded."""
    first, second = np.triu_indices(len(x_N), 1)
    ranks_N: Floats = scipy.stats.rankdata(x_N)
    signs_P = np.sign(ranks_N[second] - ranks_N[first])

    def agreeing(y: Floats, axis: int) -> Any:
        y = np.moveaxis(y, axis, -1)
        return (np.sign(y[..., second] - y[..., first]) * signs_P).sum(axis=-1)

    found = scipy.stats.permutation_test(
        (scipy.stats.rankdata(y_N),),
        agreeing,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=ORDERS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)
