"""The rules of a sealed contest that its owner sets, and when its days begin."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from app.errors import FieldError, Refused
from app.language import gettext as _
from app.pydantic_words import said


class Terms(BaseModel):
    """What can be changed later. Times carry their zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uploads_a_day: int = Field(3, ge=1, le=1000, description="scored files a member may send a day")
    runs_a_day: int = Field(100, ge=0, le=100_000, description="finished experiments scored a day; 0: none")
    time_zone: str = Field("Asia/Shanghai", max_length=60, description="whose midnight begins a day")
    opens_at: datetime | None = Field(None, description="null: open from the start")
    closes_at: datetime | None = Field(None, description="null: never closes, and never reveals the private part")

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:  # no such zone, or no name of one
            raise ValueError(_("no such time zone: name it as Asia/Shanghai or UTC")) from error
        return name

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in ("opens_at", "closes_at"):
            moment = getattr(self, name)
            if moment is not None and moment.tzinfo is None:
                raise ValueError(_("%(name)s: say in which zone, as 2026-12-01T20:00:00+08:00", name=name))
        if self.opens_at and self.closes_at and self.closes_at <= self.opens_at:
            raise ValueError(_("closes_at: it closes before it opens: give a later time"))
        return self


class NewTerms(Terms):
    """With what is drawn once, when the answers are sealed."""

    public_share: float = Field(0.5, ge=0.05, le=0.95, description="of the test rows; the rest is the private part")


Kind = TypeVar("Kind", bound=Terms)


def checked(kind: type[Kind], typed: dict[str, object]) -> Kind:
    """Raises Refused that names each field, its value and what is wrong with it."""
    try:
        return kind.model_validate(typed)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            message = said(item).removeprefix("Value error, ")
            field = ".".join(str(part) for part in item["loc"])
            if not field:  # of two fields together: the message begins with the one to change
                field, _colon, message = message.partition(": ")
            value = "" if isinstance(item["input"], dict) else repr(item["input"])[:100]
            problems.append(FieldError(field, message, value))
        raise Refused("; ".join(f"{item.field}: {item.message}" for item in problems), problems) from error


@dataclass(frozen=True)
class Day:
    """From one midnight to the next."""

    begins: datetime
    next_begins: datetime


def day_of(moment: datetime, time_zone: str) -> Day:
    """The day that this moment lies in, in that zone; of 23 or 25 hours when the clocks are changed."""
    zone = ZoneInfo(time_zone)
    date = moment.astimezone(zone).date()
    begins, ends = (
        datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC) for day in (date, date + timedelta(days=1))
    )
    return Day(begins, ends)


def local(moment: datetime, time_zone: str) -> str:
    """As people of that zone say it."""
    return f"{moment.astimezone(ZoneInfo(time_zone)):%Y-%m-%d %H:%M} ({time_zone})"
