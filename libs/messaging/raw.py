"""The processor of raw subscriptions: records as they are."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.messaging.processor import BatchProcessor
from libs.messaging.publisher import Publisher
from libs.messaging.records import RawRecord, place_of
from libs.messaging.routes import RawSubscription
from libs.messaging.store import Store
from libs.messaging.work import Work
from libs.observability.metrics import Metrics

log = structlog.get_logger(__name__)


class RawProcessor(BatchProcessor[RawRecord]):
    """Applies the records of a raw subscription.

    A record that its handler fails on for good is logged and passed over: it stays on its topic, and no other topic
    takes it.
    """

    def __init__(
        self,
        service: str,
        subscription: RawSubscription,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(service, subscription.name, store, publisher, metrics, clock, sleep)
        self._subscription = subscription

    async def apply(self, records: Sequence[RawRecord]) -> None:
        if self._subscription.concerns is not None:
            records = await self._subscription.concerns(records)
            if not records:
                return
        began = time.perf_counter()
        for failed in await self._commit_or_halve(records):
            log.error("record_passed_over", place=place_of(failed.item), reason=repr(failed.error))
        self._metrics.batch(self._topic, len(records), time.perf_counter() - began)
        for topic, count in Counter(map(self._topic_of, records)).items():
            self._metrics.consumed(topic, "", count)

    def _key(self, item: RawRecord) -> str:
        return place_of(item)

    def _name(self, item: RawRecord) -> str:
        return place_of(item)

    async def _handle(self, items: Sequence[RawRecord], work: Work) -> None:
        if items:
            await self._subscription.handler(items, work)

    def _count_known(self, items: Sequence[RawRecord]) -> None:
        for topic, count in Counter(map(self._topic_of, items)).items():
            self._metrics.duplicates(topic, "", count)

    def _topic_of(self, record: RawRecord) -> str:
        """Its name in the contracts, without the namespace of a deployment; topics of a pattern share one name."""
        if self._subscription.pattern:
            return self._subscription.name
        return next((name for name in self._subscription.topics if record.topic.endswith(name)), record.topic)
