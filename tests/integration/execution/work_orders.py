"""A work order on the shop floor without the services before it: admitted, staged, released, worked on by a test."""

from datetime import UTC, datetime
from typing import Any

from libs.contracts import devices, execution
from libs.contracts.execution import (
    AdmitWorkOrder,
    CancelWorkOrder,
    ControlRequest,
    DispatchRequested,
    ReleaseWorkOrder,
)
from libs.contracts.task_generation import ExecutionRange, TaskBatch
from tests.harness import Kernel, Said

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def admit(project_id: str, quantity: int, steps: int) -> AdmitWorkOrder:
    """Each piece is one execution of `steps` steps on saws, one after the other."""
    step = {"name": "cut", "device_type": "saw", "expected_seconds": 1, "parameters": {}, "max_attempts": 3}
    routing = {
        "snapshot_id": f"snapshot-{steps}",
        "recipe_code": "R",
        "steps": [
            {**step, "step": number, "depends_on": [number - 1] if number > 1 else [], "on_exhausted": "HOLD"}
            for number in range(1, steps + 1)
        ],
    }
    recipe = {"recipe_code": "R", "snapshot_id": f"snapshot-{steps}", "quantity": 1}
    return AdmitWorkOrder.model_validate(
        {
            "activation_id": f"{project_id}:1",
            "project_id": project_id,
            "order_id": project_id,
            "priority": "MEDIUM",
            "ordered_at": AT,
            "routings": [routing],
            "lines": [{"line_id": "10", "target_quantity": quantity, "recipes": [recipe]}],
        }
    )


class Order:
    def __init__(self, kernel: Kernel, project_id: str, quantity: int, steps: int = 1, site: str = "main") -> None:
        self.kernel, self.id, self.site = kernel, project_id, site
        self.quantity, self.steps = quantity, steps

    async def release(self) -> "Order":
        ids = {"activation_id": f"{self.id}:1", "project_id": self.id}
        executions = ExecutionRange(
            line_id="10",
            recipe_code="R",
            snapshot_id=f"snapshot-{self.steps}",
            first_steps=(1,),
            first_execution=1,
            last_execution=self.quantity,
        )
        await self.kernel.give(admit(self.id, self.quantity, self.steps), site=self.site)
        batch = TaskBatch(**ids, generation_id=f"{self.id}/1", index=1, batches=1, executions=executions)
        await self.kernel.give(batch, site=self.site)
        await self.kernel.give(ReleaseWorkOrder(**ids), site=self.site)
        return self

    async def assigned(self) -> list[devices.TaskAssigned]:
        """What saws are given of it now."""
        said = await self.kernel.give(DispatchRequested(device_type="saw"), site=self.site)
        return [
            each.message
            for each in said
            if isinstance(each.message, devices.TaskAssigned) and each.message.project_id == self.id
        ]

    def report(self, task: devices.TaskAssigned, **more: Any) -> devices.TaskCompleted:
        ids = {"task_id": task.task_id, "fence": task.fence, "device_id": task.device_id, "project_id": self.id}
        return devices.TaskCompleted(**ids, at=AT, **more)

    async def complete(self) -> list[devices.TaskCompleted]:
        """Work on it until nothing of it is assigned any more; every report that was sent."""
        reports: list[devices.TaskCompleted] = []
        while tasks := await self.assigned():
            now = [self.report(task) for task in tasks]
            await self.kernel.give(*now, site=self.site)
            reports += now
        return reports

    async def cancel(self) -> list[Said]:
        request = ControlRequest(by="operator", command="c")
        wish = CancelWorkOrder(project_id=self.id, request=request, reason="not needed")
        return await self.kernel.give(wish, site=self.site)

    async def document(self) -> dict[str, Any]:
        found = await self.kernel.database["work_orders"].find_one({"_id": self.id})
        assert found is not None
        return dict(found)


def ignored(said: list[Said]) -> list[execution.IgnoredReason]:
    return [each.message.reason for each in said if isinstance(each.message, execution.ReportIgnored)]
