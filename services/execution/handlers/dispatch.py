"""Free slots × ready tasks → leases; one writer a device type, since its nudges share a partition."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from libs.contracts.devices import TaskAssigned, TaskRevoked
from libs.contracts.envelope import Cause
from libs.contracts.execution import DispatchRequested, RevokeLeases
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.domain.dispatch import (
    ALTERNATIVES,
    Candidate,
    FreeDevice,
    Grant,
    best_possible,
    candidates,
    grant,
    merged,
)
from services.execution.domain.task import TaskState
from services.execution.ports import Devices, Routings, Tasks, WorkOrders

DELAYS_AT_ONCE = 500


@dataclass(frozen=True)
class DispatchHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    devices: Devices
    lease: timedelta
    leases_at_once: int

    async def on_nudges(self, run: Sequence[Incoming[DispatchRequested | RevokeLeases]], work: Work) -> None:
        """Take back what is to be taken back; then any number of nudges for a device type are one look."""
        for message in run:
            if isinstance(message.data, RevokeLeases):
                await self._revoke(message.data, message.cause, work)
        for site, device_type in dict.fromkeys((message.site, message.data.device_type) for message in run):
            await self._dispatch(site, device_type, work)

    async def _revoke(self, command: RevokeLeases, cause: Cause, work: Work) -> None:
        pool = f"{cause.site}/{command.device_type}"
        leased = await self.tasks.leased(work, pool, command.project_id)
        await self.tasks.save(work, [replace(task, state=TaskState.CANCELLED, fresh_until=None) for task in leased])
        for task in leased:
            assert task.device_id is not None, "a leased task has a device"
            revoked = TaskRevoked(
                task_id=task.id,
                fence=task.fence,
                device_id=task.device_id,
                device_type=task.device_type,
                reason=command.reason or "the order was cancelled",
            )
            work.send(revoked, cause)

    async def end_delays(self, work: Work) -> None:
        """Tick: attempts whose pause is over wait for dispatch again."""
        for site, device_type in dict.fromkeys(await self.tasks.end_delays(work, DELAYS_AT_ONCE)):
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))

    async def _dispatch(self, site: str, device_type: str, work: Work) -> None:
        free = await self._free(site, device_type, work)
        slots = sum(device.free for device in free)
        if not slots:
            return
        ranked = await self._best(site, device_type, min(slots, self.leases_at_once), work)
        if slots > self.leases_at_once and len(ranked) > self.leases_at_once:
            ranked = ranked[: self.leases_at_once]
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))
        grants = grant(ranked, free, work.now)
        expires_at = work.now + self.lease
        await self.tasks.lease(work, grants, expires_at)
        await self._assign(site, grants, work)

    async def _free(self, site: str, device_type: str, work: Work) -> list[FreeDevice]:
        live = await self.tasks.live(work, site, device_type)
        devices = await self.devices.taking(work, site, device_type)
        free = [FreeDevice(device_id, slots - live.get(device_id, 0)) for device_id, slots in devices]
        return [device for device in free if device.free > 0]

    async def _best(self, site: str, device_type: str, slots: int, work: Work) -> list[Candidate]:
        """The best candidates of all open orders; an order is looked at only while it could still win."""
        queue = f"{site}/{device_type}"
        await self.tasks.expire_freshness(work, queue)
        most = slots + ALTERNATIVES
        best: list[Candidate] = []
        orders = await self.orders.open_for(work, site, device_type)
        for order in sorted(orders, key=lambda order: best_possible(order, work.now), reverse=True):
            if len(best) == most and best_possible(order, work.now) < best[-1].score:
                break
            tasks = await self.tasks.waiting(work, queue, order.id, most)
            best = merged(best, candidates(order, tasks, work.now), most)
        return best

    async def _assign(self, site: str, grants: Sequence[Grant], work: Work) -> None:
        routings = await self.routings.load(work, site, {each.candidate.task.snapshot_id for each in grants})
        for each in grants:
            task, order = each.candidate.task, each.candidate.order
            step = routings[task.snapshot_id].steps[task.step]
            assigned = TaskAssigned(
                task_id=task.id,
                fence=task.fence + 1,
                lease_expires_at=work.now + self.lease,
                device_id=each.device_id,
                device_type=task.device_type,
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
            )
            work.send(assigned, Cause.from_document(task.cause))
