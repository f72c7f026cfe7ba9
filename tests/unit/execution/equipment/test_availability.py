"""Availability against a look at every single minute: reservations, shifts, days that differ, clocks that change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.reservations import ReservationKind
from services.execution.equipment.domain.availability import Availability, Span
from services.execution.equipment.domain.calendars import AHEAD, Calendar, Hours, Shift
from tests.searching import examples

MINUTE = timedelta(minutes=1)
EVERY_DAY = frozenset(range(7))
BERLIN = "Europe/Berlin"
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)
"""In Berlin the clock skips 02:00 to 03:00, and shows it twice."""

CHANGES = [
    (BERLIN, SPRING),
    (BERLIN, AUTUMN),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # by half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("America/Havana", date(2026, 3, 8)),  # at midnight
    ("Pacific/Apia", date(2011, 12, 30)),  # a day that never was
    ("Asia/Kolkata", date(2026, 7, 1)),  # never
    ("UTC", date(2026, 7, 1)),
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Clock:
    """Every minute of some days, and the latest time that the clock on the wall had shown by then."""

    def __init__(self, zone: str, first: datetime, last: datetime) -> None:
        self.first = first
        self.shown: list[datetime] = []
        latest = datetime.min
        moment = first - timedelta(days=3)
        while moment <= last:
            latest = max(latest, moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None))
            if moment >= first:
                self.shown.append(latest)
            moment += MINUTE

    def works(self, calendar: Calendar) -> list[bool]:
        """Minute by minute, straight from the words: begun is what the clock has shown, and so is ended."""
        exceptions = dict(calendar.exceptions)
        day, spans = self.shown[0].date() - timedelta(days=3), []
        while day <= self.shown[-1].date() + timedelta(days=1):
            usual = [shift.hours for shift in calendar.shifts if day.weekday() in shift.weekdays]
            midnight = datetime.combine(day, time())
            for hours in exceptions.get(day, usual):
                end = hours.end + (0 if hours.end > hours.start else 24 * 60)
                spans.append((midnight + hours.start * MINUTE, midnight + end * MINUTE))
            day += timedelta(days=1)
        return [any(start <= shown < end for start, end in spans) for shown in self.shown]


@st.composite
def hours(draw: st.DrawFn) -> Hours:
    return Hours(15 * draw(st.integers(0, 95)), 15 * draw(st.integers(1, 96)))


@st.composite
def books(draw: st.DrawFn) -> tuple[Availability, datetime]:
    zone, change = draw(st.sampled_from(CHANGES))
    days = st.frozensets(st.integers(0, 6), min_size=1)
    shifts = draw(st.lists(st.builds(Shift, days, hours()), max_size=4))
    near = st.integers(-2, 3).map(lambda number: change + timedelta(days=number))
    exceptions = draw(st.dictionaries(near, st.lists(hours(), max_size=2).map(tuple), max_size=3))
    calendar = Calendar(zone, tuple(shifts), tuple(sorted(exceptions.items())))
    now = datetime.combine(change, time(), UTC) + draw(st.integers(-1500, 1500)) * MINUTE
    spans = draw(st.lists(spans_near(now), max_size=4))
    return Availability(tuple(spans), draw(st.sampled_from([calendar, None]))), now


@st.composite
def spans_near(draw: st.DrawFn, now: datetime) -> Span:
    start = now + draw(st.integers(-300, 3000)) * MINUTE
    kind = draw(st.sampled_from(ReservationKind))
    project = draw(st.sampled_from(["P", "Q"])) if kind is ReservationKind.ORDER else None
    return Span("R", kind, start, start + draw(st.integers(1, 600)) * MINUTE, "planner", project)


@settings(max_examples=examples(30), deadline=None)
@given(books())
def test_it_says_what_a_look_at_every_minute_says(drawn: tuple[Availability, datetime]) -> None:
    availability, now = drawn
    clock = Clock(availability.calendar.timezone if availability.calendar else "UTC", now, now + AHEAD)
    works = clock.works(availability.calendar) if availability.calendar else [True] * len(clock.shown)

    def free(number: int) -> bool:
        moment = now + number * MINUTE
        taken = any(span.start <= moment < span.end and span.blocks("P") for span in availability.spans)
        return works[number] and not taken

    blocked = next((now + number * MINUTE for number in range(len(works)) if not free(number)), None)
    assert availability.blocked_from(now, "P") == blocked
    assert (availability.why(now, "P") is None) == (blocked is None)

    def moved(number: int) -> bool:
        """Something begins or ends at this very minute."""
        moment = now + number * MINUTE
        edges = {edge for span in availability.spans for edge in (span.start, span.end)}
        return works[number] is not works[number - 1] or moment in edges

    last = len(works) - 1  # by then a calendar is looked at again in any case
    change = next((now + number * MINUTE for number in range(1, last) if moved(number)), None)
    if change is not None or availability.calendar is not None:
        assert availability.next_change(now) == (change or now + AHEAD)


def shift(start: int, end: int, days: frozenset[int] = EVERY_DAY) -> Shift:
    return Shift(days, Hours(start * 60, end * 60))


def test_a_night_shift_lasts_an_hour_less_or_more_when_the_clock_changes() -> None:
    night = Calendar(BERLIN, (shift(22, 6),))
    lasted = []
    for day in (date(2026, 3, 20), SPRING - timedelta(days=1), AUTUMN - timedelta(days=1)):
        opening = night.opening(datetime.combine(day, time(23), ZoneInfo(BERLIN)).astimezone(UTC))
        assert opening is not None
        lasted.append((opening.end - opening.start) // timedelta(hours=1))
    assert lasted == [8, 7, 9]


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_shifts_that_meet_in_the_changed_hour_leave_no_gap(day: date) -> None:
    calendar = Calendar(BERLIN, (Shift(EVERY_DAY, Hours(0, 150)), Shift(EVERY_DAY, Hours(150, 24 * 60))))
    assert Availability(calendar=calendar).blocked_from(datetime.combine(day, time(), UTC), "P") is None


def test_a_shift_within_the_skipped_hour_does_not_take_place() -> None:
    calendar = Calendar(BERLIN, (Shift(EVERY_DAY, Hours(130, 170)),))
    before = calendar.next_opening(utc("2026-03-28T12:00"))
    assert before is not None
    assert before.start == utc("2026-03-30T00:10")


def test_a_night_shift_goes_on_into_a_day_off() -> None:
    christmas = date(2026, 12, 25)
    calendar = Calendar("UTC", (shift(22, 6),), ((christmas, ()),))
    working = Availability(calendar=calendar)
    assert working.blocked_from(utc("2026-12-25T01:00"), "P") == utc("2026-12-25T06:00")
    assert working.blocked_from(utc("2026-12-25T23:00"), "P") == utc("2026-12-25T23:00")
    assert working.why(utc("2026-12-25T23:00"), "P") == "no shift, the next begins at 2026-12-26 22:00 UTC"


def test_a_reserved_span_is_half_open_and_belongs_to_its_order() -> None:
    span = Span("R", ReservationKind.ORDER, utc("2026-03-02T10:00"), utc("2026-03-02T12:00"), "planner", "P")
    reserved = Availability((span,))
    assert reserved.blocked_from(utc("2026-03-02T10:30"), "P") is None
    assert reserved.blocked_from(utc("2026-03-02T09:00"), "Q") == utc("2026-03-02T10:00")
    assert reserved.blocked_from(utc("2026-03-02T10:30"), "Q") == utc("2026-03-02T10:30")
    assert reserved.blocked_from(utc("2026-03-02T12:00"), "Q") is None
    said = "reserved for order P from 2026-03-02 10:00Z until 2026-03-02 12:00Z"
    assert reserved.why(utc("2026-03-02T09:00"), "Q") == said


def test_maintenance_is_for_nobody() -> None:
    span = Span("R", ReservationKind.MAINTENANCE, utc("2026-03-02T10:00"), utc("2026-03-02T12:00"), "planner")
    calendar = Calendar(BERLIN, (shift(6, 14),))
    device = Availability((span,), calendar)
    assert device.blocked_from(utc("2026-03-02T09:00"), "P") == utc("2026-03-02T10:00")
    assert device.why(utc("2026-03-02T09:00"), "P") == (
        "reserved for maintenance from 2026-03-02 10:00Z until 2026-03-02 12:00Z"
    )
    assert device.why(utc("2026-03-02T12:30"), "P") == "shift ends at 2026-03-02 14:00 Europe/Berlin"


def test_without_books_a_device_is_always_there() -> None:
    assert Availability().blocked_from(utc("2026-03-02T09:00"), "P") is None
    assert Availability().why(utc("2026-03-02T09:00"), "P") is None
    assert Availability().next_change(utc("2026-03-02T09:00")) is None


def test_a_calendar_without_any_shift_is_always_closed() -> None:
    closed = Availability(calendar=Calendar("UTC", ()))
    assert closed.blocked_from(utc("2026-03-02T09:00"), "P") == utc("2026-03-02T09:00")
    assert closed.why(utc("2026-03-02T09:00"), "P") == "no shift, none is in sight"
