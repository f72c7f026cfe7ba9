"""The batch transaction, the heart of the consistency kernel: one transaction over a batch, and what fails apart.

A transient failure is waited out, and the whole batch is tried again. An item that fails for good fails its batch: the
batch is halved until the item stands alone, and everything else of it commits. What the batch sends is published
afterwards, see `publication`. The items are messages here, decoded and with dead letters for what fails; `raw` has the
processor of records as they are.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Busy, Conflict, Transient
from libs.messaging.dead_letters import DeadLetter
from libs.messaging.decode import decode
from libs.messaging.outbox import entries_for
from libs.messaging.publication import Publication
from libs.messaging.publisher import Publisher
from libs.messaging.records import Incoming, RawRecord
from libs.messaging.routes import Subscription
from libs.messaging.store import Store
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from libs.resilience.retry import Limit, Retry

log = structlog.get_logger(__name__)

T = TypeVar("T")

CONFLICTS_ALLOWED = 8
"""Tries at a batch that meets documents written by others; after that the cause is not a race."""

RETRY = Retry(
    on=(Transient,),
    first_seconds=0.02,
    limits={Busy: Limit(max_seconds=0.1), Conflict: Limit(attempts=CONFLICTS_ALLOWED)},
    event="batch_retried",
    quiet_seconds=1.0,
)
"""A backend that is away is asked every 5 s at most; another transaction in the way is over within milliseconds."""


@dataclass(frozen=True, slots=True)
class Failed(Generic[T]):
    """An item that cannot take effect as it stands, why, and after how many attempts."""

    item: T
    error: Exception
    attempts: int


class BatchProcessor(ABC, Generic[T]):
    """Applies the records of one subscription. A subclass says what the items of a batch are, and handles them.

    The offsets of a batch may be committed to Kafka after `apply` and then `publication.forget` have returned.
    """

    def __init__(
        self,
        service: str,
        topic: str,
        store: Store,
        publisher: Publisher,
        metrics: Metrics,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        lock: AbstractAsyncContextManager[Any] | None = None,
    ) -> None:
        self.consumer = f"{service}:{topic}"
        self._source = f"/{service}"
        self._topic = topic
        self._store = store
        self._metrics = metrics
        self._clock = clock
        on_retry = partial(metrics.transient_retry, topic)
        self._retry = replace(RETRY, facts={"topic": topic}, on_retry=on_retry, sleep=sleep)
        self._lock = lock or nullcontext()
        """Held while a transaction is open."""
        self.publication = Publication(topic, store, publisher, metrics, sleep)

    @abstractmethod
    async def apply(self, records: Sequence[RawRecord]) -> None:
        """Return when every record is applied, a known duplicate, somebody else's, or given up with its reason.

        That takes as long as a backend is away: nothing is skipped. What the records' handlers send is committed by
        then, and published beside the next batch.
        """

    @abstractmethod
    def _key(self, item: T) -> str:
        """The inbox key of an item, without its consumer: equal for the same item only."""

    @abstractmethod
    def _name(self, item: T) -> str:
        """The item in the log."""

    @abstractmethod
    async def _handle(self, items: Sequence[T], work: Work) -> None:
        """Call the handlers of items that are not known yet, in their order."""

    @abstractmethod
    def _count_known(self, items: Sequence[T]) -> None:
        """Count items that are known already."""

    async def _commit_or_halve(self, items: Sequence[T]) -> list[Failed[T]]:
        """Commit the batch; when it cannot be, halve it until the item that is to blame stands alone."""
        try:
            await self._commit(items)
        except Exception as error:
            if len(items) == 1:
                log.error("message_failed", topic=self._topic, id=self._name(items[0]), exc_info=error)
                return [Failed(items[0], error, CONFLICTS_ALLOWED if isinstance(error, Conflict) else 1)]
            log.warning("batch_bisected", topic=self._topic, messages=len(items), error=repr(error))
            middle = len(items) // 2
            first = await self._commit_or_halve(items[:middle])
            return first + await self._commit_or_halve(items[middle:])
        return []

    async def _commit(self, items: Sequence[T]) -> None:
        """Try until the batch is committed or cannot be; a transient failure gives nothing up.

        A try is made as if every item were new, which nearly always is so, and is the cheapest. A conflict may mean
        that it is not: then the inbox is asked which items are known.
        """
        tries = 0

        async def attempt() -> None:
            nonlocal tries
            tries += 1
            async with self._lock:
                try:
                    await self._transaction(items, extras=tries == 1, all_new=True)
                except Conflict:
                    await self._transaction(items, extras=tries == 1, all_new=False)

        await self._retry.call(attempt)

    async def _transaction(self, items: Sequence[T], *, extras: bool, all_new: bool) -> None:
        """One transaction over the batch, and then the publication of what it sends.

        Raises:
            Conflict: an item is known already, if `all_new`; or another transaction was first.
        """
        by_key: dict[str, T] = {}
        for item in items:
            by_key.setdefault(f"{self.consumer}|{self._key(item)}", item)
        work: Work | None = None
        try:
            async with self._store.transaction() as transaction:
                seen = set() if all_new else await transaction.seen(by_key.keys())
                now = self._clock()
                await transaction.mark(by_key.keys() - seen, now)
                work = Work(transaction, self._source, now, extras=extras)
                await self._handle([item for key, item in by_key.items() if key not in seen], work)
                entries = entries_for(work.outgoing, self.consumer, now)
                await transaction.put(entries)
        except Exception as error:
            if isinstance(error, Transient) or work is None or not work.has_extras:
                raise
            log.exception("tried_again_without_extras", topic=self._topic, messages=len(items))
            raise Transient(f"the transaction failed with its extras: {error!r}") from error
        self._count_known([item for key, item in by_key.items() if key in seen])
        if seen:
            # Known items come again after a crash between commit and publication: whatever that crash left behind goes
            # out first, in its order, and what was just written after it.
            await self.publication.catch_up(self.consumer, work.sent)
        else:
            await self.publication.begin(entries, work.sent)


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
