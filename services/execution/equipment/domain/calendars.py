"""The working time of a device: weekly shifts in the time zone of its site, days on which they differ, summer time.

A shift begins when the clock on the wall first shows its time, and ends when it first shows its end. So shifts that
follow each other still do when the clock is put forward or back, and a night shift then lasts an hour less or more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from libs.contracts.base import Problem
from libs.contracts.reservations import Weekday, WorkingCalendar, WorkingHours

AHEAD = timedelta(days=8)
"""How far a calendar is looked ahead: a week repeats itself, so what is not closed by then is not by its shifts."""

DAY_MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """From one time of the day to another, in minutes since midnight; to one of the next day when it is not later."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Shift:
    """Hours that begin on some days of the week, 0 for Monday to 6 for Sunday."""

    weekdays: frozenset[int]
    hours: Hours


class Opening(NamedTuple):
    """Working time without a break, [start, end) in UTC."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Calendar:
    """When a device works. A date with hours of its own has those instead of its weekday's shifts; none is a day off.

    What begins on a date belongs to it, so a night shift of the day before goes on into a day off.
    """

    timezone: str
    shifts: tuple[Shift, ...]
    exceptions: tuple[tuple[date, tuple[Hours, ...]], ...] = ()

    def opening(self, now: datetime) -> Opening | None:
        """The working time that `now` is in; None when the device does not work."""
        return next((each for each in self._openings(now) if each.start <= now < each.end), None)

    def next_opening(self, now: datetime) -> Opening | None:
        """The first working time that begins after `now`; None when there is none in sight."""
        return next((each for each in self._openings(now) if now < each.start <= now + AHEAD), None)

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(ZoneInfo(self.timezone))

    def _openings(self, now: datetime) -> tuple[Opening, ...]:
        return _openings(self, now.astimezone(UTC).date())


@lru_cache(maxsize=1024)
def _openings(calendar: Calendar, day: date) -> tuple[Opening, ...]:
    """All that may matter on a day of UTC: without overlaps or joints, in order."""
    merged: list[Opening] = []
    for each in sorted(_of_shifts(calendar, day - timedelta(days=3), day + AHEAD + timedelta(days=3))):
        if merged and each.start <= merged[-1].end:
            merged[-1] = Opening(merged[-1].start, max(merged[-1].end, each.end))
        else:
            merged.append(each)
    return tuple(merged)


def _of_shifts(calendar: Calendar, first: date, last: date) -> Iterator[Opening]:
    zone = ZoneInfo(calendar.timezone)
    exceptions = dict(calendar.exceptions)
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        usual = [shift.hours for shift in calendar.shifts if day.weekday() in shift.weekdays]
        for hours in exceptions.get(day, usual):
            end = hours.end if hours.end > hours.start else hours.end + DAY_MINUTES
            opening = Opening(_first_shown(day, hours.start, zone), _first_shown(day, end, zone))
            if opening.start < opening.end:  # else the clock was put forward over all of it
                yield opening


def _first_shown(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The moment at which the clock on the wall first shows that time of the day, or a later one."""
    local = datetime.combine(day, time(), zone) + timedelta(minutes=minutes)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # The clock skips that time: it is put forward between these two moments, of which the later keeps the old offset.
    before, after = local.replace(fold=1).astimezone(UTC), moment
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=1) // 2)
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


def calendar_of(data: WorkingCalendar) -> Calendar:
    """The calendar as a message gives it."""
    weekdays = {name: number for number, name in enumerate(Weekday)}
    return Calendar(
        timezone=data.timezone,
        shifts=tuple(Shift(frozenset(weekdays[day] for day in shift.days), _hours(shift)) for shift in data.shifts),
        exceptions=tuple((each.date, tuple(map(_hours, each.shifts))) for each in data.exceptions),
    )


def problems(data: WorkingCalendar) -> Iterator[Problem]:
    """What is wrong with a calendar beyond its form."""
    try:
        ZoneInfo(data.timezone)
    except (OSError, ValueError, LookupError):  # a folder of names, no name at all, an unknown one
        message = f"{data.timezone!r} is no IANA time zone, as Europe/Berlin is"
        yield Problem(code="UNKNOWN_TIMEZONE", path="timezone", message=message)
    dates = [each.date for each in data.exceptions]
    for index, day in enumerate(dates):
        if day in dates[:index]:
            message = f"{day} has an exception already"
            yield Problem(code="DUPLICATE_DATE", path=f"exceptions[{index}].date", message=message)


def _hours(data: WorkingHours) -> Hours:
    return Hours(_minutes(data.from_), _minutes(data.to))


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
