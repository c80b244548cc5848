"""How many files the contest still takes on a day: used, planned, left. Called by everything that plans or sends."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy.orm import Session

from app.contests import calendar
from app.contests.models import Contest
from app.db import clock
from app.errors import FieldError, Refused
from app.language import gettext as _
from app.submissions import queries

MOST_A_DAY = 1000


@dataclass(frozen=True)
class Quota:
    """Of one day. `used`: what the contest took; `planned`: plans that hold a place, of which one whose job failed is
    none. `limit` and `left` are None where it takes any number; `renewed_at`: when the next day begins."""

    day: date
    time_zone: str
    limit: int | None
    used: int
    planned: int
    renewed_at: datetime

    @property
    def left(self) -> int | None:
        """Places that nobody holds."""
        return None if self.limit is None else max(0, self.limit - self.used - self.planned)

    @property
    def unsent(self) -> int | None:
        """Files that the contest would still take."""
        return None if self.limit is None else max(0, self.limit - self.used)


def today(session: Session, contest: Contest) -> date:
    """The contest's day now."""
    return calendar.day_of(contest, clock(session))


def of_day(session: Session, contest: Contest, day: date | None = None) -> Quota:
    """The quota of a day; of today unless another is named."""
    day = day or today(session, contest)
    return Quota(
        day=day,
        time_zone=contest.time_zone,
        limit=contest.submissions_a_day,
        used=queries.used_on(session, contest.id, day),
        planned=queries.planned_on(session, contest.id, day),
        renewed_at=calendar.end_of(contest, day),
    )


def change(session: Session, contest: Contest, *, time_zone: str, a_day: int | None) -> None:
    """Another zone or number a day. What was sent belongs to the day in which it was sent in the new zone. Raises
    Refused for a zone that nobody knows, or a number that is none."""
    calendar.zone(time_zone)
    if a_day is not None and not 1 <= a_day <= MOST_A_DAY:
        message = _(
            "%(number)s files a day: give 1 to %(most)s, or nothing for any number", number=a_day, most=MOST_A_DAY
        )
        raise Refused(message, [FieldError("submissions_a_day", message, str(a_day))])
    queries.lock_contest(session, contest)
    contest.submissions_a_day = a_day
    if contest.time_zone != time_zone:
        contest.time_zone = time_zone
        for row in queries.of_contest(session, contest.id):
            if row.sent_at is not None:
                row.contest_day = calendar.day_of(contest, row.sent_at)
    session.flush()


def number_a_day(text: str) -> int | None:
    """What a person typed; empty: any number. Raises Refused."""
    try:
        return int(text) if text.strip() else None
    except ValueError as error:
        message = _("%(text)s is not a number of files: write 3, or nothing for any number", text=repr(text[:20]))
        raise Refused(message, [FieldError("submissions_a_day", message, text[:20])]) from error
