"""What a consumer has in its hands: its share of the partitions, and the batches that are done but not tidied up."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRebalanceListener, TopicPartition

TIDY_SECONDS = 0.1
"""Seconds that a done batch waits to be tidied up: long enough for several small ones to be tidied up together."""


class Tidying:
    """The work that done batches leave behind, done for many at once and beside the next batches."""

    def __init__(self, tidy: Callable[[], Awaitable[None]]) -> None:
        self._tidy = tidy
        self._due = False
        self._hurry = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def due(self) -> None:
        """Tidy up soon: a batch is done."""
        self._due = True
        if self._task is None or self._task.done():
            self._hurry.clear()
            self._task = asyncio.create_task(self._until_tidy())

    async def done(self) -> None:
        """Tidy up now, and return when nothing is left to do."""
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
    """The share of a consumer group's partitions that one consumer has; before it is taken, the batch in hand is done.

    `joined` says whether the group has given the consumer its share, be it empty. `idle` is locked while a batch is
    worked on. `tidied` returns when the offsets of the last batch are committed.
    """

    def __init__(self, tidying: Tidying) -> None:
        self.joined = False
        self.idle = asyncio.Lock()
        self.tidied = tidying.done

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        self.joined = False
        async with self.idle:
            await self.tidied()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.joined = True
