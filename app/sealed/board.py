"""The board of a sealed contest: one line a contestant, the best public score first; after the reveal the private one.

A contestant is an experiment, or a member with all files that name no experiment.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.language import gettext as _
from app.sealed import queries
from app.sealed.models import SealedAnswers, SealedUpload
from ml.contract.scores import METRICS


@dataclass(frozen=True)
class Entry:
    """A contestant. `public`: the best of `count` scored files; `private`: of the same file, None until the reveal;
    `public_place`: where it stood before the reveal."""

    place: int
    public_place: int
    name: str
    member: str
    experiment_id: int | None
    public: float
    private: float | None
    count: int
    sent_at: datetime


@dataclass(frozen=True)
class _Best:
    row: SealedUpload
    count: int


def board(session: Session, sealed: SealedAnswers, metric: str) -> list[Entry]:
    """Every contestant. Equal scores share a place, the earlier first."""
    sign = -1 if METRICS[metric].higher_is_better else 1
    best = _best(queries.scored(session, sealed.id), sign)
    names = queries.experiment_names(session, [item.row.experiment_id for item in best if item.row.experiment_id])
    by_public = _places([item.row.public_score or 0.0 for item in best], sign)
    shown = by_public
    if sealed.revealed_at is not None:
        shown = _places([item.row.private_score or 0.0 for item in best], sign)
    entries = [
        _entry(item, place, public_place, names, revealed=sealed.revealed_at is not None)
        for item, place, public_place in zip(best, shown, by_public, strict=True)
    ]
    return sorted(entries, key=lambda entry: (entry.place, entry.sent_at))


def _best(rows: Sequence[SealedUpload], sign: int) -> list[_Best]:
    """The file that counts of each contestant: the best by its public score, of equal ones the first."""
    found: dict[tuple[str, object], _Best] = {}
    for row in rows:
        key: tuple[str, object] = ("member", row.made_by)
        if row.experiment_id is not None:
            key = ("experiment", row.experiment_id)
        elif row.kind == "run":  # of an experiment that was removed for good
            key = ("removed", row.id)
        before = found.get(key)
        better = before is None or sign * (row.public_score or 0.0) < sign * (before.row.public_score or 0.0)
        found[key] = _Best(row if better or before is None else before.row, before.count + 1 if before else 1)
    return list(found.values())


def _places(scores: list[float], sign: int) -> list[int]:
    """1 for the best; as many before it as are better."""
    ordered = sorted(sign * score for score in scores)
    return [bisect_left(ordered, sign * score) + 1 for score in scores]


def _entry(item: _Best, place: int, public_place: int, names: dict[int, str], *, revealed: bool) -> Entry:
    row = item.row
    name = row.made_by if row.kind == "upload" else _("an experiment that was removed")
    return Entry(
        place=place,
        public_place=public_place,
        name=names.get(row.experiment_id, name) if row.experiment_id is not None else name,
        member=row.made_by,
        experiment_id=row.experiment_id,
        public=row.public_score or 0.0,
        private=row.private_score if revealed else None,
        count=item.count,
        sent_at=row.sent_at,
    )
