"""What devices are told of their tasks."""

from datetime import datetime

from libs.contracts.devices import TaskAssigned, TaskRevoked
from libs.contracts.execution import RoutingStep
from services.execution.equipment.domain.device import Device
from services.execution.orders.domain.task import Task
from services.execution.orders.domain.work_order import WorkOrder


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
