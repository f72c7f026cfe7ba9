"""The shop floor as operators see it: devices, device types that are held, reservations, calendars.

Every event tells the whole of what it is about, so a read model is the newest of them.
"""

from enum import StrEnum
from typing import NamedTuple, assert_never

from pydantic import Field

from libs.contracts.base import Code, Data, Positive, Time
from libs.contracts.devices import DeviceState, PropertyValue
from libs.contracts.equipment import DeviceChanged, DeviceTypeChanged
from libs.contracts.reservations import (
    CalendarChanged,
    Reservation,
    ReservationBooked,
    ReservationCancelled,
    WorkingCalendar,
)

Told = DeviceChanged | DeviceTypeChanged | ReservationBooked | ReservationCancelled | CalendarChanged


class Device(Data):
    """A machine that does tasks."""

    device_id: Code
    device_type: Code
    name: str | None = None
    slots: Positive = Field(description="tasks that it works on at once")
    state: DeviceState = Field(description="as it says; it gets new tasks only when RUNNING or IDLE")
    reason: str | None = Field(None, description="of the state, where it gave one")
    held: str | None = Field(None, description="why an operator holds it back from new tasks; null: nobody does")
    groups: tuple[Code, ...] = ()
    properties: dict[Code, PropertyValue] = Field({}, description="what it can do")
    changed_at: Time


class TypeHold(Data):
    """Whether a device type is held back from new tasks."""

    device_type: Code
    held: str | None = Field(None, description="why; null: it is not")
    by: str = Field(description="who said so")
    at: Time


class Booking(Reservation):
    """A reservation, and who cancelled it."""

    cancelled_by: str | None = None
    cancelled_because: str | None = None
    cancelled_at: Time | None = Field(None, description="null: it stands")


class DeviceCalendar(Data):
    """When a device works."""

    device_id: Code
    by: str
    calendar: WorkingCalendar | None = Field(None, description="null: at all times")


class Part(StrEnum):
    DEVICE = "devices"
    DEVICE_TYPE = "device_type_holds"
    RESERVATION = "reservations"
    CALENDAR = "calendars"


class Key(NamedTuple):
    """What an event is about."""

    site: str
    part: Part
    names: tuple[str, ...]


class DeviceView(Data):
    site: str
    device: Device
    sequence: int | None

    @property
    def key(self) -> Key:
        return Key(self.site, Part.DEVICE, (self.device.device_id,))


class HoldView(Data):
    site: str
    hold: TypeHold

    @property
    def key(self) -> Key:
        return Key(self.site, Part.DEVICE_TYPE, (self.hold.device_type,))


class BookingView(Data):
    site: str
    booking: Booking
    sequence: int | None

    @property
    def key(self) -> Key:
        return Key(self.site, Part.RESERVATION, (self.booking.device_id, self.booking.reservation_id))


class CalendarView(Data):
    site: str
    calendar: DeviceCalendar
    sequence: int | None

    @property
    def key(self) -> Key:
        return Key(self.site, Part.CALENDAR, (self.calendar.device_id,))


View = DeviceView | HoldView | BookingView | CalendarView


def view_of(site: str, event: Told, sequence: int | None) -> View:
    """What the event tells, as if nothing else were known."""
    match event:
        case DeviceChanged():
            device = Device.model_validate(event.model_dump() | {"changed_at": event.at})
            return DeviceView(site=site, device=device, sequence=sequence)
        case DeviceTypeChanged():
            return HoldView(site=site, hold=TypeHold.model_validate(event.model_dump()))
        case ReservationBooked() | ReservationCancelled():
            return BookingView(site=site, booking=Booking.model_validate(event.model_dump()), sequence=sequence)
        case CalendarChanged():
            calendar = DeviceCalendar.model_validate(event.model_dump())
            return CalendarView(site=site, calendar=calendar, sequence=sequence)
        case _:
            assert_never(event)


def newest(known: View | None, told: View) -> View:
    """The one that stands; the known one when the other is not newer.

    What is told without a sequence repeats what stands already, to somebody who asked for it again: so it counts only
    where nothing is known. Device types have no sequences: they have one writer, whose clock puts them in order.
    """
    if known is None:
        return told
    if isinstance(known, HoldView) or isinstance(told, HoldView):
        # Also at the same moment: two words on one device type in one batch are told in their order.
        newer = isinstance(known, HoldView) and isinstance(told, HoldView) and told.hold.at >= known.hold.at
    else:
        newer = told.sequence is not None and (known.sequence is None or told.sequence > known.sequence)
    return told if newer else known
