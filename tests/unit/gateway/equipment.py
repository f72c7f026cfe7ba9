"""What the shop floor tells a gateway."""

from datetime import datetime, timedelta
from typing import Any

from libs.contracts.base import Message
from libs.contracts.by_hand import TaskControlFollowed, TaskControlRefused, TaskControlRepeated, TaskReleased
from libs.contracts.devices import DeviceState
from libs.contracts.equipment import DeviceChanged, DeviceControlRefused, DeviceTypeChanged
from libs.contracts.execution import TaskHeld
from libs.contracts.explanation import Decision, NotYet, Ranked, TaskExplained, WaitReason
from libs.contracts.reservations import (
    CalendarChanged,
    CalendarRefused,
    ReservationBooked,
    ReservationCancelled,
    ReservationCancelRefused,
    ReservationKind,
    ReservationRefused,
    WorkingCalendar,
)
from libs.contracts.task_lists import ListedTask, TasksListed, TaskState
from libs.kernel.ids import project_id_of
from services.gateway.api.examples import CALENDAR
from tests.unit.gateway.world import NOON, problem

PO_1 = project_id_of("main", "PO-1")
TASK = f"{PO_1}/10/FRAME/1/2"
LATER = NOON + timedelta(days=365)


def device(device_id: str = "W-1", device_type: str = "WELDER", **fields: Any) -> DeviceChanged:
    told = {"slots": 2, "state": DeviceState.IDLE, "at": NOON} | fields
    return DeviceChanged(device_id=device_id, device_type=device_type, **told)


def type_changed(held: str | None = "service", at: datetime = NOON) -> DeviceTypeChanged:
    return DeviceTypeChanged(device_type="WELDER", held=held, by="m", at=at)


def span(reservation_id: str = "R-1", device_id: str = "W-1", hours: int = 0, at: datetime = LATER) -> dict[str, Any]:
    """An hour, so many hours after `at`."""
    return {
        "reservation_id": reservation_id,
        "device_id": device_id,
        "kind": ReservationKind.MAINTENANCE,
        "from": at + timedelta(hours=hours),
        "to": at + timedelta(hours=hours + 1),
        "by": "m",
    }


def booked(*args: Any, **kwargs: Any) -> ReservationBooked:
    return ReservationBooked.model_validate(span(*args, **kwargs))


def cancelled(*args: Any, **kwargs: Any) -> ReservationCancelled:
    return ReservationCancelled.model_validate(span(*args, **kwargs) | {"cancelled_by": "k", "cancelled_at": NOON})


def calendar(there: bool = True, timezone: str = "Europe/Berlin") -> CalendarChanged:
    content = WorkingCalendar.model_validate(CALENDAR | {"timezone": timezone}) if there else None
    return CalendarChanged(device_id="W-1", by="m", calendar=content)


def device_refused(code: str) -> DeviceControlRefused:
    return DeviceControlRefused(device_id="W-1", errors=(problem(code),))


def booking_refused(code: str) -> ReservationRefused:
    return ReservationRefused(reservation_id="R-1", device_id="W-1", errors=(problem(code),))


def cancel_refused(code: str) -> ReservationCancelRefused:
    return ReservationCancelRefused(reservation_id="R-1", device_id="W-1", errors=(problem(code),))


def calendar_refused(code: str) -> CalendarRefused:
    return CalendarRefused(device_id="W-1", errors=(problem(code),))


def place(request_id: str | None) -> dict[str, Any]:
    """Where the task stands, and whose words these are."""
    return {
        "task_id": TASK,
        "fence": 3,
        "device_id": "by-hand",
        "project_id": PO_1,
        "order_id": "PO-1",
        "line_id": "10",
        "recipe_code": "FRAME",
        "execution_number": 1,
        "step": 2,
        "attempt": 1,
        "at": NOON,
        "by": "m" if request_id else None,
        "request_id": request_id,
    }


def task_held(request_id: str | None) -> TaskHeld:
    return TaskHeld(**place(request_id), reason="bent")


def task_released(request_id: str | None) -> TaskReleased:
    return TaskReleased(**place(request_id), reason="straight again")


def _answer(request_id: str) -> dict[str, Any]:
    return {"project_id": PO_1, "task_id": TASK, "command": "some", "by": "m", "request_id": request_id}


def task_followed(request_id: str) -> Message:
    return TaskControlFollowed(**_answer(request_id), fence=3, attempt=1, at=NOON)


def task_repeated(request_id: str) -> Message:
    return TaskControlRepeated(**_answer(request_id), state="HELD")


def task_refused(request_id: str, code: str = "NOT_HOLDABLE") -> Message:
    return TaskControlRefused(**_answer(request_id), errors=(problem(code),))


def tasks_listed(*states: str, following: str | None = None) -> TasksListed:
    tasks = tuple(
        ListedTask(
            task_id=f"{PO_1}/10/FRAME/{n}/2",
            line_id="10",
            recipe_code="FRAME",
            execution_number=n,
            step=2,
            state=TaskState(state),
            device_type="WELDER",
            device_id="W-1",
            attempt=1,
            fence=n,
        )
        for n, state in enumerate(states, 1)
    )
    return TasksListed(project_id=PO_1, tasks=tasks, next=following, at=NOON)


def explained(state: str | None = "READY", task_id: str = TASK) -> TaskExplained:
    """With a decision of an earlier lease."""
    lost = Ranked(task_id=f"{PO_1}/10/FRAME/2/2", score=20, parts={"priority": 20}, lost="lower score")
    return TaskExplained(
        project_id=PO_1,
        task_id=task_id,
        state=state,
        fence=1,
        attempt=2,
        rank=Ranked(task_id=task_id, score=35.5, parts={"priority": 20, "laser.power": 15.5}),
        not_yet=(NotYet(reason=WaitReason.NO_FREE_DEVICE, message="all are busy"),),
        decision=Decision(
            at=NOON, rule="priority", score=30, parts={"priority": 30}, device_id="W-1", alternatives=(lost,)
        ),
        at=NOON,
    )
