"""What is looked at before a file is sent: arrays of probabilities in, findings with their numbers out. No rows, no
SQL. Called by checking.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from app.language import N_
from app.language import gettext as _

Array = NDArray[np.float64]
State = Literal["ok", "warn", "refuse"]
#: what pages call them
NAMES = {
    "rows": N_("rows"),
    "order": N_("order"),
    "numbers": N_("numbers"),
    "range": N_("range"),
    "constant": N_("not constant"),
    "test_file": N_("test file"),
    "same_file": N_("not sent before"),
    "likeness": N_("likeness"),
}
STATES = (N_("ok"), N_("warn"), N_("refuse"))
#: files whose ranks agree more than this rank the rows the same way: their scores differ by noise
TWINS = 0.9995
#: files of one contest agree; ranks that agree less than this are those of other rows, or of another order
STRANGERS = 0.3
#: further than this no file of one decimal is from what was predicted
ROUNDED = 0.0501
BINS = 20


@dataclass(frozen=True)
class Check:
    """One finding. A file with one that says refuse is not sent unless a person insists."""

    name: str
    state: State
    text: str


def rows(written_N: Array, expected: int | None) -> Check:
    """As many as the test file has."""
    if expected is None:
        return Check("rows", "warn", _("%(rows)s rows; no test file says how many there must be", rows=written_N.size))
    if written_N.size == expected:
        return Check("rows", "ok", _("%(rows)s rows, as many as the test file has", rows=expected))
    return Check(
        "rows", "refuse", _("%(rows)s rows, but the test file has %(expected)s", rows=written_N.size, expected=expected)
    )


def order(written_N: Array, predicted_N: Array) -> Check:
    """Row by row what was predicted, as far as the file's decimals hold it."""
    if written_N.size != predicted_N.size:
        text = _("%(rows)s rows where %(predicted)s were predicted", rows=written_N.size, predicted=predicted_N.size)
        return Check("order", "refuse", text)
    off_N = np.nan_to_num(np.abs(written_N - predicted_N), nan=0.0)  # what is no number has a check of its own
    furthest_row = int(np.argmax(off_N)) if off_N.size else 0
    furthest = float(off_N[furthest_row]) if off_N.size else 0.0
    agree = likeness(written_N, predicted_N)
    if furthest > ROUNDED or (agree is not None and agree < 0.95):
        told = {
            "row": furthest_row + 1,
            "written": f"{written_N[furthest_row]:.6g}",
            "predicted": f"{predicted_N[furthest_row]:.6g}",
        }
        text = _("row %(row)s holds %(written)s, and %(predicted)s was predicted for it", **told)
        return Check("order", "refuse", text)
    told = {"furthest": f"{furthest:.2g}"}
    return Check("order", "ok", _("each row holds what was predicted for it, to %(furthest)s", **told))


def numbers(written_N: Array) -> Check:
    """No NaN, nothing infinite."""
    wrong = np.flatnonzero(~np.isfinite(written_N))
    if not wrong.size:
        return Check("numbers", "ok", _("every row is a finite number"))
    told = {"count": wrong.size, "row": int(wrong[0]) + 1, "value": f"{written_N[wrong[0]]}"}
    return Check(
        "numbers", "refuse", _("%(count)s rows are no finite number; the first is row %(row)s: %(value)s", **told)
    )


def span(written_N: Array) -> Check:
    """Probabilities."""
    finite_N = written_N[np.isfinite(written_N)]
    if not finite_N.size:
        return Check("range", "refuse", _("no row is a number"))
    told = {"low": f"{finite_N.min():.6g}", "high": f"{finite_N.max():.6g}"}
    outside = int(((finite_N < 0) | (finite_N > 1)).sum())
    if outside:
        text = _("%(count)s rows lie outside of 0 to 1: from %(low)s to %(high)s", count=outside, **told)
        return Check("range", "refuse", text)
    return Check("range", "ok", _("from %(low)s to %(high)s", **told))


def constant(written_N: Array) -> Check:
    """Ties cost AUC, and a constant file scores 0.5."""
    distinct = int(np.unique(written_N[np.isfinite(written_N)]).size)
    if distinct < 2:
        return Check("constant", "refuse", _("every row holds the same"))
    told = {"distinct": distinct, "rows": written_N.size}
    if distinct * 10 < written_N.size:
        return Check(
            "constant", "warn", _("only %(distinct)s different values in %(rows)s rows: ties cost AUC", **told)
        )
    return Check("constant", "ok", _("%(distinct)s different values in %(rows)s rows", **told))


def of_file(written_N: Array, predicted_N: Array, expected: int | None) -> list[Check]:
    """What can be said of the file by itself."""
    return [
        rows(written_N, expected),
        order(written_N, predicted_N),
        numbers(written_N),
        span(written_N),
        constant(written_N),
    ]


def likeness(one_N: Array, other_N: Array) -> float | None:
    """Spearman's rank correlation; None where there is none: other rows, a constant, NaN."""
    if one_N.size != other_N.size or not (np.isfinite(one_N).all() and np.isfinite(other_N).all()):
        return None
    return _rho(stats.rankdata(one_N), stats.rankdata(other_N))


def _rho(one_N: Array, other_N: Array) -> float | None:
    """Pearson's correlation of ranks is Spearman's, ties included."""
    if one_N.size < 2 or np.ptp(one_N) == 0 or np.ptp(other_N) == 0:
        return None
    return float(stats.pearsonr(one_N, other_N).statistic)


def histogram(values_N: Array) -> list[int]:
    """How many lie in each of BINS equal parts of 0 to 1; what lies outside, and NaN, in none."""
    counts = np.histogram(values_N[np.isfinite(values_N)], BINS, (0.0, 1.0))[0]
    return [int(count) for count in counts]


def worst(checks: list[Check]) -> State:
    """Of them all."""
    states = {check.state for check in checks}
    return "refuse" if "refuse" in states else "warn" if "warn" in states else "ok"
