"""What is new of several runs since a reader last heard of them: points of curves, and lines of logs. For stream_api.

The cursor says for each run up to where it was read: attempt, event, and how many lines its log had by then.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from app.errors import FieldError, Refused
from app.language import gettext as _
from app.runs import curve_service, log_service, queries
from app.runs.curves import SERIES
from app.runs.models import Run

_PART = re.compile(r"(\d{1,18}):(\d{1,9}):(\d{1,9}):(\d{1,9})", re.ASCII)
Seen = dict[int, tuple[int, int, int]]


@dataclass
class News:
    """`curves` over steps, as curve_api has them; `logs`: lines by run. `seen` is up to where they reach."""

    seen: Seen
    curves: list[dict[str, Any]] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)


def news(session: Session, runs: Sequence[Run], seen: Seen) -> News:
    """What these runs told after `seen`."""
    found = News({**seen})
    for run in runs:
        number, event, count = seen.get(run.id, (0, 0, 0))
        attempt = queries.current_attempt(session, run)
        if attempt is None or (attempt.number, attempt.stored_events) == (number, event):
            continue
        curves = curve_service.news(session, run, list(SERIES), (number, event), "step")
        found.curves += [
            {"run": run.id, "series": name, "x": curve.x, "y": curve.y, "total": curve.total}
            for name, curve in curves.items()
        ]
        cursor = f"{number}:{event}:{count}"
        log = log_service.read(session, run, attempt, cursor, until=attempt.stored_events)
        if log.lines:
            lines = [asdict(line) for line in log.lines]
            found.logs.append({"run": run.id, "attempt": attempt.number, "lines": lines})
        found.seen[run.id] = (attempt.number, attempt.stored_events, int(log.cursor.rpartition(":")[2]))
    return found


def now(session: Session, runs: Sequence[Run]) -> Seen:
    """Up to where a page that is written now has seen them."""
    found: Seen = {}
    for run in runs:
        if (attempt := queries.current_attempt(session, run)) is not None:
            log = log_service.read(session, run, attempt, until=attempt.stored_events)
            found[run.id] = (attempt.number, attempt.stored_events, int(log.cursor.rpartition(":")[2]))
    return found


def cursor_text(seen: Seen) -> str:
    """As it travels; `-` of nothing seen."""
    return ",".join(f"{run}:{':'.join(map(str, parts))}" for run, parts in seen.items()) or "-"


def cursor_seen(text: str) -> Seen:
    """Back again. Raises Refused for what is no cursor."""
    if text in {"", "-"}:
        return {}
    found = [_PART.fullmatch(part) for part in text.split(",")[:500]]
    if not all(found):
        message = _("send the cursor of an answer before, as it was")
        raise Refused(f"after={text[:60]!r}: {message}", [FieldError("after", message, text[:60])])
    return {int(part[1]): (int(part[2]), int(part[3]), int(part[4])) for part in found if part}
