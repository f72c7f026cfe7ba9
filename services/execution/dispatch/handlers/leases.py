"""Leases that run out, devices that fall silent, and devices that speak again."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from libs.contracts.devices import DeviceHeartbeat, TaskRevoked
from libs.contracts.envelope import Cause
from libs.contracts.equipment import ExpireLeases, ReturnReason, TaskReturned
from libs.contracts.execution import DispatchRequested
from libs.messaging.work import Work
from services.execution.dispatch.domain.leases import assigned, given_back, judge, revoked
from services.execution.dispatch.ports import Queues
from services.execution.equipment.domain.device import Device, silent
from services.execution.equipment.domain.device_events import device_changed
from services.execution.equipment.ports import Devices
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.task import Task, TaskChange, TaskState
from services.execution.orders.domain.work_order import WorkOrder
from services.execution.orders.ports import Routings, Tasks, WorkOrders

log = structlog.get_logger(__name__)

SILENT_AT_ONCE = 200

LONGEST_BREAK = timedelta(seconds=10)
"""Between two sweeps; after a longer one the factory's own absence is not held against the devices."""


@dataclass
class Watch:
    """Since when this process listens without a break: silence from before that is its own."""

    since: datetime | None = None
    last: datetime | None = None

    def heard_for(self, span: timedelta, now: datetime) -> bool:
        if self.last is None or now - self.last > LONGEST_BREAK:
            self.since = now
        self.last = now
        assert self.since is not None
        return now - self.since >= span


@dataclass(frozen=True)
class LeaseHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    queues: Queues
    devices: Devices
    lease: timedelta
    grace: timedelta
    """How long a lease that has run out is still waited for."""
    silence: timedelta
    """After how long without a word a device is taken for OFFLINE."""
    at_once: int
    reachable: Callable[[], Awaitable[object]]
    """Raises Transient while devices could not be heard even if they spoke."""
    watch: Watch = field(default_factory=Watch)

    async def sweep(self, work: Work) -> None:
        """Tick: devices that are silent for too long are OFFLINE; what has run out is given back by its writer."""
        await self.reachable()
        if not self.watch.heard_for(self.silence, work.now):
            return
        fallen_silent = await self.devices.silent(work, work.now - self.silence, SILENT_AT_ONCE)
        await self.devices.save(work, [silent(device) for device in fallen_silent])
        for device in fallen_silent:
            log.warning("device_silent", device_id=device.id, site=device.site)
            work.send(device_changed(silent(device), work.now), Cause(device.site), sequence=device.sequence + 1)
        for pool in sorted(await self.queues.pools_with_expired(work, work.now - self.grace)):
            work.send(ExpireLeases(device_type=pool.device_type), Cause(pool.site))

    async def lost(self, devices: Iterable[Device], work: Work) -> None:
        """What these devices hold runs out now, and is waited for no longer than the grace."""
        for site in {device.site for device in devices}:
            theirs = [(device.device_type, device.id) for device in devices if device.site == site]
            await self.queues.end_leases(work, site, theirs, work.now)

    async def give_back(self, site: str, device_type: str, work: Work) -> None:
        """Tasks whose lease has run out wait for dispatch again. Only the device type's one writer does this."""
        expired = await self.queues.expired(work, QueueKey(site, device_type), work.now - self.grace, self.at_once)
        if not expired:
            return
        orders = await self.orders.load(work, {task.project_id for task in expired})
        holders = await self.devices.load(work, site, {task.device_id for task in expired if task.device_id})
        back = [given_back(task, orders[task.project_id]) for task in expired]
        await self.tasks.save(work, [TaskChange(*each) for each in zip(expired, back, strict=True)])
        for task in back:
            cause = Cause.from_document(task.cause)
            work.send(_returned(task, orders[task.project_id], holders.get(task.device_id or ""), work), cause)
            if task.state is TaskState.CANCELLED:
                work.send(revoked(task, "the lease had run out, and the order was cancelled"), cause)
            if task.device_type != device_type:
                work.send(DispatchRequested(device_type=task.device_type), Cause(site))

    async def named(self, site: str, beats: Sequence[tuple[Device, DeviceHeartbeat]], work: Work) -> None:
        """Heartbeats extend what the devices hold, take back what nobody had since, and are told what is not theirs."""
        expires_at = work.now + self.lease
        held = [(device, beat) for device, beat in beats if device.keeps_leases and beat.leases]
        leases = [(device.id, lease.task_id, lease.fence) for device, beat in held for lease in beat.leases]
        if not leases:
            return
        await self.queues.extend(work, leases, expires_at)
        tasks = await self.tasks.load(work, {task_id for _, task_id, _ in leases})
        for device, beat in held:
            judged = judge(device, {lease.task_id: lease.fence for lease in beat.leases}, tasks)
            free = 0
            if judged.taken_back:  # its slots may have been given something else meanwhile, or just now
                await self.devices.lock(work, site, device.device_type)
                live = await self.queues.live(work, site, device.device_type)
                free = max(0, device.slots - live.get(device.id, 0))
            await self.queues.take_back(work, judged.taken_back[:free], expires_at)
            no_slot = [(task.id, task.fence) for task in judged.taken_back[free:]]
            for task_id, fence in judged.stale + no_slot:
                told = TaskRevoked(
                    task_id=task_id,
                    fence=fence,
                    device_id=device.id,
                    device_type=device.device_type,
                    reason="the task is not yours any more",
                )
                work.send(told, Cause(site))

    async def remind(self, devices: Iterable[Device], work: Work) -> None:
        """A device that connects again is told once more what it holds, under the same fences: either it knows of it,
        or it begins now. What it does not name in its heartbeats runs out."""
        for device in devices:
            tasks = await self.queues.held_by(work, device.site, device.device_type, device.id)
            if not tasks:
                continue
            orders = await self.orders.load(work, {task.project_id for task in tasks})
            routings = await self.routings.load(work, device.site, {task.snapshot_id for task in tasks})
            expires_at = work.now + self.lease
            await self.queues.extend(work, [(device.id, task.id, task.fence) for task in tasks], expires_at)
            for task in tasks:
                step = routings[task.snapshot_id].steps[task.step]
                reminder = assigned(task, task.fence, device, step, orders[task.project_id], expires_at)
                work.send(reminder, Cause.from_document(task.cause))


def _returned(task: Task, order: WorkOrder, holder: Device | None, work: Work) -> TaskReturned:
    lost = holder is None or not holder.keeps_leases
    return TaskReturned(
        task_id=task.id,
        fence=task.fence,
        device_id=task.device_id or "",
        project_id=task.project_id,
        order_id=order.order_id,
        line_id=task.line_id,
        recipe_code=task.recipe_code,
        execution_number=task.execution,
        step=task.step,
        attempt=task.attempt,
        at=work.now,
        reason=ReturnReason.DEVICE_LOST if lost else ReturnReason.LEASE_EXPIRED,
    )
