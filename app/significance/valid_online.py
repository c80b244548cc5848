"""Valid beside online: regimes of rows whose valid means the same, each with its line, and each row's place in it.

Called by the valid-to-online page and REST, by sending.py and settling.py. Valid scores of different splits can't be
compared, so rows that held out other rows stand apart; so do those of one split from a row on at which online stopped
to keep what valid promised (regimes.py). Rows stand in the order in which they were made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.contests.models import Contest
from app.significance import online_queries
from app.significance.rank_agreement import Agreement, agreement
from app.significance.regimes import Change, changes
from app.significance.robust_line import LEAST, Expected, Floats, Line, expected_all, expected_anyway, fit, residual_p
from ml.contract.scores import METRICS

LEVEL = 0.05
#: what a number of so many decimals was rounded by, at most this
_COARSEST = 0.01


@dataclass(frozen=True)
class Scored:
    """A row. `leaking`: why its valid flatters, or empty. `split`: what says which rows it held out; `error`: standard
    error of its valid score, where its interval is known; `uncertain`: one of the two was typed with a `?`."""

    id: int
    name: str
    external: bool
    leaking: str
    transductive: bool
    split: tuple[tuple[str, str], ...]
    train_file_id: int | None
    test_file_id: int | None
    valid: float | None
    error: float | None
    online: float | None
    note: str
    uncertain: bool


@dataclass(frozen=True)
class Placed:
    """A row with what its regime expects of it (`by_line`: by its valid; otherwise from all online scores, whatever
    their valid). `residual`: online minus expected; `p`: how often noise alone puts a row as far off;
    `beside_before`: online minus the line of the regime before its own."""

    row: Scored
    expected: Expected | None
    by_line: bool
    residual: float | None = None
    p: float | None = None
    beside_before: float | None = None

    @property
    def off(self) -> bool:
        """Whether it lies off the line by more than noise."""
        return self.p is not None and self.p < LEVEL


@dataclass(frozen=True)
class Regime:
    """Rows of one split whose valid means the same. `sent`: with both scores; `line`: None for fewer than LEAST of
    them; `change`: what begins it, after another of the same split (`before`: place of that one); `noise_share`: of
    the spread of valid, what its own error makes at most."""

    sent: list[Placed]
    unsent: list[Placed]
    line: Line | None
    agreement: Agreement | None
    change: Change | None
    before: int | None
    noise_share: float | None

    @property
    def first(self) -> Scored:
        """Any row of it, for what all of them share: the oldest."""
        return min((item.row for item in [*self.sent, *self.unsent]), key=lambda row: row.id)


@dataclass(frozen=True)
class Study:
    """`regimes`: those of one split behind each other; `without_valid`: rows that were sent and have no valid score.
    `best`: the best online score so far; `better`: 1 where higher is better, -1 where lower is."""

    contest_id: int
    regimes: list[Regime]
    without_valid: list[Scored]
    best: Scored | None
    better: int
    metric: str

    @property
    def both(self) -> int:
        """How many rows have both scores."""
        return sum(len(regime.sent) for regime in self.regimes)

    @property
    def unsent(self) -> list[Placed]:
        """Rows with a valid score and no online score."""
        return [item for regime in self.regimes for item in regime.unsent]


def study(session: Session, contest: Contest) -> Study:
    """Of the rows of the table; those in the archive are out of it, scores and all."""
    splits = online_queries.split_settings(session, contest.id)
    rows = [_scored(row, splits.get(row.id, ())) for row in online_queries.scored_rows(session, contest)]
    metric = METRICS[contest.metric]
    better = 1 if metric.higher_is_better else -1
    groups: dict[Any, list[Scored]] = {}
    for row in rows:
        if row.valid is not None:
            groups.setdefault((row.external, row.train_file_id, row.split, row.leaking), []).append(row)
    sent = [row for row in rows if row.online is not None]
    step = rounding([row.online for row in sent if row.online is not None])
    anyway = expected_anyway(_column(sent, "online"), step) if len(sent) >= LEAST else None
    regimes: list[Regime] = []
    for group in groups.values():
        regimes += _regimes(group, anyway, step, len(regimes), (metric.low, metric.high))
    best = max(sent, key=lambda row: (better * (row.online or 0.0), -row.id), default=None)
    alone = [row for row in sent if row.valid is None]
    return Study(contest.id, regimes, alone, best, better, contest.metric)


def _scored(row: Any, split: tuple[tuple[str, str], ...]) -> Scored:
    return Scored(
        id=row.id,
        name=row.name,
        external=row.origin == "external",
        leaking=row.marks.get("leaking", ""),
        transductive="transductive" in row.marks,
        split=split,
        train_file_id=row.train_file_id,
        test_file_id=row.test_file_id,
        valid=row.valid,
        error=(row.high - row.low) / 3.92 if row.low is not None and row.high is not None else None,
        online=row.online,
        note=row.note or "",
        uncertain=bool(row.valid_uncertain or row.online_uncertain),
    )


def rounding(values: Sequence[float]) -> float:
    """The step in which these were written down, as far as their decimals tell: 0.001 of 0.857 and 0.872."""
    decimals = max((len(f"{value:.6f}".rstrip("0").split(".")[1]) for value in values), default=6)
    return min(_COARSEST, 10.0**-decimals)


def _column(rows: Sequence[Scored], name: str) -> Floats:
    return np.array([getattr(row, name) for row in rows], float)


def _regimes(
    group: list[Scored], anyway: Expected | None, step: float, begin: int, span: tuple[float, float]
) -> list[Regime]:
    """The rows of one split, cut where valid began to mean something else; `begin`: place of the first of them."""
    sent = [row for row in group if row.online is not None]
    found: list[Change | None] = [None, *changes(_column(sent, "valid"), _column(sent, "online"), step)]
    cuts = [0, *(sent[change.at].id for change in found if change)]
    regimes: list[Regime] = []
    for place, (change, low) in enumerate(zip(found, cuts, strict=True)):
        high = cuts[place + 1] if place + 1 < len(cuts) else None
        rows = [row for row in group if row.id >= low and (high is None or row.id < high)]
        before = begin + place - 1 if place else None
        regime = _regime(rows, anyway, step, change, before, span)
        regimes.append(_beside(regime, regimes[-1].line) if regimes else regime)
    return regimes


def _beside(regime: Regime, line: Line | None) -> Regime:
    """With what each sent row is off the line of the regime before."""
    if line is None:
        return regime
    sent = [
        replace(item, beside_before=(item.row.online or 0.0) - line.at(item.row.valid or 0.0)) for item in regime.sent
    ]
    return replace(regime, sent=sent)


def _regime(
    rows: list[Scored],
    anyway: Expected | None,
    step: float,
    change: Change | None,
    before: int | None,
    span: tuple[float, float],
) -> Regime:
    sent, unsent = [row for row in rows if row.online is not None], [row for row in rows if row.online is None]
    x_N, y_N = _column(sent, "valid"), _column(sent, "online")
    line = fit(x_N, y_N, step) if len(sent) >= LEAST else None
    placed, waiting = [Placed(row, None, False) for row in sent], [Placed(row, anyway, False) for row in unsent]
    if line is not None:
        p_N = residual_p(line).tolist()
        placed = [
            Placed(row, _within(end, span), True, rest, p)
            for row, end, rest, p in zip(sent, expected_all(line, x_N), line.residual_N.tolist(), p_N, strict=True)
        ]
        ends = expected_all(line, _column(unsent, "valid")) if unsent else []
        waiting = [Placed(row, _within(end, span), True) for row, end in zip(unsent, ends, strict=True)]
    return Regime(placed, waiting, line, agreement(x_N, y_N), change, before, _noise_share(rows))


def _within(found: Expected, span: tuple[float, float]) -> Expected:
    """No score lies outside the range of its metric."""
    least, most = span
    value, low, high = (min(max(end, least), most) for end in (found.value, found.low, found.high))
    return Expected(value, low, high, found.deviation)


def _noise_share(rows: list[Scored]) -> float | None:
    """How much flatter the line is at most, since each valid score is itself uncertain: the share of the variance of
    valid that its errors make (Fuller 1987, Measurement Error Models, 1.1). The rows share their valid pairs, so that
    part of the error is common to all and moves the line without flattening it: hence at most."""
    errors = [row.error for row in rows if row.error is not None]
    spread = float(np.var(_column(rows, "valid"), ddof=1)) if len(rows) > 1 else 0.0
    if len(errors) < len(rows) or not spread:
        return None
    return min(1.0, float(np.mean(np.square(errors))) / spread)
