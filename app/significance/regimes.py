"""From which row on valid promises something else than before: a split that leaks, another board, other data.

Arrays in, numbers out; called by valid_online.py. Rows stand in the order in which they were made. A change at row k
means that one slope holds throughout and the rows from k on lie higher or lower by a step. For each k the step is
divided by the scale of what is left (medians all, so that odd rows do not make or hide it); the largest of all k is
compared with what pure noise at the same valid scores gives, the search over k included. After a change each side is
looked at anew.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from app.significance.robust_line import SCALE_OF_NORMAL, Floats, pairs_of, slopes

#: so many rows stand on each side: the first side shows a line, the second is more than an odd row or two
BEFORE, AFTER = 4, 3
LEVEL = 0.02
DRAWS = 1000
#: of each side so many pairs of rows give the slope; of many rows an even selection of places is tried
_PAIRS, _PLACES = 120, 30
_AT_ONCE = 10_000_000


@dataclass(frozen=True)
class Change:
    """From row `at` on the rows lie `step` higher than the line before (lower: negative). `p`: how often noise alone
    shows such a change somewhere."""

    at: int
    step: float
    p: float


def changes(x_N: Floats, y_N: Floats, rounding: float = 0.0) -> list[Change]:
    """All of them, in order. `rounding`: the step in which y was written down."""
    found = _changes(tuple(x_N.tolist()), tuple(y_N.tolist()), rounding)
    return list(found)


@lru_cache(maxsize=256)
def _changes(x: tuple[float, ...], y: tuple[float, ...], rounding: float) -> tuple[Change, ...]:
    change = _found(np.array(x), np.array(y), rounding)
    if change is None:
        return ()
    at = change.at
    before = _changes(x[:at], y[:at], rounding)
    after = _changes(x[at:], y[at:], rounding)
    return (*before, change, *(Change(item.at + at, item.step, item.p) for item in after))


def _found(x_N: Floats, y_N: Floats, rounding: float) -> Change | None:
    """Of all rows; where they show none, of the first and the last two thirds, at a third of the level: a step that was
    undone later is level seen from afar."""
    change = _largest(x_N, y_N, rounding, LEVEL)
    third = len(x_N) // 3
    if change is None and 2 * third >= BEFORE + AFTER:
        change = _largest(x_N[: 2 * third], y_N[: 2 * third], rounding, LEVEL / 3)
        if change is None and (late := _largest(x_N[third:], y_N[third:], rounding, LEVEL / 3)):
            change = Change(late.at + third, late.step, late.p)
    return change


def _largest(x_N: Floats, y_N: Floats, rounding: float, level: float) -> Change | None:
    places = _places(len(x_N))
    if not len(places):
        return None
    least = SCALE_OF_NORMAL * rounding / 12**0.5
    steps = [_step(x_N, y_N[None], int(at)) for at in places]
    ratios = [abs(step_D[0]) / max(scale_D[0], least, 1e-12) for step_D, scale_D in steps]
    best = int(np.argmax(ratios))
    largest_D = _null(tuple(x_N.tolist()))
    p = float((1 + (largest_D >= ratios[best]).sum()) / (1 + len(largest_D)))
    if p >= level:
        return None
    at = _nearby(x_N, y_N, places, best)
    return Change(at, float(_step(x_N, y_N[None], at)[0][0]), p)


def _nearby(x_N: Floats, y_N: Floats, places: NDArray[np.intp], best: int) -> int:
    """Where not every row was tried: the row up to the neighbouring places that leaves least."""
    low, high = places[max(0, best - 1)], places[min(len(places) - 1, best + 1)]
    if high - low <= 2:
        return int(places[best])
    near = range(int(low), int(high) + 1)
    return near[int(np.argmin([np.abs(_left(x_N, y_N[None], at)[2]).mean() for at in near]))]


def _places(count: int) -> NDArray[np.intp]:
    """Rows at which a change is looked for: each, or of very many an even selection."""
    last = count - AFTER
    if last < BEFORE:
        return np.empty(0, np.intp)
    return np.unique(np.linspace(BEFORE, last, min(_PLACES, last - BEFORE + 1)).round().astype(np.intp))


@lru_cache(maxsize=64)
def _null(x: tuple[float, ...]) -> Floats:
    """The largest ratio of each draw of pure noise."""
    x_N, places = np.array(x), _places(len(x))
    draws = int(np.clip(_AT_ONCE // (len(x) * len(places)), 200, DRAWS))
    z_DN = np.random.default_rng(0).standard_normal((draws, len(x)))
    largest_D = np.zeros(draws)
    for at in places:
        step_D, scale_D = _step(x_N, z_DN, int(at))
        largest_D = np.maximum(largest_D, np.abs(step_D) / scale_D)
    return largest_D


def _step(x_N: Floats, y_DN: Floats, at: int) -> tuple[Floats, Floats]:
    """Of a change at this row in each draw: the step, and the scale (a median size) of what is left."""
    low_D, high_D, left_DN = _left(x_N, y_DN, at)
    return high_D - low_D, np.median(np.abs(left_DN), axis=1)


def _left(x_N: Floats, y_DN: Floats, at: int) -> tuple[Floats, Floats, Floats]:
    """The heights of both sides on one slope, and what is left of each row."""
    before, after = pairs_of(at, _PAIRS), pairs_of(len(x_N) - at, _PAIRS)
    first_P, second_P = (np.concatenate([one, two + at]) for one, two in zip(before, after, strict=True))
    rest_DN = y_DN - slopes(x_N, y_DN, first_P, second_P)[:, None] * x_N
    low_D, high_D = np.median(rest_DN[:, :at], axis=1), np.median(rest_DN[:, at:], axis=1)
    left_DN = np.concatenate([rest_DN[:, :at] - low_D[:, None], rest_DN[:, at:] - high_D[:, None]], axis=1)
    return low_D, high_D, left_DN
