"""The tasks of orders that closed long enough ago go to the archive, in batches that a crash cannot break."""

from dataclasses import dataclass

from libs.messaging.work import Work
from services.execution.orders.domain.archive import MOST_AT_ONCE, archive_of
from services.execution.orders.domain.policies import Policies
from services.execution.orders.ports import Archive

ORDERS_AT_ONCE = 50


@dataclass(frozen=True)
class ArchiveHandlers:
    archive: Archive
    policies: Policies

    async def move(self, work: Work) -> None:
        """Tick: one batch. What is begun goes on with the next tick, of whoever leads then."""
        own = {site: work.now - policy.archive_after for site, policy in self.policies.own.items()}
        before = work.now - self.policies.default.archive_after
        room = MOST_AT_ONCE
        for order in await self.archive.due(work, before, own, ORDERS_AT_ONCE):
            moved = await self.archive.move(work, order, archive_of(order.ended_at), room)
            if moved == room:
                return
            await self.archive.close(work, order)
            room -= moved
