"""Days of a contest: they begin at midnight of its own time zone, which a change of clocks may move.

Called by everything that counts what was sent on a day.
"""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from app.contests.models import Contest
from app.errors import FieldError, Refused
from app.language import gettext as _


def zone(name: str) -> tzinfo:
    """The time zone of this IANA name. Raises Refused for an unknown one."""
    if name == "UTC":
        return UTC  # on machines without a database of zones, too
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = _(
            "%(name)s is no time zone that this server knows: write an IANA name such as Asia/Shanghai or UTC",
            name=repr(name[:60]),
        )
        raise Refused(message, [FieldError("time_zone", message, name[:60])]) from error


def zone_names() -> list[str]:
    """What can be chosen, in order."""
    return sorted(available_timezones() | {"UTC"})


def day_of(contest: Contest, moment: datetime) -> date:
    """The contest's day in which the moment lies."""
    return moment.astimezone(zone(contest.time_zone)).date()


def begin_of(contest: Contest, day: date) -> datetime:
    """When that day begins, in UTC. Where clocks leap over midnight it is the moment of the leap."""
    return datetime.combine(day, time(0), zone(contest.time_zone)).astimezone(UTC)


def end_of(contest: Contest, day: date) -> datetime:
    """When the next day begins, in UTC."""
    return begin_of(contest, day + timedelta(days=1))


def moment(contest: Contest, text: str, field: str = "time") -> datetime:
    """What a person typed or a file says: ISO 8601; without an offset it is in the contest's zone. Raises Refused."""
    try:
        read = datetime.fromisoformat(text.strip())
        return (read if read.tzinfo else read.replace(tzinfo=zone(contest.time_zone))).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = _("%(text)s is no time: write it as 2026-11-27 18:30", text=repr(text.strip()[:50]))
        raise Refused(message, [FieldError(field, message, text[:50])]) from error


def day(text: str, field: str = "day") -> date:
    """What a person typed: ISO 8601. Raises Refused."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        message = _("%(text)s is no day: write it as 2026-11-27", text=repr(text.strip()[:30]))
        raise Refused(message, [FieldError(field, message, text[:30])]) from error
