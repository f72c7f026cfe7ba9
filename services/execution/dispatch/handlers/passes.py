"""Dispatch passes: free slots × ready tasks → leases. A device type has one writer: its wake-ups share a partition.

A wake-up brings about a pass, and so may whoever has just set tasks or slots free. A pass locks its
device type: of two that should ever meet, the database lets one through.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from libs.contracts.envelope import Cause
from libs.contracts.equipment import DeviceTypeChanged, ExpireLeases, HoldDeviceType, ReleaseDeviceType
from libs.contracts.execution import DispatchRequested, RevokeLeases
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.dispatch.domain.arrivals import Arrivals
from services.execution.dispatch.domain.dispatch_pass import Assignment, Contest, FreeDevice, Slots
from services.execution.dispatch.domain.leases import assigned, has_open_lease, revoked
from services.execution.dispatch.handlers.leases import LeaseHandlers
from services.execution.dispatch.ports import Queues
from services.execution.dispatch.supply import Supply
from services.execution.equipment.ports import Devices, TypeState
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.policies import Policies
from services.execution.orders.domain.task import TaskChange, TaskState
from services.execution.orders.ports import Tasks

DELAYS_AT_ONCE = 500
STALE_AT_ONCE = 2000
PASSES_AT_ONCE = 10
"""Device types, at most, that have a dispatch pass in the transaction of those who call."""

WakeUp = DispatchRequested | RevokeLeases | ExpireLeases | HoldDeviceType | ReleaseDeviceType


@dataclass(frozen=True)
class DispatchHandlers:
    tasks: Tasks
    queues: Queues
    devices: Devices
    supply: Supply
    leases: LeaseHandlers
    policies: Policies
    lease: timedelta
    leases_at_once: int

    async def on_wake_ups(self, run: Sequence[Incoming[WakeUp]], work: Work) -> None:
        """First what was said of the device types; then any number of wake-ups of one of them are one pass."""
        locked = {
            (site, device_type): await self.devices.lock(work, site, device_type)
            for site, device_type in sorted({(message.site, message.data.device_type) for message in run})
        }
        for message in run:
            match message.data:
                case RevokeLeases():
                    await self._revoke(message.data, message.cause, work)
                case HoldDeviceType() | ReleaseDeviceType():
                    place = message.site, message.data.device_type
                    locked[place] = await self._hold(message.data, message.cause, locked[place], work)
                case ExpireLeases():
                    await self.leases.give_back(message.site, message.data.device_type, work)
                case DispatchRequested():
                    pass
        for site, device_type in dict.fromkeys((message.site, message.data.device_type) for message in run):
            await self._dispatch(site, device_type, locked[site, device_type], Arrivals(), work)

    async def dispatch(self, site: str, device_type: str, arrivals: Arrivals, work: Work) -> None:
        """One pass, in which tasks that are not written yet take part: those that are leased are written by it."""
        locked = await self.devices.lock(work, site, device_type)
        await self._dispatch(site, device_type, locked, arrivals, work)

    async def end_delays(self, work: Work) -> None:
        """Tick: attempts whose pause is over wait for dispatch again."""
        for site, device_type in dict.fromkeys(await self.queues.end_delays(work, DELAYS_AT_ONCE)):
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))

    async def end_freshness(self, work: Work) -> None:
        """Tick: an execution that did not go on for half an hour is no more urgent than others, wherever it waits."""
        await self.queues.expire_freshness(work, STALE_AT_ONCE)

    async def _revoke(self, command: RevokeLeases, cause: Cause, work: Work) -> None:
        leased = await self.queues.leased(work, QueueKey(cause.site, command.device_type), command.project_id)
        cancelled = [TaskChange(task, task.moved_to(TaskState.CANCELLED, fresh_until=None)) for task in leased]
        await self.tasks.save(work, cancelled)
        for task in leased:
            work.send(revoked(task, command.reason or "the order was cancelled"), cause)

    async def _hold(
        self, command: HoldDeviceType | ReleaseDeviceType, cause: Cause, locked: TypeState, work: Work
    ) -> TypeState:
        reason = command.reason if isinstance(command, HoldDeviceType) else None
        await self.devices.hold_type(work, cause.site, command.device_type, reason)
        changed = DeviceTypeChanged(device_type=command.device_type, held=reason, by=command.by, at=work.now)
        work.send(changed, cause)
        return locked._replace(held=reason)

    async def _dispatch(self, site: str, device_type: str, locked: TypeState, arrivals: Arrivals, work: Work) -> None:
        free = await self.supply.free(site, device_type, work, locked)
        if not free:
            return
        contest = await self._contest(site, device_type, free, arrivals, work)
        while contest.stale:
            await self.queues.expire_freshness(work, STALE_AT_ONCE)
            contest = await self._contest(site, device_type, free, arrivals, work)
        assignments = contest.assignments()
        for each in assignments:
            self._assign(each, work)
        arrived = [each for each in assignments if each.task.id in arrivals]
        await self.queues.lease(
            work, [each for each in assignments if each.task.id not in arrivals], work.now + self.lease
        )
        await self.queues.create_leased(work, arrived, work.now + self.lease)
        arrivals.take([each.task.id for each in arrived])
        if contest.cut_short and len(assignments) == self.leases_at_once:
            # More than one transaction's worth: others of the partition come first, then this again.
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))
        for other in await self.supply.could_help(site, device_type, contest.unserved, work):
            work.send(DispatchRequested(device_type=other), Cause(site=site))

    async def _contest(
        self, site: str, device_type: str, free: Sequence[FreeDevice], arrivals: Arrivals, work: Work
    ) -> Contest:
        """What waits against the free slots, decided.

        Freshness that is over only ever makes a task look better than it is: what loses all the same has lost.
        """
        how = self.policies.of(site).dispatching
        waiting = self.supply.waiting(site, device_type, work, arrivals)
        heads = await self.supply.heads(site, device_type, waiting, work)
        contest = Contest(heads, Slots(free, work.now), how.rule, how.aging, work.now, self.leases_at_once)
        while not contest.stale and (wanted := contest.wanted()) is not None:
            contest.feed(await waiting.some(*wanted))
        return contest

    def _assign(self, assignment: Assignment, work: Work) -> None:
        task, cause = assignment.task, Cause.from_document(assignment.task.cause)
        if has_open_lease(task):
            # Nobody knows whether the device before is still at it; that somebody else is now, it has to know.
            work.send(revoked(task, "the lease had run out, and the task was given away"), cause)
        step, order = assignment.source.step, assignment.source.order
        work.send(assigned(task, task.fence + 1, assignment.device, step, order, work.now + self.lease), cause)


class FollowUp(Protocol):
    async def dispatch(self, device_types: Collection[tuple[str, str]], arrivals: Arrivals, work: Work) -> None:
        """See to it that these device types, given as (site, device type), have a dispatch pass.

        `arrivals` takes part in it; what is left there afterwards is the caller's to write.
        """


class WakeUps:
    """A message to each device type brings about a pass in a transaction of its own."""

    async def dispatch(self, device_types: Collection[tuple[str, str]], arrivals: Arrivals, work: Work) -> None:
        for site, device_type in sorted(device_types):
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))


@dataclass(frozen=True)
class PassesAtOnce(WakeUps):
    """Device types whose wake-ups come to this process have their pass at once, if they are few.

    That saves a way through Kafka, a transaction, and writing as ready what is leased in the next moment. A pass is
    an extra of the transaction: if it fails, the transaction is tried again with wake-ups in its place.
    """

    passes: DispatchHandlers
    is_own: Callable[[str], bool]
    """Whether the wake-ups of a device type come to this process."""

    async def dispatch(self, device_types: Collection[tuple[str, str]], arrivals: Arrivals, work: Work) -> None:
        own = {each for each in device_types if self.is_own(each[1])} if len(device_types) <= PASSES_AT_ONCE else set()
        if not own or not work.take_extra():
            own = set()
        for site, device_type in sorted(own):
            await self.passes.dispatch(site, device_type, arrivals, work)
        await super().dispatch(set(device_types) - own, arrivals, work)
