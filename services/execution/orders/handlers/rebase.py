"""New snapshots for what is not begun."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.execution import DispatchRequested, RebaseWorkOrder, WorkOrderRebased, WorkOrderRebaseRefused
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.orders.domain import rebase
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task
from services.execution.orders.domain.work_order import WorkOrder
from services.execution.orders.ports import Routings, Tasks, WorkOrders


@dataclass(frozen=True)
class RebaseHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks

    async def on_rebase(self, run: Sequence[Incoming[RebaseWorkOrder]], work: Work) -> None:
        for message in run:
            await self._rebase(message, work)

    async def _rebase(self, message: Incoming[RebaseWorkOrder], work: Work) -> None:
        command, cause = message.data, message.cause
        ids = {"activation_id": command.activation_id, "project_id": command.project_id}
        order = (await self.orders.load(work, {command.project_id})).get(command.project_id)
        found = rebase.problems(order, command)
        if order is None or found:
            work.send(WorkOrderRebaseRefused(**ids, errors=tuple(found)), cause)
            return
        await self.routings.keep(work, order.site, command.routings)
        routings = {routing.snapshot_id: Routing(routing) for routing in command.routings}
        tasks = await self._tasks_that_may_change(order, command.from_execution, work)
        rebased = rebase.rebase(order, command, routings, tasks, cause.as_document())
        await self.tasks.delete(work, [task.id for task in rebased.removed])
        await self.tasks.create(work, rebased.created)
        await self.orders.save(work, [rebased.order])
        work.send(WorkOrderRebased(**ids, changes=rebased.changes), cause)
        for device_type in sorted({task.device_type for task in rebased.created}):
            work.send(DispatchRequested(device_type=device_type), cause)

    async def _tasks_that_may_change(self, order: WorkOrder, execution: int, work: Work) -> list[Task]:
        """All tasks of the executions of which some task waits; no more than a window of each recipe."""
        queues = [QueueKey(order.site, device_type) for device_type in order.device_types]
        waiting = await self.tasks.waiting_from(work, queues, order.id, execution)
        routings = await self.routings.load(work, order.site, order.snapshot_ids)
        ids = {task.execution_key.task(step) for task in waiting for step in routings[task.snapshot_id].steps}
        return list((await self.tasks.load(work, ids)).values())
