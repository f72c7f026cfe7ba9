"""What device gateways send and receive."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from libs.contracts import topics
from libs.contracts.base import ABSENT, Code, Count, Data, Message, Positive, Priority, Text, Time, message
from libs.contracts.keys import project_of

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


DEEPEST_MEASUREMENT = 32
"""Levels of objects and lists in measurements; what is deeper is no measurement of anybody."""


def _not_too_deep(value: dict[str, Any]) -> dict[str, Any]:
    """Raises PydanticCustomError where the nesting is deeper than measurements go; without recursion."""
    level: list[Any] = [value]
    for _ in range(DEEPEST_MEASUREMENT):
        level = [item for each in level for item in _inside(each)]
        if not level:
            return value
    raise PydanticCustomError("TOO_DEEP", "nested more than {most} levels deep", {"most": DEEPEST_MEASUREMENT})


def _inside(value: Any) -> Iterator[Any]:
    items = value.values() if isinstance(value, dict) else value
    return (item for item in items if isinstance(item, dict | list))


Measurements = Annotated[dict[str, Any], AfterValidator(_not_too_deep)]
"""What a device measured: any JSON object, which goes on as it came."""


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
    slots: int = Field(1, ge=1, le=10_000, description="tasks that it works on at once")
    name: Text | None = None
    groups: tuple[Code, ...] | None = Field(None, max_length=100, description="device groups that it belongs to")
    properties: dict[Code, PropertyValue] | None = Field(
        None,
        max_length=200,
        description='what it can do, e.g. {"laser.power": {"value": 6, "unit": "kW"}, "material": "steel"}',
    )

    @classmethod
    def remarks(cls, data: Mapping[str, Any], sent_at: datetime) -> Mapping[str, Any]:
        return {"name": ABSENT, "groups": ABSENT, "properties": ABSENT}


class HeldLease(Data):
    task_id: TaskId
    fence: Positive


@message("device.heartbeat.v1", topics.DEVICES_STATUS, key="device_id")
class DeviceHeartbeat(Message):
    """At least every 10 s; extends the leases that it names."""

    device_id: Code
    leases: tuple[HeldLease, ...] = Field((), max_length=10_000)

    @classmethod
    def remarks(cls, data: Mapping[str, Any], sent_at: datetime) -> Mapping[str, Any]:
        return {"leases": ABSENT}


@message("device.state-changed.v1", topics.DEVICES_STATUS, key="device_id")
class DeviceStateChanged(Message):
    device_id: Code
    state: DeviceState
    reason: Text | None = None


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

    @classmethod
    def remarks(cls, data: Mapping[str, Any], sent_at: datetime) -> Mapping[str, Any]:
        """All but task, fence, device and outcome. The time is then that of the message; the project the one that the
        task's id begins with."""
        task_id = data.get("task_id")
        return {
            "at": sent_at,
            "project_id": project_of(task_id) if isinstance(task_id, str) else ABSENT,
            "started_at": ABSENT,
            "measurements": ABSENT,
            "reason": "",
            "retryable": ABSENT,
        }


@message("device.task.started.v1", topics.DEVICES_REPORTS, key="project_id")
class TaskStarted(Report):
    """The device has begun."""


@message("device.task.completed.v1", topics.DEVICES_REPORTS, key="project_id")
class TaskCompleted(Report):
    """The device is done; legal without `started`."""

    outcome: Outcome = Outcome.GOOD
    rework_from_step: Positive | None = None
    started_at: Time | None = None
    measurements: Measurements | None = None
    reason: Text | None = None
    pieces_good: Count | None = Field(
        None, description="good pieces so far under this fence; with fewer than were asked for, the task goes on"
    )
    pieces_scrapped: Count | None = Field(None, description="scrapped pieces so far under this fence")

    @classmethod
    def remarks(cls, data: Mapping[str, Any], sent_at: datetime) -> Mapping[str, Any]:
        """Where an execution goes back to is what a rework is about, and beside every other outcome."""
        beside = super().remarks(data, sent_at)
        return beside if data.get("outcome") == Outcome.REWORK else {**beside, "rework_from_step": ABSENT}


@message("device.task.failed.v1", topics.DEVICES_REPORTS, key="project_id")
class TaskFailed(Report):
    """The attempt failed; a retryable one is tried again until the step's attempts are used up."""

    reason: Text
    retryable: bool = True
