"""Devices: what they said of themselves last, and what operators say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from libs.contracts.devices import DeviceOnline, DeviceState, DeviceStateChanged, PropertyValue
from libs.kernel.lifecycle import Lifecycle

TAKING = frozenset({DeviceState.RUNNING, DeviceState.IDLE})
LOST = frozenset({DeviceState.DOWN, DeviceState.OFFLINE})
"""What a device held when it came into one of these is given to others, after a grace."""


DEVICE_LIFE = Lifecycle[DeviceState](
    "device",
    {
        None: {DeviceState.IDLE},
        **{state: set(DeviceState) for state in DeviceState},
    },
)
"""A device says itself what state it is in, and may say anything; OFFLINE is also what its silence is taken for."""


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
    """The state it is in again when it speaks, where it is OFFLINE: for its silence, or by its last will."""
    told_at: datetime | None = None
    """The newest time that the device itself gave; None while it gives none, and once it was silent."""
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

    def knows_newer(self, sent_at: datetime | None) -> bool:
        """Whether a message comes too late to change anything: the device has told something newer. Its clock may be
        wrong, so its times are compared with each other alone."""
        return self.told_at is not None and sent_at is not None and sent_at < self.told_at


def online(
    known: Device | None, message: DeviceOnline, site: str, now: datetime, sent_at: datetime | None = None
) -> Device:
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
        told_at=sent_at or (known.told_at if known else None),
        sequence=known.sequence + 1 if known else 1,
    )


def state_changed(known: Device, message: DeviceStateChanged, now: datetime, sent_at: datetime | None = None) -> Device:
    """The device says what state it is in, or somebody says in its name that it is gone: until it speaks again."""
    goes_offline = message.state is DeviceState.OFFLINE
    return replace(
        known,
        state=message.state,
        reason=message.reason,
        last_seen=now,
        before_silence=(known.before_silence or _heard_state(known)) if goes_offline else None,
        told_at=sent_at or known.told_at,
        sequence=known.sequence + 1,
    )


def _heard_state(known: Device) -> DeviceState | None:
    return None if known.state is DeviceState.OFFLINE else known.state


def silent(known: Device) -> Device:
    """Nothing was heard of it for too long. What it told is no measure any more: its clock may have been set back."""
    return replace(
        known,
        state=DeviceState.OFFLINE,
        reason="no heartbeat",
        before_silence=known.state,
        told_at=None,
        sequence=known.sequence + 1,
    )


def heard(known: Device, now: datetime, sent_at: datetime | None = None) -> Device:
    """A heartbeat: the device is there, so it is not OFFLINE."""
    told_at = sent_at or known.told_at
    if known.state is not DeviceState.OFFLINE:
        return replace(known, last_seen=now, told_at=told_at)
    return replace(
        known,
        state=known.before_silence or DeviceState.IDLE,
        reason=None,
        before_silence=None,
        last_seen=now,
        told_at=told_at,
        sequence=known.sequence + 1,
    )


def hold(known: Device, reason: str | None) -> Device:
    """An operator holds it back, or lets it go again with None."""
    return known if known.held == reason else replace(known, held=reason, sequence=known.sequence + 1)
