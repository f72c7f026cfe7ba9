"""The processors of subscriptions: messages, decoded and with dead letters for what fails, and raw records."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.messaging.batches import BatchProcessor
from libs.messaging.dead_letters import DeadLetter
from libs.messaging.decode import decode
from libs.messaging.publisher import Publisher
from libs.messaging.records import Incoming, RawRecord, place_of
from libs.messaging.routes import RawSubscription, Subscription
from libs.messaging.store import Store
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer

log = structlog.get_logger(__name__)


class Processor(BatchProcessor[Incoming[Any]]):
    """Applies the messages of one subscription; what cannot be read or applied goes to the topic's dead letters."""

    def __init__(
        self,
        service: str,
        subscription: Subscription,
        store: Store,
        publisher: Publisher,
        tracer: Tracer,
        metrics: Metrics,
        clock: Clock = utc_now,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        lock: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        super().__init__(service, subscription.name, store, publisher, metrics, clock, sleep, lock)
        self._subscription = subscription
        self._publisher = publisher
        self._tracer = tracer

    async def apply(self, records: Sequence[RawRecord]) -> None:
        decoded = decode(records, self._subscription)
        dead, messages = decoded.unreadable, decoded.messages
        if messages:
            began = time.perf_counter()
            with self._tracer.batch(f"process {self._topic}", len(messages)):
                failed = await self._commit_or_halve([self._traced(message) for message in messages])
            dead = dead + [DeadLetter.of(each.item.record, each.error, each.attempts) for each in failed]
            self._metrics.batch(self._topic, len(messages), time.perf_counter() - began)
            for type_, count in Counter(message.envelope.type for message in messages).items():
                self._metrics.consumed(self._topic, type_, count)
        if dead:
            await self._bury(dead)

    def _key(self, item: Incoming[Any]) -> str:
        return f"{item.site}|{item.envelope.identity}"

    def _name(self, item: Incoming[Any]) -> str:
        return item.envelope.id

    async def _handle(self, items: Sequence[Incoming[Any]], work: Work) -> None:
        for handler, run in self._subscription.runs(items):
            await handler(run, work)

    def _count_known(self, items: Sequence[Incoming[Any]]) -> None:
        for type_, count in Counter(message.envelope.type for message in items).items():
            self._metrics.duplicates(self._topic, type_, count)

    def _traced(self, message: Incoming[Any]) -> Incoming[Any]:
        """The message with the span of its processing in place of its sender's."""
        envelope = message.envelope
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": self._topic,
            "messaging.message.id": envelope.id,
            "factory.site": envelope.site,
            "factory.subject": envelope.subject,
        }
        return message.traced(self._tracer.message(f"process {envelope.type}", envelope.traceparent, attributes))

    async def _bury(self, dead: Sequence[DeadLetter]) -> None:
        """Publish dead letters, each with its reason in the log and in the metrics."""
        now = self._clock()
        for letter in dead:
            log.warning(
                "dead_letter",
                topic=self._topic,
                partition=letter.record.partition,
                offset=letter.record.offset,
                reason=letter.reason,
            )
        await self._publisher.publish([letter.as_record(self._topic, self.consumer, now) for letter in dead])
        for reason, count in Counter(letter.error for letter in dead).items():
            self._metrics.dead_lettered(self._topic, "", reason, count)


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
        began = time.perf_counter()
        for failed in await self._commit_or_halve(records):
            log.error("record_passed_over", place=place_of(failed.item), reason=repr(failed.error))
        self._metrics.batch(self._topic, len(records), time.perf_counter() - began)
        for topic, count in Counter(record.topic for record in records).items():
            self._metrics.consumed(topic, "", count)

    def _key(self, item: RawRecord) -> str:
        return place_of(item)

    def _name(self, item: RawRecord) -> str:
        return place_of(item)

    async def _handle(self, items: Sequence[RawRecord], work: Work) -> None:
        if items:
            await self._subscription.handler(items, work)

    def _count_known(self, items: Sequence[RawRecord]) -> None:
        for topic, count in Counter(record.topic for record in items).items():
            self._metrics.duplicates(topic, "", count)
