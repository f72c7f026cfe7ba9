"""What equipment needs of the database; every read and write serves a whole run of messages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from libs.contracts.devices import DeviceHeartbeat
from libs.contracts.reservations import WorkingCalendar
from libs.messaging.work import Work
from services.execution.equipment.domain.availability import Availability, Span
from services.execution.equipment.domain.device import Device
from services.execution.equipment.domain.reservations import Closed, Plan


class TypeState(NamedTuple):
    """What stands on a device type."""

    held: str | None = None
    """Why an operator holds it; None when nobody does."""
    revision: str | None = None
    """Of its equipment; None when no device of it was ever heard of."""


class Devices(Protocol):
    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, Device]: ...

    async def save(self, work: Work, devices: Iterable[Device]) -> None: ...

    async def seen(self, work: Work, devices: Iterable[Device]) -> None:
        """Keep when they were heard of last, by our clock and by theirs; nothing else of them has changed."""

    async def silent(self, work: Work, since: datetime, limit: int) -> list[Device]:
        """Devices not heard of since a moment, and not known to be OFFLINE."""

    async def registered(self, work: Work, site: str, device_types: Collection[str]) -> set[str]:
        """Those of the device types that some device of the site has, in whatever state it is."""

    async def of_type(self, work: Work, site: str, device_type: str) -> list[Device]:
        """All devices of the type, in whatever state they are."""

    async def type_state(self, work: Work, site: str, device_type: str) -> TypeState: ...

    async def lock(self, work: Work, site: str, device_type: str) -> TypeState:
        """Lock a device type for the transaction: to give leases of it away, or to take them back. Of transactions
        that lock it at the same time one commits, and the others decide anew on what that has left."""

    async def changed(self, work: Work, site: str, device_types: Collection[str]) -> None:
        """Give the equipment of these types a new revision: what is planned for a device has changed, or a device is
        of the type no more. `save` does so for the types of what it saves."""

    async def hold_type(self, work: Work, site: str, device_type: str, reason: str | None) -> None:
        """Hold the device type, or let it go with None."""


class Plans(Protocol):
    """Reservations and calendars of devices. Plans given to be written are those that shall be."""

    async def availability(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Availability]:
        """By device, in one query; devices for which nothing was ever planned are absent."""

    async def load(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Plan]: ...

    async def begin(self, work: Work, plans: Sequence[Plan]) -> None:
        """Empty plans for devices that have none."""

    async def book(self, work: Work, plan: Plan, span: Span) -> bool:
        """Add the span, in one step that the database refuses when it overlaps another: False."""

    async def cancel(self, work: Work, plan: Plan, closed: Closed) -> bool:
        """Take the span out and remember it as cancelled; False when it is not there."""

    async def set_calendar(self, work: Work, plan: Plan, calendar: WorkingCalendar | None) -> None: ...

    async def closed(
        self, work: Work, site: str, reservations: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], Closed]:
        """Those of the reservations, given as (device, reservation), that are no more."""

    async def due(self, work: Work, limit: int) -> list[Plan]:
        """Plans in which a span or a shift began or ended since they were looked at."""

    async def turn(self, work: Work, passed: Mapping[str, tuple[Plan, Sequence[Span]]]) -> None:
        """By `site/device`: the plan without what is over, and that, which is remembered."""


class Leases(Protocol):
    """What becomes of the leases of devices that speak, that come back, or that are lost."""

    async def named(self, site: str, beats: Sequence[tuple[Device, DeviceHeartbeat]], work: Work) -> None:
        """Extend what the devices say that they hold, let them take back what nobody had since, tell them the rest."""

    async def remind(self, devices: Iterable[Device], work: Work) -> None:
        """Tell devices that have connected again what they hold."""

    async def lost(self, devices: Iterable[Device], work: Work) -> None:
        """What these devices hold runs out now, and is waited for no longer than the grace."""
