"""Planning of devices: reserved for a span of time, and the shifts that they work."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from libs.contracts import topics
from libs.contracts.base import Code, Data, Day, Message, Problem, Text, Time, message

By = Annotated[str, Field(min_length=1, max_length=200)]
"""Who wants it."""

Reason = Text
"""Why."""


class Planned(Data):
    """`from` is a word of Python, so it is `from_` there and `from` on the wire."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class ReservationKind(StrEnum):
    MAINTENANCE = "MAINTENANCE"
    """No task begins."""
    ORDER = "ORDER"
    """Only tasks of one project begin."""


class Reservation(Planned):
    """A device is reserved from a moment until, not including, another."""

    reservation_id: Code
    device_id: Code
    kind: ReservationKind
    project_id: str | None = Field(None, max_length=100, description="whose tasks alone may begin, of kind ORDER")
    from_: Time = Field(alias="from")
    to: Time
    by: By
    reason: Reason | None = None


@message("execution.reservation.book.v1", topics.EXECUTION_DEVICE_COMMANDS, key="device_id")
class BookReservation(Reservation, Message):
    """Reserve the device; the same reservation again is answered again."""


@message("execution.reservation.cancel.v1", topics.EXECUTION_DEVICE_COMMANDS, key="device_id")
class CancelReservation(Message):
    """Give the device free again, also in the middle of the span."""

    reservation_id: Code
    device_id: Code
    by: By
    reason: Reason | None = None


@message("execution.reservation.booked.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class ReservationBooked(Reservation, Message):
    pass


@message("execution.reservation.refused.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class ReservationRefused(Message):
    """Nothing was booked; `in_the_way` is what it would have overlapped."""

    reservation_id: Code
    device_id: Code
    errors: tuple[Problem, ...]
    in_the_way: tuple[Reservation, ...] = ()


@message("execution.reservation.cancelled.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class ReservationCancelled(Reservation, Message):
    """The span as it was booked; who booked it is `by`, who cancelled it `cancelled_by`."""

    cancelled_by: By
    cancelled_because: Reason | None = None
    cancelled_at: Time


@message("execution.reservation.cancel-refused.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class ReservationCancelRefused(Message):
    reservation_id: Code
    device_id: Code
    errors: tuple[Problem, ...]


class Weekday(StrEnum):
    MON = "MON"
    TUE = "TUE"
    WED = "WED"
    THU = "THU"
    FRI = "FRI"
    SAT = "SAT"
    SUN = "SUN"


TimeOfDay = Annotated[str, Field(pattern=r"^(?:[01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]
"""Hours and minutes of the local clock, "06:00"; "24:00" is the end of the day."""


class WorkingHours(Planned):
    """To a time of the next day when `to` is not later than `from`: "22:00" to "06:00"."""

    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay


class WeeklyShift(WorkingHours):
    """Hours that begin on some days of the week."""

    days: tuple[Weekday, ...] = Field(min_length=1, max_length=7)


class CalendarException(Data):
    """What begins on this date takes the place of the shifts of its weekday; nothing makes it a day off."""

    date: Day
    shifts: tuple[WorkingHours, ...] = Field(max_length=10)


class WorkingCalendar(Data):
    """When a device works: in the clock of its time zone, summer time included."""

    timezone: str = Field(min_length=1, max_length=64, description="IANA name, e.g. Europe/Berlin")
    shifts: tuple[WeeklyShift, ...] = Field(max_length=50)
    exceptions: tuple[CalendarException, ...] = Field((), max_length=400)


@message("execution.calendar.set.v1", topics.EXECUTION_DEVICE_COMMANDS, key="device_id")
class SetCalendar(WorkingCalendar, Message):
    """The device works by this calendar from now on."""

    device_id: Code
    by: By


@message("execution.calendar.remove.v1", topics.EXECUTION_DEVICE_COMMANDS, key="device_id")
class RemoveCalendar(Message):
    """The device works at all times from now on."""

    device_id: Code
    by: By


@message("execution.calendar.changed.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class CalendarChanged(Message):
    """The calendar as it is now; absent when the device works at all times."""

    device_id: Code
    by: By
    calendar: WorkingCalendar | None = None


@message("execution.calendar.refused.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class CalendarRefused(Message):
    """The calendar stays as it is."""

    device_id: Code
    errors: tuple[Problem, ...]
