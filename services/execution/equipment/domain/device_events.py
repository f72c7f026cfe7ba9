"""What others are told of devices."""

from datetime import datetime

from libs.contracts.equipment import DeviceChanged
from services.execution.equipment.domain.device import Device


def device_changed(device: Device, now: datetime, warning: str | None = None) -> DeviceChanged:
    """The device as it is now, for those who watch."""
    return DeviceChanged(
        device_id=device.id,
        device_type=device.device_type,
        name=device.name,
        slots=device.slots,
        state=device.state,
        reason=device.reason,
        held=device.held,
        groups=device.groups,
        properties=dict(device.properties),
        at=now,
        warning=warning,
    )
