"""What device gateways send and receive."""

from enum import StrEnum
from typing import Any

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Code, Count, Data, Message, Positive, Priority, Time, message

TaskId = str
"""`project/line/recipe/execution/step`; opaque to a gateway, which only echoes it."""


class DeviceState(StrEnum):
    RUNNING = "RUNNING"
    IDLE = "IDLE"
    DOWN = "DOWN"
    MAINTENANCE = "MAINTENANCE"
    OFFLINE = "OFFLINE"


class Outcome(StrEnum):
    GOOD = "GOOD"
    SCRAP = "SCRAP"
    REWORK = "REWORK"


class Quantity(Data):
    """A number with its unit, e.g. 6 kW."""

    value: float = Field(allow_inf_nan=False)
    unit: str = Field(min_length=1, max_length=20)


PropertyValue = bool | float | str | Quantity
"""What a device says of one of its properties."""


@message("device.online.v1", topics.DEVICES_STATUS, key="device_id")
class DeviceOnline(Message):
    """A device is there and takes tasks; sent again after every reconnect."""

    device_id: Code
    device_type: Code
    slots: int = Field(1, strict=True, ge=1, le=10_000, description="tasks that it works on at once")
    name: str | None = Field(None, max_length=200)
    groups: tuple[Code, ...] | None = Field(None, max_length=100, description="device groups that it belongs to")
    properties: dict[Code, PropertyValue] | None = Field(
        None,
        max_length=200,
        description='what it can do, e.g. {"laser.power": {"value": 6, "unit": "kW"}, "material": "steel"}',
    )


class HeldLease(Data):
    task_id: TaskId
    fence: Positive


@message("device.heartbeat.v1", topics.DEVICES_STATUS, key="device_id")
class DeviceHeartbeat(Message):
    """At least every 10 s; extends the leases that it names."""

    device_id: Code
    leases: tuple[HeldLease, ...] = Field((), max_length=10_000)


@message("device.state-changed.v1", topics.DEVICES_STATUS, key="device_id")
class DeviceStateChanged(Message):
    device_id: Code
    state: DeviceState
    reason: str | None = Field(None, max_length=1000)


@message("device.task.assigned.v1", topics.DEVICES_TASKS, key="device_id")
class TaskAssigned(Message):
    """A task is leased to a device until `lease_expires_at`; the same fence twice is one assignment."""

    task_id: TaskId
    fence: Positive
    lease_expires_at: Time
    device_id: Code
    device_type: Code
    project_id: str
    order_id: Code
    line_id: Code
    recipe_code: Code
    recipe_snapshot_id: str
    execution_number: Positive
    step: Positive
    name: str
    parameters: dict[str, Any]
    expected_seconds: float
    attempt: Positive
    priority: Priority
    pieces: Positive | None = Field(None, description="pieces still to be made, where a step makes several")

    @property
    def topic(self) -> str:
        return topics.device_tasks_topic(self.device_type)


@message("device.task.revoked.v1", topics.DEVICES_TASKS, key="device_id")
class TaskRevoked(Message):
    """The lease is taken back; whatever is reported under its fence from now on is not counted."""

    task_id: TaskId
    fence: Positive
    device_id: Code
    device_type: Code
    reason: str

    @property
    def topic(self) -> str:
        return topics.device_tasks_topic(self.device_type)


class Report(Message):
    """What every report names."""

    task_id: TaskId = Field(min_length=1, max_length=400)
    fence: Positive
    device_id: Code
    project_id: str = Field(min_length=1, max_length=100)
    at: Time


@message("device.task.started.v1", topics.DEVICES_REPORTS, key="project_id")
class TaskStarted(Report):
    """The device has begun."""


@message("device.task.completed.v1", topics.DEVICES_REPORTS, key="project_id")
class TaskCompleted(Report):
    """The device is done; legal without `started`."""

    outcome: Outcome = Outcome.GOOD
    rework_from_step: Positive | None = None
    started_at: Time | None = None
    measurements: dict[str, Any] | None = None
    reason: str | None = Field(None, max_length=1000)
    pieces_good: Count | None = Field(
        None, description="good pieces so far under this fence; with fewer than were asked for, the task goes on"
    )
    pieces_scrapped: Count | None = Field(None, description="scrapped pieces so far under this fence")


@message("device.task.failed.v1", topics.DEVICES_REPORTS, key="project_id")
class TaskFailed(Report):
    """The attempt failed; a retryable one is tried again until the step's attempts are used up."""

    reason: str = Field(max_length=1000)
    retryable: bool = True
