"""Online as a straight line of valid that a few odd rows can't bend, and how far from it a new row may fall.

Arrays in, numbers out; called by regimes.py and valid_online.py. The line is Theil's and Sen's: the median of the
slopes of all pairs of rows (Sen 1968, JASA 63; scipy.stats.theilslopes), and the median of what is left as its height.
How much the line itself errs with N rows is not taken from a formula for many: the same estimator is run on draws of
pure noise at the same valid scores. Slope, height and scale move with the data (they are regression equivariant), so
that what is found there holds for any true line, and an interval covers as often as it says with 4 rows as with 40, as
long as the noise about the line is normal. The letters: N rows, D draws, P pairs of rows.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
#: fewer rows than this have no line: three would lie near one whatever they are
LEAST = 4
DRAWS = 4000
#: of an interval, and of one deviation to both sides
_ENDS = (0.95, float(ndtr(1) - ndtr(-1)))
#: the scale is the mean of the smallest of the residuals, this share of them: the others may be anything
KEPT = 0.75
#: of a normal residual, in standard deviations: the mean size of the smallest three quarters
SCALE_OF_NORMAL = float(2 * (1 - np.exp(-(ndtri((1 + KEPT) / 2) ** 2) / 2)) / np.sqrt(2 * np.pi) / KEPT)
#: all pairs of 64 rows; of more rows as many pairs, drawn
MOST_PAIRS = 2016
#: so many places at which the width of an interval is counted
_GRID = 200
#: numbers that are held at once while noise is drawn
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Line:
    """`scale`: of the residuals, robust, not in standard deviations (see `deviation`). `x_N`: where it was fitted."""

    x_N: Floats
    slope: float
    height: float
    scale: float
    residual_N: Floats

    @property
    def deviation(self) -> float:
        """Standard deviation of a row about the line, were the noise normal."""
        return self.scale / SCALE_OF_NORMAL

    def at(self, x: float) -> float:
        """The height of the line."""
        return self.height + self.slope * x


@dataclass(frozen=True)
class Expected:
    """Of a new row: the line there, and the ends of its interval. `deviation`: what two thirds of such rows stay
    within, as of a normal distribution; with few rows the interval is wider than twice that: its tails are heavy."""

    value: float
    low: float
    high: float
    deviation: float


def fit(x_N: Floats, y_N: Floats, rounding: float = 0.0) -> Line:
    """The line through at least LEAST rows. `rounding`: the step in which y was written down; rows are never said to
    lie closer to the line than that allows. Rows of one x have a line of slope 0.

    Raises ValueError for fewer rows.
    """
    if len(x_N) < LEAST:
        raise ValueError(f"{len(x_N)} rows: a line needs {LEAST}")
    slope_D, height_D, scale_D, residual_DN = _fitted(x_N, y_N[None])
    least = SCALE_OF_NORMAL * rounding / 12**0.5
    return Line(x_N, float(slope_D[0]), float(height_D[0]), max(float(scale_D[0]), least), residual_DN[0])


def expected(line: Line, x: float) -> Expected:
    """What a row with this x is expected to get, with the interval of that one row, not of the line."""
    return expected_all(line, np.array([x]))[0]


def expected_all(line: Line, x_M: Floats) -> list[Expected]:
    """The same for many. Of very many the width is taken at an even selection of x, between which it hardly bends."""
    noise = _noise(tuple(line.x_N))
    grid = x_M if len(x_M) <= _GRID else np.linspace(x_M.min(), x_M.max(), _GRID)
    ends = np.array([np.quantile(noise.new_row(x), _ENDS) for x in grid.tolist()]).reshape(-1, 2) * line.scale
    if len(grid) < len(x_M):
        ends = np.stack([np.interp(x_M, grid, column) for column in ends.T], axis=1)
    return [
        Expected(line.at(x), line.at(x) - half, line.at(x) + half, third)
        for x, (half, third) in zip(x_M.tolist(), ends.tolist(), strict=True)
    ]


def residual_p(line: Line) -> Floats:
    """Of each row that the line was fitted to: how often noise alone puts it as far from the line."""
    size_N = np.abs(line.residual_N)
    if line.scale == 0:
        return np.where(size_N > 0, 0.0, 1.0)
    p_N: Floats = (_noise(tuple(line.x_N)).residual_DN >= (size_N / line.scale)[None]).mean(axis=0)
    return p_N


def expected_anyway(y_N: Floats, rounding: float = 0.0) -> Expected:
    """What a row gets of which nothing is known: the median, and an interval in the same way. At least LEAST rows."""
    if len(y_N) < LEAST:
        raise ValueError(f"{len(y_N)} rows: this needs {LEAST}")
    centre = float(np.median(y_N))
    scale = max(float(_scale(np.abs(y_N - centre)[None])[0]), SCALE_OF_NORMAL * rounding / 12**0.5)
    half, third = (scale * end for end in _anywhere(len(y_N)))
    return Expected(centre, centre - half, centre + half, third)


def pairs_of(count: int, most: int = MOST_PAIRS) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of rows, the earlier first: all, or `most` of them, always the same."""
    if count * (count - 1) // 2 <= most:
        first, second = np.triu_indices(count, 1)
        return first, second
    rng = np.random.default_rng(count)
    first, apart = rng.integers(count, size=most), rng.integers(1, count, size=most)
    second = (first + apart) % count
    return np.minimum(first, second), np.maximum(first, second)


