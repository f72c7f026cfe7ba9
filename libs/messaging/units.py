"""Units of work that no record asks for: those of ticks, and those of requests by HTTP."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Busy, Conflict
from libs.messaging.outbox import Outbox, entries_for
from libs.messaging.publisher import Publisher
from libs.messaging.store import OutboxEntry, Store
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.resilience.retry import Limit, Retry

log = structlog.get_logger(__name__)

T = TypeVar("T")

Step = Callable[[Work], Awaitable[T]]
"""Loads, decides, saves and sends, and says what came of it. It may be called again, in another transaction."""

TRIES = 20
"""Tries at a unit of work that meets documents written by others. A wait is 0.1 s at most, so 2 s in all."""

RETRY = Retry(
    on=(Busy, Conflict),
    first_seconds=0.01,
    max_seconds=0.1,
    limits={Busy: Limit(attempts=TRIES), Conflict: Limit(attempts=TRIES)},
    event="unit_retried",
    quiet_seconds=1.0,
)
"""A database that is away is not waited for: the client is told at once, and decides."""

PUBLISH_SECONDS = 5.0
"""Seconds that a request waits for the publication of what it has committed, before it is answered all the same."""


async def committed(
    store: Store, source: str, lane: str, now: datetime, step: Step[T]
) -> tuple[T, Work, Sequence[OutboxEntry]]:
    """One transaction: what came of the step, and the outbox entries that it has left, not published yet.

    Raises:
        Transient: the database is away, or another transaction is in the way.
    """
    async with store.transaction() as transaction:
        work = Work(transaction, source, now)
        result = await step(work)
        entries = entries_for(work.outgoing, lane, now)
        await transaction.put(entries)
    return result, work, entries


class Requests:
    """The units of work of one service's requests: committed once, and published at least once.

    An instance publishes what it has committed itself. What it leaves behind when it dies, or when no broker answers,
    is in the outbox, and the relay publishes it.
    """

    def __init__(
        self,
        service: str,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock = utc_now,
        publish_seconds: float = PUBLISH_SECONDS,
    ) -> None:
        self._source = f"/{service}"
        self._lane = f"{service}:requests"
        self._store = store
        self._outbox = Outbox(store, publisher)
        self._metrics = metrics
        self._clock = clock
        self._publish_seconds = publish_seconds
        self._publishing: set[asyncio.Task[None]] = set()
        self._late = False
        """No broker answered the last time: the next one is not waited for."""

    async def run(self, step: Step[T]) -> T:
        """What came of the step, once its transaction is committed and its messages are published or will be.

        Where another transaction is in the way, the step is tried again. An exception of the step leaves nothing.

        Raises:
            Transient: the database is away.
        """
        result, work, entries = await RETRY.call(
            lambda: committed(self._store, self._source, self._lane, self._clock(), step)
        )
        if entries:
            task = asyncio.create_task(self._publish(work, entries))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
            done, _ = await asyncio.wait({task}, timeout=0.0 if self._late else self._publish_seconds)
            self._late = not done
        return result

    async def _publish(self, work: Work, entries: Sequence[OutboxEntry]) -> None:
        try:
            await self._outbox.publish(entries)
            await self._outbox.forget([entry.id for entry in entries])
        except Exception as error:
            log.warning("left_to_the_relay", lane=self._lane, error=repr(error))
            return
        self._late = False
        for (topic, type_), count in work.sent.items():
            self._metrics.published(topic, type_, count)
