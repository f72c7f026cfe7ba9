"""What a consumer has in its hands: its share of the partitions, and the batches that are done but not tidied up."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRebalanceListener, TopicPartition

TIDY_SECONDS = 0.1
"""How long done batches wait to be tidied up, so that several small ones are in one go."""


class Tidying:
    """What can be done after a batch, and for many at once, beside the next ones."""

    def __init__(self, tidy: Callable[[], Awaitable[None]]) -> None:
        self._tidy = tidy
        self._due = False
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def due(self) -> None:
        self._due = True
        if self._task is None or self._task.done():
            self._hurry.clear()
            self._task = asyncio.create_task(self._until_tidy())

    async def done(self) -> None:
        """Hurry, and come back when everything is tidied up."""
        if self._task is not None:
            self._hurry.set()
            await self._task

    async def _until_tidy(self) -> None:
        while self._due:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), TIDY_SECONDS)
            self._due = False
            await self._tidy()


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]
    """Knows whether the group has given this consumer its share, be it empty; drains the batch in hand on revoke."""

    def __init__(self, tidying: Tidying) -> None:
        self.joined = False
        self.idle = asyncio.Lock()
        self.tidying = tidying

    async def tidied(self) -> None:
        """Wait until the offsets of the last batch are committed."""
        await self.tidying.done()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.joined = False
        async with self.idle:
            await self.tidied()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.joined = True
