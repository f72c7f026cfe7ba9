"""The ready queue of a device type: tasks that are stored, and those that became ready in this transaction."""

import heapq
from dataclasses import dataclass, field
from itertools import islice

from libs.messaging.work import Work
from services.execution.dispatch.domain.arrivals import Arrivals
from services.execution.dispatch.domain.score import Source
from services.execution.dispatch.ports import Queues
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow, in_order
from services.execution.orders.domain.task import Task


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
