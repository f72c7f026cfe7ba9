"""The batch transaction, the heart of the consistency kernel: decode, one transaction, dead letters for what fails.

A transient failure is waited out, and the whole batch is tried again. A message that fails for good fails its batch:
the batch is halved until the message stands alone, and everything else of it commits. What the batch sends is
published afterwards, see `publication`.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

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

Batch = Sequence[Incoming[Any]]


class Processor:
    """Applies the records of one subscription.

    The offsets of a batch may be committed to Kafka after `apply` and then `publication.forget` have returned.
    """

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
        self.consumer = f"{service}:{subscription.topic.name}"
        self._source = f"/{service}"
        self._subscription = subscription
        self._topic = subscription.topic.name
        self._store = store
        self._publisher = publisher
        self._tracer = tracer
        self._metrics = metrics
        self._clock = clock
        on_retry = partial(metrics.transient_retry, self._topic)
        self._retry = replace(RETRY, facts={"topic": self._topic}, on_retry=on_retry, sleep=sleep)
        self._lock = lock or nullcontext()
        """Held while a transaction is open."""
        self.publication = Publication(self._topic, store, publisher, metrics, sleep)

    async def apply(self, records: Sequence[RawRecord]) -> None:
        """Return when every record is applied, a known duplicate, somebody else's, or in the dead letters.

        That takes as long as a backend is away: nothing is skipped. What the records' handlers send is committed by
        then, and published beside the next batch.
        """
        decoded = decode(records, self._subscription)
        dead, messages = decoded.unreadable, decoded.messages
        if messages:
            began = time.perf_counter()
            with self._tracer.batch(f"process {self._topic}", len(messages)):
                dead = dead + await self._commit_or_halve([self._traced(message) for message in messages])
            self._metrics.batch(self._topic, len(messages), time.perf_counter() - began)
            for type_, count in Counter(message.envelope.type for message in messages).items():
                self._metrics.consumed(self._topic, type_, count)
        if dead:
            await self._bury(dead)

    async def _commit_or_halve(self, messages: Batch) -> list[DeadLetter]:
        """Commit the batch; when it cannot be, halve it until the message that is to blame stands alone."""
        try:
            await self._commit(messages)
        except Exception as error:
            if len(messages) == 1:
                log.error("message_failed", topic=self._topic, id=messages[0].envelope.id, exc_info=error)
                attempts = CONFLICTS_ALLOWED if isinstance(error, Conflict) else 1
                return [DeadLetter.of(messages[0].record, error, attempts)]
            log.warning("batch_bisected", topic=self._topic, messages=len(messages), error=repr(error))
            middle = len(messages) // 2
            first = await self._commit_or_halve(messages[:middle])
            return first + await self._commit_or_halve(messages[middle:])
        return []

    async def _commit(self, messages: Batch) -> None:
        """Try until the batch is committed or cannot be; a transient failure gives nothing up.

        A try is made as if every message were new, which nearly always is so, and is the cheapest. A conflict may mean
        that it is not: then the inbox is asked which messages are known.
        """
        tries = 0

        async def attempt() -> None:
            nonlocal tries
            tries += 1
            async with self._lock:
                try:
                    await self._transaction(messages, extras=tries == 1, all_new=True)
                except Conflict:
                    await self._transaction(messages, extras=tries == 1, all_new=False)

        await self._retry.call(attempt)

    async def _transaction(self, messages: Batch, *, extras: bool, all_new: bool) -> None:
        """One transaction over the batch, and then the publication of what it sends.

        Raises:
            Conflict: a message is known already, if `all_new`; or another transaction was first.
        """
        by_key: dict[str, Incoming[Any]] = {}
        for message in messages:
            by_key.setdefault(f"{self.consumer}|{message.site}|{message.envelope.identity}", message)
        work: Work | None = None
        try:
            async with self._store.transaction() as transaction:
                seen = set() if all_new else await transaction.seen(by_key.keys())
                now = self._clock()
                await transaction.mark(by_key.keys() - seen, now)
                fresh = [message for key, message in by_key.items() if key not in seen]
                work = Work(transaction, self._source, now, extras=extras)
                for handler, run in self._subscription.runs(fresh):
                    await handler(run, work)
                entries = entries_for(work.outgoing, self.consumer, now)
                await transaction.put(entries)
        except Exception as error:
            if isinstance(error, Transient) or work is None or not work.has_extras:
                raise
            log.exception("tried_again_without_extras", topic=self._topic, messages=len(messages))
            raise Transient(f"the transaction failed with its extras: {error!r}") from error
        for type_, count in Counter(message.envelope.type for key, message in by_key.items() if key in seen).items():
            self._metrics.duplicates(self._topic, type_, count)
        if seen:
            # Known messages come again after a crash between commit and publication: whatever that crash left
            # behind goes out first, in its order, and what was just written after it.
            await self.publication.catch_up(self.consumer, work.sent)
        else:
            await self.publication.begin(entries, work.sent)

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