def slopes(x_N: Floats, y_DN: Floats, first_P: NDArray[np.intp], second_P: NDArray[np.intp]) -> Floats:
    """The median slope of these pairs in each draw; pairs of one x have none, and 0 is taken where all are so."""
    apart_P = x_N[second_P] - x_N[first_P]
    kept_P = apart_P != 0
    if not kept_P.any():
        return np.zeros(len(y_DN))
    first_P, second_P = first_P[kept_P], second_P[kept_P]
    found: Floats = np.median((y_DN[:, second_P] - y_DN[:, first_P]) / apart_P[kept_P], axis=1)
    return found


@dataclass(frozen=True)
class _Noise:
    """Lines fitted to pure noise: slope and height, and the new row's noise, all in scales of their own draw."""

    slope_D: Floats
    height_D: Floats
    new_D: Floats
    residual_DN: Floats

    def new_row(self, x: float) -> Floats:
        return np.abs(self.new_D - self.height_D - self.slope_D * x)


@lru_cache(maxsize=64)
def _noise(x: tuple[float, ...]) -> _Noise:
    """Seeded: the same scores always get the same interval."""
    x_N = np.array(x)
    draws = DRAWS if len(x) <= 100 else DRAWS // 4
    rng = np.random.default_rng(0)
    parts = []
    for begin, end in pairwise(_steps(draws, max(len(x), len(pairs_of(len(x))[0])))):
        z_DN, new_D = rng.standard_normal((end - begin, len(x))), rng.standard_normal(end - begin)
        slope_D, height_D, scale_D, residual_DN = _fitted(x_N, z_DN)
        parts.append((slope_D / scale_D, height_D / scale_D, new_D / scale_D, np.abs(residual_DN) / scale_D[:, None]))
    return _Noise(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _steps(draws: int, width: int) -> list[int]:
    step = max(1, _AT_ONCE // width)
    return [*range(0, draws, step), draws]


def _fitted(x_N: Floats, y_DN: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    slope_D = slopes(x_N, y_DN, *pairs_of(len(x_N)))
    rest_DN = y_DN - slope_D[:, None] * x_N
    height_D: Floats = np.median(rest_DN, axis=1)
    residual_DN = rest_DN - height_D[:, None]
    return slope_D, height_D, _scale(np.abs(residual_DN)), residual_DN


def _scale(size_DN: Floats) -> Floats:
    kept = int(np.ceil(KEPT * size_DN.shape[1]))
    scale_D: Floats = np.partition(size_DN, kept - 1, axis=1)[:, :kept].mean(axis=1)
    return scale_D


@lru_cache(maxsize=64)
def _anywhere(count: int) -> tuple[float, float]:
    """The interval of a new row about the median of `count` others, and what two thirds stay within, in scales."""
    rng = np.random.default_rng(0)
    z_DN, new_D = rng.standard_normal((DRAWS, min(count, 400))), rng.standard_normal(DRAWS)
    centre_D = np.median(z_DN, axis=1)
    half, third = np.quantile(np.abs(new_D - centre_D) / _scale(np.abs(z_DN - centre_D[:, None])), _ENDS)
    return float(half), float(third)
