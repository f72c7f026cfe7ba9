"""What operators say to the shop floor about devices and device types, and what they ask about a task."""

from enum import StrEnum

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Code, Message, Positive, Problem, Text, Time, message
from libs.contracts.devices import DeviceState, PropertyValue
from libs.contracts.execution import TaskEvent

By = Field(min_length=1, max_length=200, description="who wants it")


@message("execution.device.hold.v1", topics.EXECUTION_DEVICE_COMMANDS, key="device_id")
class HoldDevice(Message):
    """No new tasks for the device, whatever it says of itself; what it holds goes on."""

    device_id: Code
    by: str = By
    reason: Text = Field(min_length=1)


@message("execution.device.release.v1", topics.EXECUTION_DEVICE_COMMANDS, key="device_id")
class ReleaseDevice(Message):
    """End of `HoldDevice`."""

    device_id: Code
    by: str = By


@message("execution.device.changed.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class DeviceChanged(Message):
    """A device as it is now; ordered by the envelope's sequence."""

    device_id: Code
    device_type: Code
    name: str | None = None
    slots: Positive
    state: DeviceState
    reason: str | None = None
    held: str | None = Field(None, description="why an operator holds it back")
    groups: tuple[Code, ...] = ()
    properties: dict[Code, PropertyValue] = {}
    at: Time
    warning: str | None = Field(None, description="what was wrong with the message beside what it tells")


@message("execution.device.control-refused.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_id")
class DeviceControlRefused(Message):
    """The wish changed nothing, and why."""

    device_id: Code
    errors: tuple[Problem, ...]


@message("execution.device-type.hold.v1", topics.EXECUTION_DISPATCH, key="device_type")
class HoldDeviceType(Message):
    """No new tasks for any device of the type; what they hold goes on. In force with the next decision."""

    device_type: Code
    by: str = By
    reason: Text = Field(min_length=1)


@message("execution.device-type.release.v1", topics.EXECUTION_DISPATCH, key="device_type")
class ReleaseDeviceType(Message):
    """End of `HoldDeviceType`."""

    device_type: Code
    by: str = By


@message("execution.device-type.changed.v1", topics.EXECUTION_DEVICE_EVENTS, key="device_type")
class DeviceTypeChanged(Message):
    """Whether the device type is held, and why."""

    device_type: Code
    held: str | None = None
    by: str
    at: Time


@message("execution.leases.expire.v1", topics.EXECUTION_DISPATCH, key="device_type")
class ExpireLeases(Message):
    """Some lease of the device type has run out, grace and all: its task is to wait for dispatch again."""

    device_type: Code


class ReturnReason(StrEnum):
    LEASE_EXPIRED = "LEASE_EXPIRED"
    DEVICE_LOST = "DEVICE_LOST"


@message("execution.task.returned.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskReturned(TaskEvent):
    """The device is not heard of any more: the task waits for dispatch again, and a new lease has a new fence."""

    reason: ReturnReason
