"""Whether rows of the table differ by more than noise: rows of one split beside each other, and two of them in detail.

Called by the leaderboard's and the comparison's pages and REST. Everything is computed from the predictions of the rows
that were held out; pairs that share sentences, however far, count as one draw.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.components import components_of
from app.errors import AppError, Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs.predictions import Predictions, predictions
from app.significance import queries
from app.significance.choosing import LEVEL, clustered_bootstrap, mcnemar, optimism, tiers
from app.significance.delong import Aucs, Floats, aucs, difference, holm, interval
from app.storage import Storage


@dataclass(frozen=True)
class Judged:
    """A row beside the best of its split. `tier`: 1 is the best one; `behind`: AUC below the best row; `p`: that this
    is noise, corrected for all rows that are compared with the best (None: it is the best)."""

    id: int
    name: str
    auc: float
    low: float
    high: float
    tier: int
    behind: float
    p: float | None


@dataclass(frozen=True)
class SplitNoise:
    """The rows that were judged on the same pairs, best first. `chosen_among`: how many rows of the contest this split
    has scored, archived ones and those not shown here counted; `optimism`: how much the best valid AUC is expected to
    flatter its row, since it was chosen among those judged here."""

    pairs: int
    components: int
    rows: list[Judged]
    chosen_among: int
    optimism: float

    @property
    def together(self) -> int:
        """How many rows can't be told from the best, itself counted."""
        return sum(row.tier == 1 for row in self.rows)


@dataclass(frozen=True)
class Noise:
    """By split, the one with most rows first. `left`: experiments that can't be judged, and why."""

    splits: list[SplitNoise]
    left: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Paired:
    """Two rows on the pairs that both held out: AUC and accuracy of each, the difference (first minus second) with its
    standard error, 95% interval and p-value (DeLong over components), the interval and p-value by resampling whole
    components, and McNemar's p-value of the accuracies."""

    pairs: int
    components: int
    auc: tuple[float, float]
    accuracy: tuple[float, float]
    difference: float
    error: float
    low: float
    high: float
    p: float
    bootstrap_low: float
    bootstrap_high: float
    bootstrap_p: float
    mcnemar_p: float

    @property
    def is_noise(self) -> bool:
        """Whether nothing speaks against the two being equally good."""
        return self.p >= LEVEL


def noise(session: Session, storage: Storage, experiments: Sequence[Experiment]) -> Noise:
    """Judge these experiments, those that held out the same rows of the same file beside each other."""
    splits: dict[tuple[int, str], list[tuple[Experiment, Predictions]]] = {}
    left: dict[int, str] = {}
    for experiment in experiments:
        try:
            found = predictions(session, storage, experiment)
        except AppError as error:
            left[experiment.id] = error.message
            continue
        if experiment.train_file_id is None or not len(found.rows_N):
            left[experiment.id] = _("it held out no rows")
            continue
        key = (experiment.train_file_id, hashlib.sha256(found.rows_N.tobytes()).hexdigest())
        splits.setdefault(key, []).append((experiment, found))
    judged = []
    for (file_id, _rows), members in splits.items():
        of_file = components_of(storage, contest_queries.file_by_id(session, file_id))
        try:
            named = next((item for item, _found in members if item.config is not None), None)  # its split by its fields
            among = queries.scored_on_the_split_of(session, named) if named is not None else 0
            judged.append(_judged(members, of_file, among))
        except ValueError as error:
            left |= {experiment.id: str(error) for experiment, _found in members}
    return Noise(sorted(judged, key=lambda split: -len(split.rows)), left)


def _judged(members: list[tuple[Experiment, Predictions]], of_file: NDArray[np.int64], chosen_among: int) -> SplitNoise:
    first = members[0][1]
    clusters_N = of_file[first.rows_N]
    found = aucs(first.labels_N, np.stack([item.probabilities_N for _experiment, item in members]), clusters_N)
    order = np.argsort(-found.auc_K, kind="stable").tolist()
    tier_K, best = tiers(found), order[0]
    corrected = holm(np.array([difference(found, best, place)[2] for place in order[1:]]))
    p_of = dict(zip(order[1:], corrected.tolist(), strict=True))
    rows = []
    for place in order:
        auc = float(found.auc_K[place])
        low, high = interval(auc, float(found.covariance_KK[place, place]))
        experiment, behind = members[place][0], float(found.auc_K[best]) - auc
        rows.append(Judged(experiment.id, experiment.name, auc, low, high, tier_K[place] + 1, behind, p_of.get(place)))
    among = max(chosen_among, len(members))
    return SplitNoise(len(clusters_N), len(np.unique(clusters_N)), rows, among, optimism(found))


def paired(session: Session, storage: Storage, first: Experiment, second: Experiment) -> Paired:
    """Compare two experiments on the pairs that both held out. Raises Refused when there are none, or they can't tell
    anything (one label, one component), NotFound when one has no predictions."""
    if first.train_file_id is None or first.train_file_id != second.train_file_id:
        raise Refused(
            _(
                "experiments %(first)s and %(second)s were trained on different files: their pairs can't be compared",
                first=first.id,
                second=second.id,
            )
        )
    one, two = predictions(session, storage, first), predictions(session, storage, second)
    rows_N, of_one, of_two = np.intersect1d(one.rows_N, two.rows_N, assume_unique=True, return_indices=True)
    labels_N, scores_KN = one.labels_N[of_one], np.stack([one.probabilities_N[of_one], two.probabilities_N[of_two]])
    clusters_N = components_of(storage, contest_queries.file_by_id(session, first.train_file_id))[rows_N]
    try:
        found = aucs(labels_N, scores_KN, clusters_N)
    except ValueError as error:
        raise Refused(
            _(
                "experiments %(first)s and %(second)s can't be compared on the %(rows)s pairs both held out: %(why)s",
                first=first.id,
                second=second.id,
                rows=len(rows_N),
                why=error,
            )
        ) from error
    return _paired(found, labels_N, scores_KN, clusters_N)


def _paired(found: Aucs, labels_N: NDArray[np.bool_], scores_KN: Floats, clusters_N: NDArray[np.int64]) -> Paired:
    delta, error, p = difference(found, 0, 1)
    half = -float(ndtri(0.025)) * error
    drawn_KD = clustered_bootstrap(labels_N, scores_KN, clusters_N).T
    apart_D = drawn_KD[0] - drawn_KD[1]
    low, high = np.quantile(apart_D, (0.025, 0.975)).tolist()
    # the share of resamples on the other side of 0, ties by half, counted for both sides
    below = float((apart_D < 0).mean() + (apart_D == 0).mean() / 2)
    right_KN = (scores_KN >= 0.5) == labels_N
    accuracy = right_KN.mean(axis=1)
    return Paired(
        pairs=len(labels_N),
        components=len(np.unique(clusters_N)),
        auc=(float(found.auc_K[0]), float(found.auc_K[1])),
        accuracy=(float(accuracy[0]), float(accuracy[1])),
        difference=delta,
        error=error,
        low=delta - half,
        high=delta + half,
        p=p,
        bootstrap_low=low,
        bootstrap_high=high,
        bootstrap_p=max(2 * min(below, 1 - below), 1 / len(apart_D)),
        mcnemar_p=mcnemar(right_KN[0], right_KN[1]),
    )
