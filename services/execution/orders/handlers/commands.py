"""Work orders come in, are released, or are withdrawn again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

import structlog

from libs.contracts.base import Message
from libs.contracts.execution import (
    AdmitWorkOrder,
    CancelWorkOrder,
    ChangeWorkOrder,
    DispatchRequested,
    PauseWorkOrder,
    ReleaseWorkOrder,
    ResumeWorkOrder,
    RevokeLeases,
    WithdrawWorkOrder,
    WorkOrderAdmitted,
    WorkOrderCancelled,
    WorkOrderChanged,
    WorkOrderRefused,
    WorkOrderReleased,
    WorkOrderResumed,
    WorkOrderWithdrawn,
)
from libs.contracts.task_generation import GenerateTasks
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.equipment.ports import Devices
from services.execution.orders.domain import admission
from services.execution.orders.domain.control import Control, steer
from services.execution.orders.domain.policies import Policies
from services.execution.orders.domain.settlement import settle
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState, admitted
from services.execution.orders.ports import Asked, Generations, Routings, Tasks, WorkOrders

log = structlog.get_logger(__name__)

Command = AdmitWorkOrder | WithdrawWorkOrder | ReleaseWorkOrder | Control


@dataclass(frozen=True)
class CommandHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    generations: Generations
    devices: Devices
    policies: Policies
    window: int

    async def on_commands(self, run: Sequence[Incoming[Command]], work: Work) -> None:
        known = await self.orders.load(work, {message.data.project_id for message in run})
        changed: dict[str, WorkOrder] = {}
        for message in run:
            order = known.get(message.data.project_id)
            after, reply = await self._decide(order, message, work)
            if after is not None and after is not order:
                known[after.id] = changed[after.id] = after
            work.send(reply, message.cause)
            if after is not None:
                after = await self._follow_up(after, reply, message, work)
                if after is not known.get(after.id):
                    known[after.id] = changed[after.id] = after
        await self.orders.save(work, changed.values())

    async def _follow_up(self, order: WorkOrder, reply: Message, message: Incoming[Command], work: Work) -> WorkOrder:
        """What the shop floor has to do about it: look for work, ask for more, or take leases back."""
        match reply:
            case WorkOrderReleased() | WorkOrderResumed() | WorkOrderChanged():
                order = await self._settled(order, reply, message, work)
                for device_type in order.device_types:
                    work.send(DispatchRequested(device_type=device_type), message.cause)
            case WorkOrderCancelled():
                for device_type in order.device_types:
                    revoke = RevokeLeases(device_type=device_type, project_id=order.id, reason=reply.reason)
                    work.send(revoke, message.cause)
            case _:
                pass
        return order

    async def _settled(self, order: WorkOrder, reply: Message, message: Incoming[Command], work: Work) -> WorkOrder:
        """A changed target may need the next range of executions, or be reached already."""
        if isinstance(reply, WorkOrderReleased):
            return order
        routings = await self.routings.load(work, order.site, order.snapshot_ids)
        limit = self.policies.of(order.site).max_replacements
        settled, _, messages = settle(order, {}, routings, self.window, work.now, limit)
        for out, sequence in messages:
            work.send(out, message.cause, sequence=sequence)
        asked = [Asked(out, message.cause) for out, _ in messages if isinstance(out, GenerateTasks)]
        await self.generations.ask(work, asked)
        return settled

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
                return _release(order, command, work.now)
            case ChangeWorkOrder() | PauseWorkOrder() | ResumeWorkOrder() | CancelWorkOrder():
                theirs = order is not None and order.site != message.site  # to them it does not exist
                return steer(None if theirs else order, command, self.policies.of(message.site))
            case _:
                assert_never(command)

    async def _admit(
        self, order: WorkOrder | None, command: AdmitWorkOrder, site: str, work: Work
    ) -> tuple[WorkOrder | None, Message]:
        ids = {"activation_id": command.activation_id, "project_id": command.project_id}
        registered = await self.devices.registered(work, site, admission.device_types(command))
        errors, warnings = admission.examine(command, order, registered, self.policies.of(site))
        if admission.is_repeated(order, command):
            return order, WorkOrderAdmitted(**ids, warnings=warnings)
        if errors:
            return order, WorkOrderRefused(**ids, errors=errors)
        withdrawn = order.withdrawn if order else ()
        await self.routings.keep(work, site, command.routings)
        return admitted(command, site, withdrawn), WorkOrderAdmitted(**ids, warnings=warnings)

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
        return order.moved_to(WorkOrderState.WITHDRAWN, withdrawn=withdrawn, lines=()), reply


def _release(order: WorkOrder | None, command: ReleaseWorkOrder, now: datetime) -> tuple[WorkOrder | None, Message]:
    reply = WorkOrderReleased(activation_id=command.activation_id, project_id=command.project_id)
    if order is None or order.activation_id != command.activation_id or order.state is WorkOrderState.WITHDRAWN:
        raise LookupError(f"no admitted work order for activation {command.activation_id}")
    if order.state is not WorkOrderState.STAGED:
        return order, reply
    return order.moved_to(WorkOrderState.OPEN, released_at=now), reply


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
