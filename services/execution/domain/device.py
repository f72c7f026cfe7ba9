"""Devices: what they said of themselves last."""

from dataclasses import dataclass, replace
from datetime import datetime

from libs.contracts.devices import DeviceOnline, DeviceState, DeviceStateChanged


@dataclass(frozen=True, slots=True)
class Device:
    """A machine with its slots; it takes tasks while RUNNING or IDLE."""

    id: str
    site: str
    device_type: str
    slots: int
    state: DeviceState
    last_seen: datetime
    name: str | None = None
    reason: str | None = None

    @property
    def takes_tasks(self) -> bool:
        return self.state in {DeviceState.RUNNING, DeviceState.IDLE}


def online(known: Device | None, message: DeviceOnline, site: str, now: datetime) -> Device:
    """A device announces itself, for the first time or again: a reconnect ends being OFFLINE and nothing else."""
    state = known.state if known and known.state is not DeviceState.OFFLINE else DeviceState.IDLE
    return Device(
        id=message.device_id,
        site=site,
        device_type=message.device_type,
        slots=message.slots,
        state=state,
        last_seen=now,
        name=message.name or (known.name if known else None),
    )


def state_changed(known: Device, message: DeviceStateChanged, now: datetime) -> Device:
    return replace(known, state=message.state, reason=message.reason, last_seen=now)
