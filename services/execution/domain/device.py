"""Devices: what they said of themselves last, and what operators say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from libs.contracts.devices import DeviceOnline, DeviceState, DeviceStateChanged, PropertyValue

TAKING = frozenset({DeviceState.RUNNING, DeviceState.IDLE})
LOST = frozenset({DeviceState.DOWN, DeviceState.OFFLINE})
"""What a device held when it came into one of these is given to others, after a grace."""


@dataclass(frozen=True, slots=True)
class Device:
    """A machine with its slots; it takes tasks while RUNNING or IDLE, unless an operator holds it."""

    id: str
    site: str
    device_type: str
    slots: int
    state: DeviceState
    last_seen: datetime
    name: str | None = None
    reason: str | None = None
    groups: tuple[str, ...] = ()
    properties: Mapping[str, PropertyValue] = field(default_factory=dict)
    before_silence: DeviceState | None = None
    """The state it is in again when it speaks, where OFFLINE is only what we took its silence for."""
    held: str | None = None
    """Why an operator holds it back from new tasks."""
    sequence: int = 0

    @property
    def takes_tasks(self) -> bool:
        return self.state in TAKING and self.held is None

    @property
    def keeps_leases(self) -> bool:
        """A heartbeat of it extends what it holds."""
        return self.state not in LOST


def online(known: Device | None, message: DeviceOnline, site: str, now: datetime) -> Device:
    """A device announces itself, for the first time or again: a reconnect ends being OFFLINE and nothing else."""
    state = known.state if known else DeviceState.IDLE
    if known and known.state is DeviceState.OFFLINE:
        state = known.before_silence or DeviceState.IDLE
    return Device(
        id=message.device_id,
        site=site,
        device_type=message.device_type,
        slots=message.slots,
        state=state,
        last_seen=now,
        name=message.name or (known.name if known else None),
        reason=known.reason if known and state is known.state else None,
        groups=message.groups or (),
        properties=message.properties or {},
        held=known.held if known else None,
        sequence=known.sequence + 1 if known else 1,
    )


def state_changed(known: Device, message: DeviceStateChanged, now: datetime) -> Device:
    return replace(
        known,
        state=message.state,
        reason=message.reason,
        last_seen=now,
        before_silence=None,
        sequence=known.sequence + 1,
    )


def silent(known: Device) -> Device:
    """Nothing was heard of it for too long."""
    return replace(
        known,
        state=DeviceState.OFFLINE,
        reason="no heartbeat",
        before_silence=known.state,
        sequence=known.sequence + 1,
    )


def heard(known: Device, now: datetime) -> Device:
    """A heartbeat: the device is there, so what its silence was taken for is not so."""
    if known.before_silence is None:
        return replace(known, last_seen=now)
    return replace(
        known,
        state=known.before_silence,
        reason=None,
        before_silence=None,
        last_seen=now,
        sequence=known.sequence + 1,
    )


def hold(known: Device, reason: str | None) -> Device:
    """An operator holds it back, or lets it go again with None."""
    return known if known.held == reason else replace(known, held=reason, sequence=known.sequence + 1)
