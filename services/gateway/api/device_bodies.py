"""What devices send over HTTP: CloudEvents as JSON, of whose attributes only the type has to be there."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field, ValidationError, WrapValidator

from libs.contracts.base import Data, Message, Problem, Time
from libs.contracts.devices import (
    DeviceHeartbeat,
    DeviceOnline,
    DeviceStateChanged,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
)
from libs.contracts.problems import problems_of
from libs.contracts.reading import read_data
from libs.kernel.clock import utc_now
from services.gateway.api.reading import LONGEST_LIST
from services.gateway.device_messages import DeviceMessage

_CLASSES: dict[str, type[Message]] = {
    cls.TYPE: cls for cls in (DeviceOnline, DeviceHeartbeat, DeviceStateChanged, TaskStarted, TaskCompleted, TaskFailed)
}


class DeviceEvent(Data):
    """A CloudEvent in JSON; attributes that are not named here are passed over."""

    type: str
    data: dict[str, Any] = Field(
        description="as the message of this type has it on Kafka; `device_id` is that of the path and may be left out"
    )
    id: str | None = Field(
        None, min_length=1, max_length=1000, description="with `source` the identity: the same twice is one message"
    )
    source: str = Field("", max_length=1000)
    time: Time | None = Field(None, description="when it happened; left out: when it arrived")


class StatusEvent(DeviceEvent):
    type: Literal["device.online.v1", "device.heartbeat.v1", "device.state-changed.v1"]


class ReportEvent(DeviceEvent):
    type: Literal["device.task.started.v1", "device.task.completed.v1", "device.task.failed.v1"]


Reports = Annotated[
    ReportEvent | Annotated[list[ReportEvent], Field(min_length=1, max_length=LONGEST_LIST)],
    WrapValidator(lambda value, _: value),
]
"""One report or a list; left as it came, since each report of a list is read, and answered, on its own."""


def read_report(value: Any, device_id: str) -> DeviceMessage | tuple[Problem, ...]:
    """A report, or what is wrong with it."""
    try:
        event = ReportEvent.model_validate(value)
    except ValidationError as error:
        return problems_of(error)
    return read_event(event, device_id)


def read_event(event: DeviceEvent, device_id: str) -> DeviceMessage | tuple[Problem, ...]:
    """The message as the contracts read it, or what is wrong with it."""
    named = event.data.get("device_id")
    if named is not None and named != device_id:
        text = "should be the device of the path, or be left out"
        return (Problem(code="WRONG_DEVICE", path="data.device_id", message=text),)
    body = orjson.dumps(_named(event.data, device_id))
    try:
        message, _ = read_data(_CLASSES[event.type], body, event.time or utc_now())
    except ValidationError as error:
        return tuple(_within_data(problem) for problem in problems_of(error))
    return DeviceMessage(message, body, event.source, event.id, event.time)


def _named(data: Mapping[str, Any], device_id: str) -> dict[str, Any]:
    return {**data, "device_id": device_id}


def _within_data(problem: Problem) -> Problem:
    return problem.model_copy(update={"path": f"data.{problem.path}" if problem.path else "data"})
