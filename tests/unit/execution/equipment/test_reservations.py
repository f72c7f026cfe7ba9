"""Given a device's books, when somebody wants to book, then all that speaks against it is said."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.reservations import Reservation, ReservationKind, SetCalendar
from services.execution.equipment.domain.calendars import Hours, calendar_of, problems
from services.execution.equipment.domain.reservations import (
    MOST_SPANS,
    Cancellation,
    Closed,
    Plan,
    fields,
    refusal,
    span_of,
)

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def wish(id_: str = "R", start: datetime = NOW + HOUR, hours: float = 1, **more: Any) -> Reservation:
    usual = {"device_id": "saw", "kind": ReservationKind.MAINTENANCE, "by": "planner"}
    return Reservation(**{"reservation_id": id_, "from_": start, "to": start + hours * HOUR, **usual, **more})


def plan(*wishes: Reservation) -> Plan:
    made = Plan("main", "saw")
    for each in wishes:
        made = made.booked(span_of(each))
    return made


def codes(wanted: Reservation, books: Plan | None, closed: Closed | None = None) -> list[str]:
    refused = refusal(wanted, books, closed, NOW)
    return [error.code for error in refused.errors] if refused else []


def test_free_is_what_touches_nothing() -> None:
    books = plan(wish("A", NOW + HOUR), wish("B", NOW + 3 * HOUR))
    assert codes(wish(start=NOW + 2 * HOUR), books) == []
    assert codes(wish(start=NOW + 2 * HOUR, hours=1.5), books) == ["OVERLAPS"]
    assert codes(wish(start=NOW, hours=9), books) == ["OVERLAPS"]


@pytest.mark.parametrize("inside", [0.001, 0.25, 0.999])
def test_a_span_within_another_and_around_it_overlap(inside: float) -> None:
    books = plan(wish("A", NOW + HOUR))
    assert codes(wish(start=NOW + HOUR + inside * HOUR, hours=0.001), books) == ["OVERLAPS"]


def test_what_is_in_the_way_is_named_in_order() -> None:
    first, second = wish("A", NOW + 3 * HOUR), wish("B", NOW + HOUR, reason="oil")
    refused = refusal(wish(start=NOW, hours=9), plan(first, second), None, NOW)
    assert refused is not None
    assert refused.in_the_way == (second, first)


def test_what_has_begun_may_be_booked_what_is_over_may_not() -> None:
    assert codes(wish(start=NOW - HOUR, hours=2), plan()) == []
    assert codes(wish(start=NOW - HOUR, hours=1), plan()) == ["PAST"]


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = wish(hours=0, kind=ReservationKind.ORDER)
    closed = Closed(span_of(wish()), Cancellation(NOW, "planner", None))
    assert codes(wrong, plan(), closed) == ["EMPTY_SPAN", "MISSING", "CLOSED"]
    assert codes(wish(), None) == ["UNKNOWN_DEVICE"]
    assert codes(wish(hours=2), plan(wish())) == ["ALREADY_BOOKED"]


def test_a_device_has_room_for_so_many() -> None:
    full = plan(*(wish(f"R{number}", NOW + number * HOUR) for number in range(1, MOST_SPANS + 1)))
    assert codes(wish("ONE-MORE", NOW + 5000 * HOUR), full) == ["TOO_MANY"]


def test_the_database_keeps_milliseconds_so_a_span_has_no_more() -> None:
    span = span_of(wish(start=NOW + timedelta(microseconds=1999)))
    assert span.start == NOW + timedelta(milliseconds=1)


def test_a_machine_under_maintenance_is_reserved_for_no_project() -> None:
    assert span_of(wish(project_id="P")).project_id is None
    assert span_of(wish(project_id="P", kind=ReservationKind.ORDER)).project_id == "P"


def test_a_span_says_again_what_was_wished() -> None:
    wanted = wish(project_id="P", kind=ReservationKind.ORDER, reason="rush")
    assert Reservation(**fields("saw", span_of(wanted))) == wanted


def test_what_is_over_leaves_the_books() -> None:
    books = plan(wish("OVER", NOW - 3 * HOUR), wish("ENDS", NOW - HOUR), wish("RUNS", NOW - HOUR / 2))
    after, over = books.passed(NOW)
    assert [span.reservation_id for span in over] == ["OVER", "ENDS"]
    assert [span.reservation_id for span in after.spans] == ["RUNS"]
    assert after.revision == books.revision + 1
    assert after.passed(NOW) == (after, ())


def calendar(**more: Any) -> SetCalendar:
    shifts = [{"days": ["SUN"], "from": "22:00", "to": "24:00"}]
    usual = {"device_id": "saw", "by": "planner", "timezone": "Europe/Berlin", "shifts": shifts}
    return SetCalendar.model_validate({**usual, **more})


def test_a_calendar_is_read_as_it_is_meant() -> None:
    (shift,) = calendar_of(calendar()).shifts
    assert (shift.weekdays, shift.hours) == (frozenset({6}), Hours(22 * 60, 24 * 60))


def test_a_calendar_names_all_its_problems() -> None:
    twice = [{"date": "2026-12-24", "shifts": []}] * 2
    assert list(problems(calendar())) == []
    found = problems(calendar(timezone="Berlin", exceptions=twice))
    assert [(each.code, each.path) for each in found] == [
        ("UNKNOWN_TIMEZONE", "timezone"),
        ("DUPLICATE_DATE", "exceptions[1].date"),
    ]


@pytest.mark.parametrize("wrong", ["24:01", "25:00", "6:00", "06:60", "06:00\n", ""])
def test_a_time_of_the_day_has_one_form(wrong: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        calendar(shifts=[{"days": ["MON"], "from": wrong, "to": "14:00"}])
