"""What a planner and a device gateway say to the shop floor, and what they hear, in a line each."""

from datetime import UTC, datetime
from typing import Any

from libs.contracts.devices import DeviceOnline, TaskAssigned
from libs.contracts.execution import AdmitWorkOrder, DispatchRequested, ReleaseWorkOrder
from libs.contracts.task_generation import ExecutionRange, TaskBatch
from tests.harness import Kernel, Said

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


async def online(kernel: Kernel, device_id: str, device_type: str = "saw", site: str = "main", **more: Any) -> None:
    await kernel.give(DeviceOnline(device_id=device_id, device_type=device_type, **more), site=site)


async def release(
    kernel: Kernel, project_id: str, *steps: dict[str, Any], quantity: int = 1, site: str = "main", **more: Any
) -> None:
    """An order whose pieces are executions of these steps; by default one cut on a saw."""
    usual = {"name": "cut", "device_type": "saw", "expected_seconds": 60, "parameters": {}, "max_attempts": 3}
    numbered = [
        {**usual, "step": number, "depends_on": [number - 1] if number > 1 else [], "on_exhausted": "HOLD", **each}
        for number, each in enumerate(steps or ({},), 1)
    ]
    snapshot_id = f"snapshot-{project_id}"
    ids = {"activation_id": f"{project_id}:1", "project_id": project_id}
    admit = {
        **ids,
        "order_id": project_id,
        "priority": "MEDIUM",
        "ordered_at": AT,
        "routings": [{"snapshot_id": snapshot_id, "recipe_code": "R", "steps": numbered}],
        "lines": [
            {
                "line_id": "10",
                "target_quantity": quantity,
                "recipes": [{"recipe_code": "R", "snapshot_id": snapshot_id, "quantity": 1}],
            }
        ],
    }
    executions = ExecutionRange(
        line_id="10",
        recipe_code="R",
        snapshot_id=snapshot_id,
        first_steps=tuple(each["step"] for each in numbered if not each["depends_on"]),
        first_execution=1,
        last_execution=quantity,
    )
    await kernel.give(AdmitWorkOrder.model_validate(admit | more), site=site)
    batch = TaskBatch(**ids, generation_id=f"{project_id}/1", index=1, batches=1, executions=executions)
    await kernel.give(batch, site=site)
    await kernel.give(ReleaseWorkOrder(**ids), site=site)


async def dispatch(kernel: Kernel, device_type: str = "saw", site: str = "main") -> list[Said]:
    return await kernel.give(DispatchRequested(device_type=device_type), site=site)


def given(said: list[Said]) -> list[tuple[str, str]]:
    """(task, device) of what was assigned, in order."""
    assigned = [each.message for each in said if isinstance(each.message, TaskAssigned)]
    return [(task.task_id, task.device_id) for task in assigned]


def woken(said: list[Said]) -> list[str]:
    return [each.message.device_type for each in said if isinstance(each.message, DispatchRequested)]
