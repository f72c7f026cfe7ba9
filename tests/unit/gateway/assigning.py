"""What execution tells devices, and of them."""

from datetime import timedelta
from typing import Any

from libs.contracts.base import Priority
from libs.contracts.devices import TaskAssigned, TaskRevoked
from libs.contracts.equipment import ReturnReason, TaskReturned
from libs.contracts.execution import TaskCompleted, TaskFailed
from libs.kernel.ids import project_id_of
from tests.unit.gateway.world import NOON

PROJECT = project_id_of("main", "PO-1")


def task_of(number: int) -> str:
    return f"{PROJECT}/10/FRAME/{number}/1"


def assigned(number: int = 1, fence: int = 1, device: str = "W-1", minutes: int = 1) -> TaskAssigned:
    """For so many minutes."""
    return TaskAssigned(
        task_id=task_of(number),
        fence=fence,
        lease_expires_at=NOON + timedelta(minutes=minutes),
        device_id=device,
        device_type="WELDER",
        project_id=PROJECT,
        order_id="PO-1",
        line_id="10",
        recipe_code="FRAME",
        recipe_snapshot_id="s",
        execution_number=number,
        step=1,
        name="Weld",
        parameters={"amperes": 120, "$odd.name": None},
        expected_seconds=9.5,
        attempt=1,
        priority=Priority.HIGH,
    )


def revoked(number: int = 1, fence: int = 1, device: str = "W-1") -> TaskRevoked:
    return TaskRevoked(
        task_id=task_of(number), fence=fence, device_id=device, device_type="WELDER", reason="held by m.keller"
    )


def _fields(number: int, fence: int, device: str) -> dict[str, Any]:
    return {
        "task_id": task_of(number),
        "project_id": PROJECT,
        "order_id": "PO-1",
        "line_id": "10",
        "recipe_code": "FRAME",
        "execution_number": number,
        "step": 1,
        "device_id": device,
        "attempt": 1,
        "fence": fence,
        "at": NOON + timedelta(minutes=2),
    }


def completed(number: int = 1, fence: int = 1, device: str = "W-1") -> TaskCompleted:
    more = {"device_type": "WELDER", "expected_seconds": 9.5, "outcome": "GOOD"}
    return TaskCompleted.model_validate(_fields(number, fence, device) | more)


def failed(number: int = 1, fence: int = 1, device: str = "W-1") -> TaskFailed:
    return TaskFailed.model_validate(
        _fields(number, fence, device) | {"device_type": "WELDER", "reason": "the arc went out"}
    )


def returned(number: int = 1, fence: int = 1, device: str = "W-1") -> TaskReturned:
    return TaskReturned.model_validate(_fields(number, fence, device) | {"reason": ReturnReason.LEASE_EXPIRED})
