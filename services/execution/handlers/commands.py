"""Work orders come in, are released, or are withdrawn again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import structlog

from libs.contracts.base import Message, Problem
from libs.contracts.execution import (
    AdmitWorkOrder,
    DispatchRequested,
    ReleaseWorkOrder,
    WithdrawWorkOrder,
    WorkOrderAdmitted,
    WorkOrderRefused,
    WorkOrderReleased,
    WorkOrderWithdrawn,
)
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.domain.routing import Routing
from services.execution.domain.work_order import WorkOrder, WorkOrderState, admitted, executions_problems
from services.execution.ports import Generations, Routings, Tasks, WorkOrders

log = structlog.get_logger(__name__)

Command = AdmitWorkOrder | WithdrawWorkOrder | ReleaseWorkOrder


@dataclass(frozen=True)
class CommandHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    generations: Generations
    max_executions: int

    async def on_commands(self, run: Sequence[Incoming[Command]], work: Work) -> None:
        known = await self.orders.load(work, {message.data.project_id for message in run})
        changed: dict[str, WorkOrder] = {}
        for message in run:
            order = known.get(message.data.project_id)
            after, reply = await self._decide(order, message, work)
            if after is not None and after is not order:
                known[after.id] = changed[after.id] = after
            work.send(reply, message.cause)
            if isinstance(reply, WorkOrderReleased) and after is not None:
                for device_type in after.device_types:
                    work.send(DispatchRequested(device_type=device_type), message.cause)
        await self.orders.save(work, changed.values())

    async def _decide(
        self, order: WorkOrder | None, message: Incoming[Any], work: Work
    ) -> tuple[WorkOrder | None, Message]:
        command: Command = message.data
        match command:
            case AdmitWorkOrder():
                return await self._admit(order, command, message.site, work)
            case WithdrawWorkOrder():
                return await self._withdraw(order, command, message.site, work)
            case ReleaseWorkOrder():
                return _release(order, command)
            case _:
                assert_never(command)

    async def _admit(
        self, order: WorkOrder | None, command: AdmitWorkOrder, site: str, work: Work
    ) -> tuple[WorkOrder | None, Message]:
        ids = {"activation_id": command.activation_id, "project_id": command.project_id}
        withdrawn = order.withdrawn if order else ()
        problems = executions_problems(command, self.max_executions)
        if command.activation_id in withdrawn:
            problems.append(Problem(code="WITHDRAWN", path="", message="the activation was undone already"))
        elif order and order.activation_id == command.activation_id:
            return order, WorkOrderAdmitted(**ids)
        elif order and order.state is not WorkOrderState.WITHDRAWN:
            message = f"the work order is {order.state} by activation {order.activation_id}"
            problems.append(Problem(code="ALREADY_ADMITTED", path="", message=message))
        if problems:
            return order, WorkOrderRefused(**ids, errors=tuple(problems))
        waits = {routing.snapshot_id: max(Routing(routing).waiting.values()) for routing in command.routings}
        await self.routings.keep(work, site, command.routings)
        return admitted(command, site, withdrawn, waits), WorkOrderAdmitted(**ids)

    async def _withdraw(
        self, order: WorkOrder | None, command: WithdrawWorkOrder, site: str, work: Work
    ) -> tuple[WorkOrder | None, Message]:
        """Leave nothing but the memory that the activation was undone, also when it never came here."""
        reply = WorkOrderWithdrawn(activation_id=command.activation_id, project_id=command.project_id)
        if order is None:
            return _tombstone(command, site, work), reply
        withdrawn = tuple(dict.fromkeys((*order.withdrawn, command.activation_id)))
        if order.activation_id != command.activation_id:
            return order.model_copy(update={"withdrawn": withdrawn}), reply
        if order.state not in {WorkOrderState.STAGED, WorkOrderState.WITHDRAWN}:
            log.error("released_work_order_not_withdrawn", project_id=order.id, state=order.state)
            return order, reply
        await self.tasks.remove(work, order.id)
        await self.generations.remove(work, order.id)
        return order.model_copy(update={"state": WorkOrderState.WITHDRAWN, "withdrawn": withdrawn, "lines": ()}), reply


def _release(order: WorkOrder | None, command: ReleaseWorkOrder) -> tuple[WorkOrder | None, Message]:
    reply = WorkOrderReleased(activation_id=command.activation_id, project_id=command.project_id)
    if order is None or order.activation_id != command.activation_id or order.state is WorkOrderState.WITHDRAWN:
        raise LookupError(f"no admitted work order for activation {command.activation_id}")
    if order.state is not WorkOrderState.STAGED:
        return order, reply
    return order.model_copy(update={"state": WorkOrderState.OPEN}), reply


def _tombstone(command: WithdrawWorkOrder, site: str, work: Work) -> WorkOrder:
    return WorkOrder(
        id=command.project_id,
        site=site,
        order_id="",
        activation_id=command.activation_id,
        withdrawn=(command.activation_id,),
        state=WorkOrderState.WITHDRAWN,
        priority="LOW",
        deadline=None,
        ordered_at=work.now,
        lines=(),
    )
