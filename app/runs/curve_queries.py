"""Reads of the points of curves: those in pieces, and those that still lie in events."""

from pydantic_core import from_json
from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from app.runs.curves import TYPES, Points, Reader, unpacked
from app.runs.models import Attempt, CurvePiece, RunEvent

#: above so many points a window is read from the coarse copies
FINE_POINTS = 1 << 16


def reader_at(session: Session, attempt: Attempt, number: int) -> Reader:
    """A reader that knows where training stood after this event."""
    query = select(RunEvent.body).where(RunEvent.attempt_id == attempt.id, RunEvent.type == "progress")
    body = session.scalar(query.where(RunEvent.number <= number).order_by(RunEvent.number.desc()).limit(1))
    return Reader(body["step"], body["epoch"]) if body else Reader()


def points_of_events(session: Session, attempt: Attempt, after: int) -> dict[str, Points]:
    """The points of an attempt's events after this number, by curve."""
    # as one text: bodies that are read from JSON one by one take most of the time
    query = select(RunEvent.type, cast(RunEvent.body, Text), RunEvent.received_at)
    query = query.where(RunEvent.attempt_id == attempt.id, RunEvent.number > after, RunEvent.type.in_(TYPES))
    rows = session.execute(query.order_by(RunEvent.number)).all()
    reader = reader_at(session, attempt, after) if rows else Reader()
    bodies = from_json(f"[{','.join(row[1] for row in rows)}]")
    for (type, _text, received_at), body in zip(rows, bodies, strict=True):
        reader.take(type, body, received_at.timestamp())
    return reader.points()


def points_of_pieces(
    session: Session, attempt: Attempt, series: str, low: float, high: float, *, every: bool
) -> tuple[Points, int]:
    """A curve's points in the pieces that reach into the window, and how many there are; of many the extremes only,
    unless `every` point is asked for."""
    inside = (
        CurvePiece.attempt_id == attempt.id,
        CurvePiece.series == series,
        CurvePiece.first_step <= high,
        CurvePiece.last_step >= low,
    )
    count = session.scalar(select(func.coalesce(func.sum(CurvePiece.points), 0)).where(*inside)) or 0
    blobs = select(CurvePiece.fine if every or count <= FINE_POINTS else CurvePiece.coarse).where(*inside)
    return unpacked(session.scalars(blobs.order_by(CurvePiece.number))), count


def first_step(session: Session, attempt: Attempt) -> float | None:
    """The step that an attempt told first; None if it told none."""
    query = select(func.min(CurvePiece.first_step)).where(CurvePiece.attempt_id == attempt.id)
    drawn = session.scalar(query.where(CurvePiece.series == "loss"))
    if drawn is not None:
        return drawn
    of_events = select(RunEvent.body).where(RunEvent.attempt_id == attempt.id, RunEvent.type == "progress")
    body = session.scalar(of_events.order_by(RunEvent.number).limit(1))
    return float(body["step"]) if body else None
