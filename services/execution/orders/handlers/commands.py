"""Commands to work orders: they come in, are released, changed, paused, cancelled, or withdrawn again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from libs.contracts.envelope import Cause
from libs.contracts.execution import (
    AdmitWorkOrder,
    CancelWorkOrder,
    ChangeWorkOrder,
    PauseWorkOrder,
    ReleaseWorkOrder,
    ResumeWorkOrder,
    WithdrawWorkOrder,
)
from libs.contracts.task_generation import GenerateTasks
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.equipment.ports import Devices
from services.execution.orders.domain.admission import admit, device_types, release, withdraw
from services.execution.orders.domain.control import Control, steer
from services.execution.orders.domain.decision import Decision, Effect
from services.execution.orders.domain.policies import Policies
from services.execution.orders.domain.settlement import Asked, settle
from services.execution.orders.domain.work_order import WorkOrder
from services.execution.orders.ports import Generations, Routings, Tasks, WorkOrders

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
        orders = await self.orders.load(work, {message.data.project_id for message in run})
        registered = await self._registered(run, work)
        changed: dict[str, WorkOrder] = {}
        for message in run:
            decision = self._decide(orders.get(message.data.project_id), message, registered, work)
            for each in decision.messages:
                work.send(each, message.cause)
            if decision.order is not None:
                order = await self._carry_out(decision, decision.order, message.cause, work)
                orders[order.id] = changed[order.id] = order
        await self.orders.save(work, changed.values())

    def _decide(
        self,
        order: WorkOrder | None,
        message: Incoming[Command],
        registered: Mapping[str, Collection[str]],
        work: Work,
    ) -> Decision:
        command, site = message.data, message.site
        match command:
            case AdmitWorkOrder():
                return admit(order, command, site, registered[site], self.policies.of(site))
            case WithdrawWorkOrder():
                return withdraw(order, command, site, work.now)
            case ReleaseWorkOrder():
                return release(order, command, work.now)
            case ChangeWorkOrder() | PauseWorkOrder() | ResumeWorkOrder() | CancelWorkOrder():
                own = order if order is not None and order.site == site else None
                return steer(own, command, self.policies.of(site))
            case _:
                assert_never(command)

    async def _carry_out(self, decision: Decision, order: WorkOrder, cause: Cause, work: Work) -> WorkOrder:
        """The order once everything beside its own document is done."""
        if decision.routings:
            await self.routings.keep(work, order.site, decision.routings)
        for effect in decision.effects:
            match effect:
                case Effect.REMOVE_TASKS:
                    await self.tasks.remove(work, order.id)
                    await self.generations.remove(work, order.id)
                case Effect.SETTLE:
                    order = await self._settled(order, cause, work)
                case _:
                    assert_never(effect)
        return order

    async def _settled(self, order: WorkOrder, cause: Cause, work: Work) -> WorkOrder:
        """A changed target may need the next range of executions, or be reached already."""
        routings = await self.routings.load(work, order.site, order.snapshot_ids)
        limit = self.policies.of(order.site).max_replacements
        settled, _, messages = settle(order, {}, routings, self.window, work.now, limit)
        for out, sequence in messages:
            work.send(out, cause, sequence=sequence)
        await self.generations.ask(work, [Asked(out, cause) for out, _ in messages if isinstance(out, GenerateTasks)])
        return settled

    async def _registered(self, run: Sequence[Incoming[Command]], work: Work) -> dict[str, Collection[str]]:
        """By site: those device types of the orders to be admitted that some device has."""
        wanted: dict[str, set[str]] = {}
        for message in run:
            if isinstance(message.data, AdmitWorkOrder):
                wanted.setdefault(message.site, set()).update(device_types(message.data))
        return {site: await self.devices.registered(work, site, types) for site, types in wanted.items()}
