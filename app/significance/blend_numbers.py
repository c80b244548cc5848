"""What a blend of M members would score by each method, and what each member adds. Arrays in, numbers out, no words.

Called by blending. All of it is of rows that no member was trained on; a method that finds weights is cross-fitted by
component, so no row is judged by weights that have seen it.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

from app.significance.choosing import optimism
from app.significance.delong import Aucs, Floats, aucs, difference, interval
from app.significance.mixing import FOUND, Ints, Labels, Members, combine, cross_fitted, fitted, parts_of
from ml.contract.fusion_config import METHODS, Method

Matrix = list[list[float | None]]


@dataclass(frozen=True)
class Gap:
    """Difference of two AUCs on the same rows, its 95% interval and the p-value of none (DeLong over components)."""

    value: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class MethodNumbers:
    """`gain`: over the best member. `weights`: by member, those that its row would use, found on all rows; None: it has
    none. `why`: it could not be found, in the words of mixing."""

    method: Method
    auc: tuple[float, float, float] | None = None
    gain: Gap | None = None
    weights: list[float] | None = None
    why: str = ""


@dataclass(frozen=True)
class Numbers:
    """`auc`: of each member with its interval; `best`: the place of the best; `adds`: what the mean of ranks loses
    without a member. `errors`: Pearson's correlation of label minus probability, `ranks`: Spearman's of the
    predictions, by pair of members; None where a member says the same of every row. The optimisms: by how much the best
    member, and the best method, are expected to flatter since they were chosen by these numbers."""

    pairs: int
    components: int
    auc: list[tuple[float, float, float]]
    best: int
    adds: list[Gap]
    methods: list[MethodNumbers]
    errors: Matrix
    ranks: Matrix
    optimism_of_member: float
    optimism_of_method: float


@dataclass(frozen=True)
class Asked:
    """The arrays, which two that were asked with the same `key` share: hashes of files, which never change."""

    key: tuple[str, ...]
    labels_N: Labels = field(compare=False)
    probabilities_MN: Floats = field(compare=False)
    component_N: Ints = field(compare=False)


@lru_cache(maxsize=128)
def numbers(asked: Asked) -> Numbers:
    """Kept for this process: 20 members and 10,000 rows take half a second of a core. Raises as aucs does."""
    labels_N, members_MN, component_N = asked.labels_N, asked.probabilities_MN, asked.component_N
    members = len(members_MN)
    every = Members(members_MN.T)
    mixed, why = _mixed(every, labels_N, component_N)
    ranks_MN = every.ranks_NM.T
    without_MN = (ranks_MN.sum(axis=0) - ranks_MN) / (members - 1)
    found = aucs(
        labels_N, np.stack([*members_MN, *(item.column_N for item in mixed.values()), *without_MN]), component_N
    )
    best = int(np.argmax(found.auc_K[:members]))
    place = {method: members + number for number, method in enumerate(mixed)}
    last = members + len(mixed)
    return Numbers(
        pairs=len(labels_N),
        components=len(np.unique(component_N)),
        auc=[_with_interval(found, member) for member in range(members)],
        best=best,
        adds=[_gap(found, place["rank_mean"], last + member) for member in range(members)],
        methods=[
            MethodNumbers(
                method,
                _with_interval(found, place[method]),
                _gap(found, place[method], best),
                mixed[method].weights,
            )
            if method in mixed
            else MethodNumbers(method, why=why[method])
            for method in METHODS
        ],
        errors=_correlations(labels_N - members_MN),
        ranks=_correlations(ranks_MN),
        optimism_of_member=optimism(_part(found, slice(0, members))),
        optimism_of_method=optimism(_part(found, slice(members, last))),
    )


@dataclass(frozen=True)
class _Mixed:
    """What a method makes of each row, and the weights that its row would use."""

    column_N: Floats
    weights: list[float] | None = None


def _mixed(members: Members, labels_N: Labels, component_N: Ints) -> tuple[dict[Method, _Mixed], dict[Method, str]]:
    """By method, and why not."""
    part_N = parts_of(component_N, labels_N)
    mixed, why = dict[Method, _Mixed](), dict[Method, str]()
    for method in METHODS:
        if method not in FOUND:
            mixed[method] = _Mixed(combine(members, method))
            continue
        try:
            honest_N = cross_fitted(members, labels_N, part_N, method)
            mixed[method] = _Mixed(honest_N, fitted(members, labels_N, method).weights_M.tolist())
        except ValueError as error:
            why[method] = str(error)
    return mixed, why


def _with_interval(found: Aucs, place: int) -> tuple[float, float, float]:
    auc = float(found.auc_K[place])
    return auc, *interval(auc, float(found.covariance_KK[place, place]))


def _gap(found: Aucs, first: int, second: int) -> Gap:
    value, error, p = difference(found, first, second)
    half = -float(ndtri(0.025)) * error
    return Gap(value, value - half, value + half, p)


def _part(found: Aucs, places: slice) -> Aucs:
    return Aucs(found.auc_K[places], found.covariance_KK[places, places])


def _correlations(values_MN: Floats) -> Matrix:
    """Pearson's, of each pair of rows."""
    centred_MN = values_MN - values_MN.mean(axis=1, keepdims=True)
    length_M = np.sqrt((centred_MN**2).sum(axis=1))
    same_M = length_M < 1e-9 * np.sqrt(values_MN.shape[1])
    unit_MN = centred_MN / np.where(same_M, 1.0, length_M)[:, None]
    found: Matrix = np.clip(unit_MN @ unit_MN.T, -1, 1).tolist()
    flat = same_M.tolist()
    return [
        [None if flat[one] or flat[other] else value for other, value in enumerate(row)]
        for one, row in enumerate(found)
    ]
