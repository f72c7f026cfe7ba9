"""Leases: a device is told of one, and those that end without a report go back, or are taken up again."""

from datetime import datetime
from typing import NamedTuple

from libs.contracts.devices import TaskAssigned, TaskRevoked
from libs.contracts.execution import RoutingStep
from services.execution.equipment.domain.device import LOST, Device
from services.execution.orders.domain.task import Task, TaskState
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState


def assigned(
    task: Task, fence: int, device: Device, step: RoutingStep, order: WorkOrder, expires_at: datetime
) -> TaskAssigned:
    """A lease of the task to the device."""
    return TaskAssigned(
        task_id=task.id,
        fence=fence,
        lease_expires_at=expires_at,
        device_id=device.id,
        device_type=device.device_type,
        project_id=task.project_id,
        order_id=order.order_id,
        line_id=task.line_id,
        recipe_code=task.recipe_code,
        recipe_snapshot_id=task.snapshot_id,
        execution_number=task.execution,
        step=task.step,
        name=step.name,
        parameters=step.parameters,
        expected_seconds=step.expected_seconds,
        attempt=task.attempt,
        priority=order.priority,
        pieces=None if step.pieces is None else task.pieces.asked(step.pieces, fence),
    )


def revoked(task: Task, reason: str) -> TaskRevoked:
    """The lease that stood on the task."""
    assert task.device_id is not None, "a device holds or held it"
    return TaskRevoked(
        task_id=task.id, fence=task.fence, device_id=task.device_id, device_type=task.held_by_type, reason=reason
    )


def given_back(task: Task, order: WorkOrder) -> Task:
    """The lease has run out. Its fence stays open: until somebody else has the task, the device's report counts."""
    if order.state is WorkOrderState.CANCELLED:
        return task.moved_to(TaskState.CANCELLED, fresh_until=None)
    return task.moved_to(TaskState.READY)


def has_open_lease(task: Task) -> bool:
    """A device was given the task and nothing was heard of how that ended: it may be at work on it still."""
    return task.device_id is not None and task.fence > task.closed_fence


class Named(NamedTuple):
    """What a heartbeat says that a device holds, sorted by what is to be done about it."""

    taken_back: list[Task]
    """It goes on with them, as nobody else had them meanwhile."""
    stale: list[tuple[str, int]]
    """Task and fence that are not its own any more: it is to be told."""


def judge(device: Device, named: dict[str, int], tasks: dict[str, Task]) -> Named:
    """`named` are fences by task that the device says it holds; `tasks` are those of them that exist."""
    taken_back: list[Task] = []
    stale: list[tuple[str, int]] = []
    for task_id, fence in named.items():
        task = tasks.get(task_id)
        if task is None or task.site != device.site:
            continue
        mine = task.fence == fence and task.device_id == device.id
        if mine and task.state.live:
            continue
        if mine and task.state is TaskState.READY and has_open_lease(task) and device.state not in LOST:
            taken_back.append(task)
        elif not (mine and task.state.done):  # its own report of the end may be on the way still
            stale.append((task_id, fence))
    return Named(taken_back, stale)
