"""The pairs that two experiments judge differently, worst first, and how each does on slices of the valid part.

Both predicted rows of one train file; the rows that both held out are compared, at the threshold 0.5.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from app.contests import queries as contest_queries
from app.contests.marking import tokens
from app.contests.models import ContestFile
from app.errors import Refused
from app.experiments.models import Experiment
from app.language import gettext as _
from app.runs.predictions import predictions
from app.storage import Storage
from ml.contract.pair_file import PairFileLayout, PairRow, read_rows

#: how often the rarest token of a pair stands in the train file: ends of the slices
RARE = (5, 50)


@dataclass(frozen=True)
class Flip:
    """A pair of the train file (`line` of the file) that one of the two judges rightly and the other not."""

    line: int
    a: str
    b: str
    label: int
    first: float
    second: float

    @property
    def first_right(self) -> bool:
        """Whether it is the first experiment that is right."""
        return (self.first >= 0.5) == bool(self.label)


@dataclass(frozen=True)
class Slice:
    """A part of the valid pairs. AUC is None where all labels are the same."""

    by: str
    name: str
    pairs: int
    accuracy: tuple[float, float]
    auc: tuple[float, float] | None


@dataclass(frozen=True)
class Flips:
    """`common` rows were held out by both. `flips` are the shown ones of `total`."""

    common: int
    both_right: int
    both_wrong: int
    only_first: int
    only_second: int
    total: int
    flips: list[Flip]
    slices: list[Slice]


def flips(
    session: Session, storage: Storage, first: Experiment, second: Experiment, *, limit: int = 50, offset: int = 0
) -> Flips:
    """Compare two experiments pair by pair. Raises Refused when they have no rows in common or a file is missing."""
    if first.train_file_id is None or first.train_file_id != second.train_file_id:
        raise Refused(
            _(
                "experiments %(first)s and %(second)s were trained on different files: their pairs can't be compared",
                first=first.id,
                second=second.id,
            )
        )
    file = contest_queries.file_by_id(session, first.train_file_id)
    one, two = (predictions(session, storage, experiment) for experiment in (first, second))
    rows, of_one, of_two = np.intersect1d(one.rows_N, two.rows_N, assume_unique=True, return_indices=True)
    if not len(rows):
        raise Refused(
            _(
                "experiments %(first)s and %(second)s held out different rows: none is in both valid parts",
                first=first.id,
                second=second.id,
            )
        )
    labels, p, q = one.labels_N[of_one], one.probabilities_N[of_one], two.probabilities_N[of_two]
    texts, counts = _texts(storage.existing(file.sha256, file.name), file, rows)
    right = ((p >= 0.5) == labels, (q >= 0.5) == labels)
    flipped = np.flatnonzero(right[0] != right[1])
    worst = flipped[np.argsort(-np.abs(p - q)[flipped], kind="stable")]
    shown = [
        Flip(texts[i].line, texts[i].a, texts[i].b, int(labels[i]), float(p[i]), float(q[i]))
        for i in worst[offset : offset + limit].tolist()
    ]
    return Flips(
        common=len(rows),
        both_right=int((right[0] & right[1]).sum()),
        both_wrong=int((~right[0] & ~right[1]).sum()),
        only_first=int((right[0] & ~right[1]).sum()),
        only_second=int((~right[0] & right[1]).sum()),
        total=len(flipped),
        flips=shown,
        slices=_slices(texts, counts, labels, p, q, ids=_is_ids(file)),
    )


def _is_ids(file: ContestFile) -> bool:
    return bool(file.report["looks_like"] == "ids")


def _texts(path: Path, file: ContestFile, rows: NDArray[np.int64]) -> tuple[list[PairRow], Counter[str]]:
    """The pairs of these rows, and how often each token stands in the file."""
    layout = PairFileLayout.model_validate(file.layout)
    wanted, found, number = set(rows.tolist()), [], 0
    for row in read_rows(path, layout, "train"):
        if isinstance(row, PairRow):
            if number in wanted:
                found.append(row)
            number += 1
    return found, token_counts(path, layout.model_dump_json(), _is_ids(file))


@lru_cache(maxsize=4)  # a file never changes: its path is its hash
def token_counts(path: Path, layout: str, ids: bool) -> Counter[str]:
    """How often each token stands in the file."""
    counts: Counter[str] = Counter()
    for row in read_rows(path, PairFileLayout.model_validate_json(layout), "train"):
        if isinstance(row, PairRow):
            counts.update(tokens(row.a, ids) + tokens(row.b, ids))
    return counts


def _slices(
    texts: list[PairRow],
    counts: Counter[str],
    labels: NDArray[np.bool_],
    p: NDArray[np.float64],
    q: NDArray[np.float64],
    *,
    ids: bool,
) -> list[Slice]:
    named = parts(measure(texts, counts, ids=ids), ids=ids)
    return [_slice(by, name, labels[part], p[part], q[part]) for _, by, name, part in named if part.any()]


def measure(texts: Iterable[PairRow], counts: Counter[str], *, ids: bool) -> NDArray[np.float64]:
    """By which pairs are cut into slices, a row a pair: tokens, share of the tokens in both sides, how often the rarest
    token stands in the file."""
    sides = ((tokens(row.a, ids), tokens(row.b, ids)) for row in texts)
    found = (
        value
        for a, b in sides
        for value in (
            len(a) + len(b),
            len(set(a) & set(b)) / max(1, len(set(a) | set(b))),
            min((counts[token] for token in a + b), default=0),
        )
    )
    return np.fromiter(found, np.float64).reshape(-1, 3)


def parts(measures: NDArray[np.float64], *, ids: bool) -> list[tuple[str, str, str, NDArray[np.bool_]]]:
    """Every slice: its key, by what, its name (both in this request's language), and whether each pair is in it."""
    lengths, overlaps, rarest = measures.T
    unit = _("tokens") if ids else _("characters")
    short, long = np.quantile(lengths, (1 / 3, 2 / 3)).round().astype(int)
    few, many = RARE
    length, overlap, rare = _("length"), _("overlap"), _("rarest token")
    found = [
        (length, _("up to %(most)s %(unit)s", most=short, unit=unit), lengths <= short),
        (length, _("%(least)s to %(most)s", least=short + 1, most=long), (lengths > short) & (lengths <= long)),
        (length, _("more than %(least)s", least=long), lengths > long),
        (overlap, _("under 1/3 of the tokens shared"), overlaps < 1 / 3),
        (overlap, _("1/3 to 2/3"), (overlaps >= 1 / 3) & (overlaps < 2 / 3)),
        (overlap, _("2/3 or more"), overlaps >= 2 / 3),
        (rare, _("in the file %(most)s times or less", most=few), rarest <= few),
        (rare, _("%(least)s to %(most)s times", least=few + 1, most=many), (rarest > few) & (rarest <= many)),
        (rare, _("more than %(least)s times", least=many), rarest > many),
    ]
    keys = (f"{by}-{number}" for by in ("length", "overlap", "rarest") for number in (1, 2, 3))
    return [(key, *part) for key, part in zip(keys, found, strict=True)]


def _slice(by: str, name: str, labels: NDArray[np.bool_], p: NDArray[np.float64], q: NDArray[np.float64]) -> Slice:
    from sklearn.metrics import roc_auc_score  # a second to import, and few web processes ever come here

    both = bool(labels.any() and not labels.all())
    accuracy = (float(((p >= 0.5) == labels).mean()), float(((q >= 0.5) == labels).mean()))
    auc = (float(roc_auc_score(labels, p)), float(roc_auc_score(labels, q))) if both else None
    return Slice(by, name, len(labels), accuracy, auc)
