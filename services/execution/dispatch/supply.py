"""What a dispatch pass chooses from: devices with free slots, and the heads of the ready queue."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from libs.messaging.work import Work
from services.execution.dispatch.domain.arrivals import Arrivals
from services.execution.dispatch.domain.dispatch_pass import FreeDevice, Head, Slots
from services.execution.dispatch.domain.score import Source
from services.execution.dispatch.ports import Queues
from services.execution.equipment.domain.availability import Availability
from services.execution.equipment.domain.device import Device
from services.execution.equipment.ports import Devices, Plans, TypeState
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow, in_order
from services.execution.orders.domain.task import Task
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from services.execution.orders.ports import Routings, WorkOrders

MOST_KNOWN = 2000
"""Device types whose equipment is remembered."""


@dataclass(frozen=True)
class ReadyQueue:
    """One queue as one dispatch pass sees it."""

    queues: Queues
    queue: QueueKey
    work: Work
    arrivals: Arrivals = field(default_factory=Arrivals)
    _nothing_written: set[SourceKey] = field(default_factory=set)
    """Sources of which everything that waits has just become ready."""

    async def heads(self) -> list[HeadRow]:
        """The first of every source."""
        heads = self.arrivals.heads(self.queue)
        written = {row.source: row for row in await self.queues.heads(self.work, self.queue)}
        self._nothing_written.update(heads.keys() - written.keys())
        for source, row in written.items():
            heads[source] = min(heads.get(source, row), row, key=lambda each: each.in_order)
        return list(heads.values())

    async def borrowed_head(self, source: SourceKey) -> HeadRow | None:
        written = await self.queues.borrowed_head(self.work, self.queue, source)
        arrived = self.arrivals.of(self.queue, source, borrowed=True)[:1]
        rows = [HeadRow(source, task.id, task.execution, task.rank) for task in arrived]
        return min(rows if written is None else [*rows, written], key=lambda each: each.in_order, default=None)

    async def some(self, source: Source, skip: int, limit: int) -> list[Task]:
        """Tasks of the source, the best first."""
        arrived = self.arrivals.of(self.queue, source.key, borrowed=source.borrowed)
        if not arrived:
            return await self._written(source, skip, limit)
        nothing = not source.borrowed and source.key in self._nothing_written
        written = [] if nothing else await self._written(source, 0, skip + limit)
        return list(islice(heapq.merge(written, arrived, key=in_order), skip, skip + limit))

    async def _written(self, source: Source, skip: int, limit: int) -> list[Task]:
        return await self.queues.waiting(
            self.work, self.queue, source.key, borrowed=source.borrowed, skip=skip, limit=limit
        )


class Equipment(NamedTuple):
    """The devices of a type, in whatever state they are, and what is planned for them."""

    devices: list[Device]
    availability: Mapping[str, Availability]
    held: str | None
    """Why an operator holds the whole type; None when nobody does."""


@dataclass(frozen=True)
class Supply:
    orders: WorkOrders
    routings: Routings
    queues: Queues
    devices: Devices
    plans: Plans
    _known: dict[tuple[str, str], tuple[str, Equipment]] = field(default_factory=dict)
    """By site and device type: the equipment as of a revision."""

    async def equipment(self, site: str, device_type: str, work: Work, state: TypeState | None = None) -> Equipment:
        """Read only when it has changed: the revision says so, in the same transaction. `state` is what is known of
        it by now."""
        held, revision = state or await self.devices.type_state(work, site, device_type)
        revised, known = self._known.get((site, device_type), (None, None))
        if known is not None and revised == revision:
            return known._replace(held=held)
        devices = await self.devices.of_type(work, site, device_type)
        booked = await self.plans.availability(work, site, {device.id for device in devices})
        found = Equipment(devices, booked, held)
        if revision is not None:
            self._known[site, device_type] = revision, found
            while len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return found

    async def free(self, site: str, device_type: str, work: Work, state: TypeState | None = None) -> list[FreeDevice]:
        """Devices of the type that take tasks, with their free slots; full ones are left out. None of a held type."""
        equipment = await self.equipment(site, device_type, work, state)
        taking = [device for device in equipment.devices if device.takes_tasks]
        if equipment.held is not None or not taking:
            return []
        live = await self.queues.live(work, site, device_type)
        return [
            FreeDevice(device, free, equipment.availability.get(device.id))
            for device in taking
            if (free := device.slots - live.get(device.id, 0)) > 0
        ]

    def waiting(self, site: str, device_type: str, work: Work, arrivals: Arrivals | None = None) -> ReadyQueue:
        return ReadyQueue(self.queues, QueueKey(site, device_type), work, arrivals or Arrivals())

    async def heads(self, site: str, device_type: str, waiting: ReadyQueue, work: Work) -> list[Head]:
        """The first task of every source of an open order; those planned for other types where these cannot now."""
        rows = await waiting.heads()
        known = waiting.arrivals.orders
        unknown = {row.source.project_id for row in rows} - known.keys()
        read = await self.orders.dispatchable(work, site, device_type, unknown, known.keys())
        found = [*read, *(order for order in known.values() if order.state is WorkOrderState.OPEN)]
        orders = {order.id: order for order in found}
        rows = [row for row in rows if row.source.project_id in orders]
        routings = await self.routings.load(work, site, {row.source.snapshot_id for row in rows})
        own = [
            _head(row, Source(orders[row.source.project_id], routings[row.source.snapshot_id], row.source.step))
            for row in rows
        ]
        lending = [order for order in found if order.site == site and device_type in order.alternative_types]
        return own + await self._borrowed(site, device_type, lending, waiting, work)

    async def _borrowed(
        self, site: str, device_type: str, lending: Iterable[WorkOrder], waiting: ReadyQueue, work: Work
    ) -> list[Head]:
        heads: list[Head] = []
        elsewhere: dict[str, Slots] = {}
        for order in lending:
            routings = await self.routings.load(work, site, order.snapshot_ids)
            for routing in routings.values():
                for number, step in routing.steps.items():
                    alternatives = step.alternatives or ()
                    if device_type not in alternatives:
                        continue
                    source = Source(order, routing, number, borrowed=True)
                    row = await waiting.borrowed_head(source.key)
                    preferred = (step.device_type, *alternatives[: alternatives.index(device_type)])
                    if row and not await self._fits_any(site, preferred, source, elsewhere, work):
                        heads.append(_head(row, source))
        return heads

    async def could_help(self, site: str, device_type: str, unserved: Iterable[Source], work: Work) -> list[str]:
        """Other device types with a free slot for what waits on here. What is borrowed goes on to those that are less
        preferred: they left it to this one, as long as that had a slot."""
        helpful: dict[str, None] = {}
        elsewhere: dict[str, Slots] = {}
        for source in unserved:
            alternatives = source.step.alternatives or ()
            if source.borrowed:
                alternatives = alternatives[alternatives.index(device_type) + 1 :]
            for other in alternatives:
                if await self._fits_any(site, (other,), source, elsewhere, work):
                    helpful[other] = None
                    break
        return list(helpful)

    async def _fits_any(
        self, site: str, device_types: Iterable[str], source: Source, known: dict[str, Slots], work: Work
    ) -> bool:
        for device_type in device_types:
            if device_type not in known:
                known[device_type] = Slots(await self.free(site, device_type, work), work.now)
            if known[device_type].fits(source):
                return True
        return False


def _head(row: HeadRow, source: Source) -> Head:
    return Head(source, row.task_id, row.execution, row.rank)
