"""Leases that end without a report: the task goes back, and a device that speaks again may go on where it was."""

from typing import NamedTuple

from services.execution.equipment.domain.device import LOST, Device
from services.execution.orders.domain.task import Task, TaskState
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState


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
