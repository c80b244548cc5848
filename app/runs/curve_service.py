"""The curves of a run, over all its attempts: drawn from events into pieces, and read back in windows.

Called by intake when events arrive, and by curve_api.
"""

import math
from dataclasses import dataclass

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.errors import FieldError, Refused
from app.language import N_
from app.language import gettext as _
from app.runs import curve_queries, queries
from app.runs.curves import SERIES, Points, coarse, joined, packed, reduced
from app.runs.models import Attempt, CurvePiece, Run

PIECE = 1024
X_AXES = (N_("step"), N_("epoch"), N_("rows"), N_("time"))
#: points of the curves that turn steps into epochs and hours
AXIS_POINTS = 2000


@dataclass(frozen=True)
class Curve:
    """`x` and `y` are of one length. `total`: points that were read for it, before they were made fewer."""

    x: list[float]
    y: list[float]
    total: int


def draw(session: Session, attempt: Attempt) -> None:
    """Put the points of its events that are in no piece yet into pieces. For intake, in its transaction."""
    rows = []
    for series, points in curve_queries.points_of_events(session, attempt, attempt.drawn_events).items():
        for start in range(0, len(points), PIECE):
            piece = Points(points.steps[start : start + PIECE], points.values[start : start + PIECE])
            rows.append(
                {
                    "attempt_id": attempt.id,
                    "series": series,
                    "number": attempt.drawn_events + 1 + start,
                    "points": len(piece),
                    "first_step": float(piece.steps[0]),
                    "last_step": float(piece.steps[-1]),
                    "coarse": packed(coarse(piece)),
                    "fine": packed(piece),
                }
            )
    if rows:
        session.execute(insert(CurvePiece), rows)
    attempt.drawn_events = attempt.stored_events
    session.flush()


def curves(
    session: Session,
    run: Run,
    series: list[str],
    *,
    x: str = "step",
    low: float | None = None,
    high: float | None = None,
    most: int = 1000,
    every: bool = False,
) -> dict[str, Curve]:
    """These curves of a run between `low` and `high` of the x axis, each of at most about `most` points with every
    peak among them, or of `every` point. Those without points are left out. Raises Refused for a curve or an axis that
    there is not."""
    _require_known(series, x)
    attempts = list(queries.attempts_of(session, run.id))
    axis = _axis(session, run, attempts, x)
    window = (-math.inf if low is None else axis.step(low), math.inf if high is None else axis.step(high))
    found = {}
    for name, (points, total) in _read(session, attempts, series, *window, every=every).items():
        inside = points.between(*window)
        shown = inside if every else reduced(inside, most)
        found[name] = Curve(axis.of(shown.steps).tolist(), shown.values.tolist(), total)
    return found


def news(session: Session, run: Run, series: list[str], after: tuple[int, int], x: str) -> dict[str, Curve]:
    """The points of events after (attempt's number, event's number): what a page has not seen yet. Raises Refused as
    `curves` does."""
    _require_known(series, x)
    number, event = after
    attempts = list(queries.attempts_of(session, run.id))
    axis = _axis(session, run, attempts, x)
    parts: dict[str, list[Points]] = {}
    for attempt in attempts:
        if attempt.number >= number:
            told = curve_queries.points_of_events(session, attempt, event if attempt.number == number else 0)
            for name in series:
                if name in told:
                    parts.setdefault(name, []).append(told[name])
    whole = {name: joined(found) for name, found in parts.items()}
    return {name: Curve(axis.of(p.steps).tolist(), p.values.tolist(), len(p)) for name, p in whole.items()}


def cursor(session: Session, run: Run) -> tuple[int, int]:
    """Up to where a page has seen a run: (attempt's number, event's number)."""
    attempt = queries.current_attempt(session, run)
    return (attempt.number, attempt.stored_events) if attempt else (0, 0)


def _read(
    session: Session, attempts: list[Attempt], series: list[str], low: float, high: float, *, every: bool = False
) -> dict[str, tuple[Points, int]]:
    """Of all attempts: what a later one did anew is taken from that one."""
    parts: dict[str, list[Points]] = {name: [] for name in series}
    totals = dict.fromkeys(series, 0)
    end = math.inf
    for attempt in reversed(attempts):
        begin = curve_queries.first_step(session, attempt)
        if begin is None:
            continue
        late = curve_queries.points_of_events(session, attempt, attempt.drawn_events)
        for name in series:
            pieces, count = curve_queries.points_of_pieces(session, attempt, name, low, high, every=every)
            fresh = late.get(name, Points(np.empty(0), np.empty(0)))
            parts[name].append(joined((pieces, fresh)).before(end))
            totals[name] += count + len(fresh)
        end = min(end, begin)
    whole = {name: joined(reversed(found)) for name, found in parts.items()}
    return {name: (points, totals[name]) for name, points in whole.items() if len(points)}


@dataclass(frozen=True)
class _Axis:
    """Steps as what a reader counts in. `steps` and `values` rise together; without any a step is itself."""

    steps: np.ndarray
    values: np.ndarray

    def of(self, steps: np.ndarray) -> np.ndarray:
        return np.interp(steps, self.steps, self.values) if len(self.steps) else steps

    def step(self, value: float) -> float:
        return float(np.interp(value, self.values, self.steps)) if len(self.steps) else value


def _axis(session: Session, run: Run, attempts: list[Attempt], x: str) -> _Axis:
    if x == "step":
        return _Axis(np.empty(0), np.empty(0))
    name = "time" if x == "time" else "epoch"
    found = _read(session, attempts, [name], -math.inf, math.inf)
    points = reduced(found[name][0] if name in found else Points(np.zeros(1), np.zeros(1)), AXIS_POINTS)
    values = points.values
    if x == "time":  # hours since the run was first taken
        values = (values - attempts[0].claimed_at.timestamp()) / 3600 if attempts else values
    elif x == "rows":
        values = values * ((run.summary or {}).get("data_read", {}).get("trained_rows") or 1)
    return _Axis(points.steps, values)


def _require_known(series: list[str], x: str) -> None:
    for field, value, known in (*(("series", name, tuple(SERIES)) for name in series), ("x", x, X_AXES)):
        if value not in known:
            message = _("%(value)s is none of %(known)s", value=repr(value[:40]), known=", ".join(known))
            raise Refused(f"{field}: {message}", [FieldError(field, message, value[:40])])
