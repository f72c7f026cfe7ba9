"""Why a task does not run yet: everything that stands in its way, the most decisive first."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.contracts.devices import DeviceState
from libs.contracts.explanation import NotYet, WaitReason
from libs.contracts.keys import TaskKey
from libs.kernel.clock import rfc3339
from services.execution.dispatch.domain.dispatch_pass import FreeDevice, unfit
from services.execution.dispatch.domain.score import Source
from services.execution.equipment.domain.capability import lacks
from services.execution.equipment.domain.device import Device
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task, TaskState
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState


@dataclass(frozen=True)
class DeviceType:
    """A device type that may be given the task: its devices, and those of them with a free slot."""

    name: str
    devices: Sequence[Device]
    free: Sequence[FreeDevice]
    held: str | None


def of_the_order(order: WorkOrder) -> list[NotYet]:
    if order.state is WorkOrderState.OPEN:
        return []
    return [NotYet(reason=WaitReason.ORDER_NOT_OPEN, message=f"the work order is {order.state}")]


def of_a_plan(order: WorkOrder, key: TaskKey, routing: Routing | None, siblings: dict[int, Task]) -> list[NotYet]:
    """The task does not exist yet: it is planned for later, or waits for other steps, or cannot be."""
    _, line_id, recipe_code, number = key.execution
    line = next((line for line in order.lines if line.line_id == line_id), None)
    recipe = next((each for each in line.recipes if each.recipe_code == recipe_code), None) if line else None
    if recipe is None or routing is None or key.step not in routing.steps or number < 1:
        return [unknown()]
    if number > recipe.planned:
        message = f"the plan has executions 1 to {recipe.planned}"
        return [NotYet(reason=WaitReason.UNKNOWN_TASK, message=message)]
    if number > recipe.requested:
        message = f"tasks exist up to execution {recipe.requested} of {recipe.planned} so far"
        return [NotYet(reason=WaitReason.NOT_PLANNED_YET, message=message), *of_the_order(order)]
    return [*of_predecessors(key.step, routing, siblings), *of_the_order(order)]


def unknown() -> NotYet:
    return NotYet(reason=WaitReason.UNKNOWN_TASK, message="no order here has such a task")


def of_predecessors(step: int, routing: Routing, siblings: dict[int, Task]) -> list[NotYet]:
    """Steps that have to be completed before."""
    waits_for = []
    for number in routing.steps[step].depends_on:
        task = siblings.get(number)
        if task is None or not (task.state is TaskState.COMPLETED and task.outcome == "GOOD"):
            state = task.state.value if task else "not begun"
            waits_for.append(f"step {number} ({routing.steps[number].name}) is {state}")
    return [NotYet(reason=WaitReason.PREDECESSOR, message=message) for message in waits_for]


def of_dispatch(
    task: Task, order: WorkOrder, source: Source, types: Iterable[DeviceType], better: int, now: datetime
) -> list[NotYet]:
    """The task is READY. `better`: how many sources have a task that would be taken before it."""
    reasons = of_the_order(order)
    if task.delayed_until is not None and task.delayed_until > now:
        message = f"attempt {task.attempt} may begin at {rfc3339(task.delayed_until)}"
        reasons.append(NotYet(reason=WaitReason.RETRY_PAUSE, message=message))
    could_now = False
    for device_type in types:
        found = _of_type(device_type, source, now)
        could_now = could_now or found is None
        reasons += [found] if found else []
    if better:
        message = f"the best of {better} other steps of orders would be taken before it"
        reasons.append(NotYet(reason=WaitReason.LOWER_SCORE, message=message))
    if could_now and not reasons:
        reasons.append(NotYet(reason=WaitReason.NEXT, message="it is the next to be given away"))
    return reasons


def _of_type(each: DeviceType, source: Source, now: datetime) -> NotYet | None:
    """Why no device of the type takes a task of the source now; None when one would."""
    if each.held is not None:
        return NotYet(reason=WaitReason.DEVICE_TYPE_HELD, message=f"{each.name} is held: {each.held}")
    taking = [device for device in each.devices if device.takes_tasks]
    if not taking:
        states = ", ".join(f"{device.id} is {_condition(device)}" for device in each.devices[:5])
        message = f"no device of type {each.name} takes tasks: {states or 'none is registered'}"
        return NotYet(reason=WaitReason.DEVICE_TYPE_DOWN, message=message)
    lacking = [lacks(device, source.step) for device in taking]
    if all(lacking):
        message = "; ".join(text for text in lacking[:5] if text)
        return NotYet(reason=WaitReason.NOT_CAPABLE, message=message)
    able = [free for free in each.free if lacks(free.device, source.step) is None]
    if not able:
        message = f"all {len(taking)} devices of type {each.name} that could do it are busy"
        return NotYet(reason=WaitReason.NO_FREE_DEVICE, message=message)
    unfitting = [unfit(free, source, now) for free in able]
    if all(unfitting):
        message = "; ".join(text for text in unfitting[:5] if text)
        return NotYet(reason=WaitReason.RESERVED, message=message)
    return None


def _condition(device: Device) -> str:
    if device.held is not None:
        return f"held ({device.held})"
    return f"{device.state}" if device.state is not DeviceState.DOWN or not device.reason else f"DOWN ({device.reason})"
