"""The log of an attempt at a run: what ml told, what libraries printed, and why it ended, line by line.

Lines are numbered from 1 and keep their numbers: events are stored in order, and those with lines stay for good.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.errors import FieldError, Refused
from app.language import gettext as _
from app.runs import log_queries
from app.runs.models import Attempt, Run

#: what a line looks like that tells what went wrong; `nan` as a word of its own. `raise ValueError(…)` is code
_WRONG = re.compile(
    r"Traceback \(most recent call last\)|\b\w*(?:Error|Exception)(?=:|\s*$)|\b(?:error|fatal|critical)\b|out of memory"
    r"|\bnan\b|killed by|segmentation fault|core dumped|assertion .{0,200}failed",
    re.IGNORECASE,
)
_CURSOR = re.compile(r"(\d{1,9}):(\d{1,9}):(\d{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Line:
    """A line. `level`: info, warning or error of what ml told; empty for what was printed. `wrong`: it looks as if it
    told what went wrong."""

    number: int
    text: str
    level: str
    wrong: bool


@dataclass(frozen=True)
class RunLog:
    """Lines of an attempt, and the cursor behind them. `active`: more may come."""

    attempt: int
    lines: list[Line]
    cursor: str
    active: bool

    @property
    def wrong(self) -> list[Line]:
        """Those that tell what went wrong."""
        return [line for line in self.lines if line.wrong]

    def having(self, words: str) -> list[Line]:
        """Those that hold this text, whatever the case."""
        wanted = words.casefold()
        return [line for line in self.lines if wanted in line.text.casefold()]


def read(session: Session, run: Run, attempt: Attempt | None, after: str = "", *, until: int | None = None) -> RunLog:
    """The attempt's log; with `after`, the cursor of an answer before, only what came since, with `until` up to
    this event. An attempt that followed is read from its begin. Raises Refused for what is no cursor."""
    if attempt is None:
        return RunLog(0, [], "0:0:0", run.status == "queued")
    seen, event, count = _seen(after) if after else (0, 0, 0)
    if seen != attempt.number:
        event, count = 0, 0
    lines: list[Line] = []
    known: set[str] = set()
    for number, body in log_queries.log_events(session, attempt.id, event, until):
        for text, level in _lines(body, known):
            lines.append(Line(count + len(lines) + 1, text, level, level == "error" or bool(_WRONG.search(text))))
        event = number
    cursor = f"{attempt.number}:{event}:{count + len(lines)}"
    return RunLog(attempt.number, lines, cursor, attempt.outcome == "")


def _lines(body: dict[str, Any], known: set[str]) -> Iterator[tuple[str, str]]:
    """(text, level) of an event's lines. `known`: what was printed before, and is not said again by a last word."""
    if body["type"] == "log":
        for text in body["message"].split("\n"):
            yield text, body["level"]
    elif body["type"] == "printed":
        if body["left_out"]:
            yield f"({body['left_out']:,} bytes of the log are left out here)", "warning"
        known.update(body["lines"])
        for text in body["lines"]:
            yield text, ""
    else:
        yield f"{body['type']}: {body['reason']}", "error"
        detail = [text for text in body["detail"].split("\n") if text]
        if not known.issuperset(detail[1:]):  # its first line may tell how many were left out
            for text in detail:
                yield text, ""


def _seen(cursor: str) -> tuple[int, int, int]:
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        message = _("send the cursor of an answer before, as it was")
        raise Refused(f"after={cursor[:60]!r}: {message}", [FieldError("after", message, cursor[:60])])
    return int(found[1]), int(found[2]), int(found[3])
