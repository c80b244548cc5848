"""What is looked at before a file is sent: arrays of probabilities in, findings with their numbers out. No rows, no
SQL. Called by checking.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # scipy.stats takes a second to import: when it is first used
from numpy.typing import NDArray

from app.language import N_
from app.language import gettext as _

Array = NDArray[np.float64]
State = Literal["ok", "warn", "refuse"]
#: what pages call them
NAMES = {
    "form": N_("form of the file"),
    "rows": N_("rows"),
    "order": N_("order"),
    "numbers": N_("numbers"),
    "range": N_("range"),
    "constant": N_("different values"),
    "test_file": N_("test file"),
    "same_file": N_("not sent before"),
    "likeness": N_("likeness"),
}
STATES = (N_("ok"), N_("warn"), N_("refuse"))
#: files whose ranks agree more than this rank the rows the same way: their scores differ by noise
TWINS = 0.9995
#: files of one contest agree; ranks that agree less than this are those of other rows, or of another order
STRANGERS = 0.3
#: of all pairs of rows; fewer that rounding ties move no digit of AUC that a contest shows
TIED = 1e-5
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


def order(written_N: Array, predicted_N: Array, decimals: int | None = None, *, labels: bool = False) -> Check:
    """Row by row what was predicted, as far as the file's decimals hold it, or its label."""
    if written_N.size != predicted_N.size:
        text = _("%(rows)s rows where %(predicted)s were predicted", rows=written_N.size, predicted=predicted_N.size)
        return Check("order", "refuse", text)
    meant_N = (predicted_N >= 0.5).astype(np.float64) if labels else predicted_N
    off_N = np.nan_to_num(np.abs(written_N - meant_N), nan=0.0)  # what is no number has a check of its own
    furthest_row = int(np.argmax(off_N)) if off_N.size else 0
    furthest = float(off_N[furthest_row]) if off_N.size else 0.0
    if furthest > (1e-12 if labels or decimals is None else 0.5 * 10**-decimals + 1e-12):
        told = {
            "row": furthest_row + 1,
            "written": f"{written_N[furthest_row]:.6g}",
            "predicted": f"{predicted_N[furthest_row]:.6g}",
        }
        text = _("row %(row)s holds %(written)s, and %(predicted)s was predicted for it", **told)
        return Check("order", "refuse", text)
    if labels:
        return Check("order", "ok", _("each row holds the label of what was predicted for it"))
    if not furthest:
        return Check("order", "ok", _("each row holds exactly what was predicted for it"))
    told = {"furthest": f"{furthest:.2g}"}
    return Check("order", "ok", _("each row holds what was predicted for it, to %(furthest)s", **told))


def numbers(written_N: Array, predicted_N: Array) -> Check:
    """No NaN, nothing infinite; nor behind a label, which can't tell."""
    wrong_N = ~np.isfinite(written_N)
    if written_N.size == predicted_N.size:
        wrong_N |= ~np.isfinite(predicted_N)
    wrong = np.flatnonzero(wrong_N)
    if not wrong.size:
        return Check("numbers", "ok", _("every row is a finite number"))
    first = int(wrong[0])
    value = predicted_N[first] if np.isfinite(written_N[first]) else written_N[first]
    told = {"count": wrong.size, "row": first + 1, "value": f"{value}"}
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


def constant(written_N: Array, predicted_N: Array) -> Check:
    """Ties cost AUC, those above all that rounding makes; and a constant file scores 0.5."""
    distinct = _distinct(written_N)
    if distinct < 2:
        return Check("constant", "refuse", _("every row holds the same"))
    told: dict[str, int | str] = {"distinct": distinct, "rows": written_N.size, "before": _distinct(predicted_N)}
    tied = _tied(written_N) - _tied(predicted_N)
    if tied > TIED:
        told["share"] = f"{100 * tied:.2g}"
        text = _(
            "its form leaves %(distinct)s of %(before)s different values: %(share)s%% of all pairs of rows are tied by "
            "it, and ties cost AUC",
            **told,
        )
        return Check("constant", "warn", text)
    if distinct * 10 < written_N.size:
        return Check(
            "constant", "warn", _("only %(distinct)s different values in %(rows)s rows: ties cost AUC", **told)
        )
    return Check("constant", "ok", _("%(distinct)s different values in %(rows)s rows", **told))


def _distinct(values_N: Array) -> int:
    return int(np.unique(values_N[np.isfinite(values_N)]).size)


def _tied(values_N: Array) -> float:
    """The share of pairs of rows that hold the same."""
    if values_N.size < 2:
        return 0.0
    counts = np.unique(values_N[np.isfinite(values_N)], return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / (values_N.size * (values_N.size - 1)))


def of_file(
    written_N: Array, predicted_N: Array, expected: int | None, decimals: int | None = None, *, labels: bool = False
) -> list[Check]:
    """What can be said of the file by itself. `decimals`: so many has it, None: every digit; `labels`: or none."""
    return [
        rows(written_N, expected),
        order(written_N, predicted_N, decimals, labels=labels),
        numbers(written_N, predicted_N),
        span(written_N),
        constant(written_N, predicted_N),
    ]


def of_upload(
    values_N: Array,
    own_N: Array | None,
    expected: int,
    decimals: int | None = None,
    *,
    labels: bool = False,
    named: bool = False,
    moved_from: int = 0,
) -> list[Check]:
    """The same of a file that somebody brings. `own_N`: what its experiment predicted, None: nothing is known;
    `decimals`: to which the two have to agree; `named`: each line says which row it answers, from line `moved_from` on
    not in their order, 0: all in order."""
    predicted_N = values_N if own_N is None else own_N
    found = of_file(values_N, predicted_N, expected, decimals, labels=labels)
    if own_N is not None:
        return found
    if moved_from:
        text = _("the rows were put in order by their ids, from line %(line)s on", line=moved_from)
    elif named:
        text = _("each line names the row that it answers, in the order of the test file")
    else:
        text = _("no line names the row that it answers: only the likeness to other files can tell of a wrong order")
    return [Check("order", "ok", text) if check.name == "order" else check for check in found]


def likeness(one_N: Array, other_N: Array) -> float | None:
    """Spearman's rank correlation; None where there is none: other rows, a constant, NaN."""
    if one_N.size != other_N.size or not (np.isfinite(one_N).all() and np.isfinite(other_N).all()):
        return None
    return _rho(scipy.stats.rankdata(one_N), scipy.stats.rankdata(other_N))


def _rho(one_N: Array, other_N: Array) -> float | None:
    """Pearson's correlation of ranks is Spearman's, ties included."""
    if one_N.size < 2 or np.ptp(one_N) == 0 or np.ptp(other_N) == 0:
        return None
    return float(scipy.stats.pearsonr(one_N, other_N).statistic)


def histogram(values_N: Array) -> list[int]:
    """How many lie in each of BINS equal parts of 0 to 1; what lies outside, and NaN, in none."""
    counts = np.histogram(values_N[np.isfinite(values_N)], BINS, (0.0, 1.0))[0]
    return [int(count) for count in counts]


def worst(checks: list[Check]) -> State:
    """Of them all."""
    states = {check.state for check in checks}
    return "refuse" if "refuse" in states else "warn" if "warn" in states else "ok"
