"""The pending publication: what the last batch has committed is published beside the next one, and then forgotten."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from libs.kernel.errors import Transient
from libs.messaging.outbox import Outbox
from libs.messaging.publisher import Publisher
from libs.messaging.store import OutboxEntry, Store
from libs.observability.metrics import Metrics
from libs.resilience.retry import standing_still

Sent = Counter[tuple[str, str]]
"""Messages by topic and type, for the metrics."""


class Publication:
    """The outbox entries of one consumer that are committed, and not yet published or not yet deleted.

    The entries of one batch are on their way at a time: what is committed later is published later. What a crash
    interrupts is still in the outbox, and is published by `catch_up` when its messages come again, or by the relay.
    """

    def __init__(
        self,
        topic: str,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._topic = topic
        self._outbox = Outbox(store, publisher)
        self._metrics = metrics
        self._sleep = sleep
        self._on_its_way: asyncio.Task[None] | None = None
        self._published: list[str] = []
        """Entries that are published and still to be deleted."""

    async def begin(self, entries: Sequence[OutboxEntry], sent: Sent) -> None:
        """Publish entries in the background, as soon as those before them are published."""
        await self.done()
        if entries:
            self._on_its_way = asyncio.create_task(self._publish(entries, sent))

    async def done(self) -> None:
        """Wait until everything that was begun is published."""
        if self._on_its_way is not None:
            await self._on_its_way

    async def forget(self) -> None:
        """Wait until everything is published, and delete it from the outbox.

        Raises:
            Transient: the database is away; the next call deletes it, or the relay does.
        """
        await self.done()
        published, self._published = self._published, []
        try:
            await self._outbox.forget(published)
        except Transient:
            self._published = published + self._published
            raise

    async def catch_up(self, lane: str, sent: Sent) -> None:
        """Publish everything that the outbox has of a lane, in its order: what a crash left there, and what is new."""
        await self.forget()
        await self._outbox.drain(lane)
        self._count(sent)

    async def _publish(self, entries: Sequence[OutboxEntry], sent: Sent) -> None:
        """A defect lets nothing pass by: the order is kept, and the outbox keeps what the defect is about."""
        await standing_still(
            lambda: self._outbox.publish(entries), "not_published", {"topic": self._topic}, sleep=self._sleep
        )
        self._published += [entry.id for entry in entries]
        self._count(sent)

    def _count(self, sent: Sent) -> None:
        for (topic, type_), count in sent.items():
            self._metrics.published(topic, type_, count)
