"""One batch, one transaction: the heart of the consistency kernel, free of Kafka and of MongoDB."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Busy, Conflict, Transient
from libs.messaging.dead_letters import DeadLetter
from libs.messaging.decode import decode
from libs.messaging.outbox import Outbox, entries_for
from libs.messaging.publisher import Publisher
from libs.messaging.records import Incoming, RawRecord
from libs.messaging.routes import Subscription
from libs.messaging.store import OutboxEntry, Store
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer

log = structlog.get_logger(__name__)

CONFLICTS_ALLOWED = 8
"""Tries at a batch that meets documents written by others; after that the cause is not a race."""

SHORTEST_WAIT, LONGEST_WAIT = 0.02, 5.0
"""Seconds between tries while a backend is away; doubled each time, with jitter."""

LONGEST_BUSY = 0.1
"""Seconds, at most, until the next try where only another transaction was in the way."""

Batch = Sequence[Incoming[Any]]


class Processor:
    """Applies the records of one subscription; what it has returned from may be committed to Kafka."""

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
        self._outbox = Outbox(store, publisher)
        self._departing: asyncio.Task[None] | None = None
        """The publishing of what the last batch has committed."""
        self._published: list[str] = []
        """Outbox entries that are still to be deleted."""
        self._tracer = tracer
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._lock = lock or nullcontext()
        """Held while a transaction is open."""

    async def handle(self, records: Sequence[RawRecord]) -> None:
        """`apply`, and tidy up, however long that takes."""
        await self.apply(records)
        await self._departed()
        while self._published:
            try:
                await self.forget_published()
            except Transient:
                await self._sleep(SHORTEST_WAIT)

    async def _departed(self) -> None:
        """Wait until everything that `apply` has committed is published."""
        if self._departing is not None:
            await self._departing

    async def _depart(self, entries: Sequence[OutboxEntry], sent: Counter[tuple[str, str]]) -> None:
        while True:
            try:
                await self._outbox.publish(entries)
            except Exception:  # a defect of ours; then standing still keeps the order, and the outbox what it is about
                log.exception("not_published", topic=self._topic, wait_seconds=LONGEST_WAIT)
                await self._sleep(LONGEST_WAIT)
            else:
                self._published += [entry.id for entry in entries]
                self._count(sent)
                return

    async def forget_published(self) -> None:
        """Delete the outbox documents of what `apply` has committed, once it is published; what is left of them the
        relay deletes."""
        await self._departed()
        published, self._published = self._published, []
        try:
            await self._outbox.forget(published)
        except Transient:
            self._published = published + self._published
            raise

    async def apply(self, records: Sequence[RawRecord]) -> None:
        """Every record is applied, a known duplicate, somebody else's, or in the dead letters: nothing is lost.

        Comes back only then, however long a backend is away. What follows from the records is committed as well, and
        published beside the next batch, before what follows from that; the caller commits the offsets when it is:
        after `forget_published`.
        """
        decoded = decode(records, self._subscription)
        dead = decoded.unreadable
        messages = decoded.messages
        if messages:
            began = time.perf_counter()
            with self._tracer.batch(f"process {self._topic}", len(messages)):
                traced = [self._traced(message) for message in messages]
                dead = dead + await self._apply(traced)
            self._metrics.batch(self._topic, len(messages), time.perf_counter() - began)
            for type_, count in Counter(message.envelope.type for message in messages).items():
                self._metrics.consumed(self._topic, type_, count)
        if dead:
            await self._bury(dead)

    def _traced(self, message: Incoming[Any]) -> Incoming[Any]:
        envelope = message.envelope
        return message.traced(
            self._tracer.message(
                f"process {envelope.type}",
                envelope.traceparent,
                {
                    "messaging.system": "kafka",
                    "messaging.destination.name": self._topic,
                    "messaging.message.id": envelope.id,
                    "factory.site": envelope.site,
                    "factory.subject": envelope.subject,
                },
            )
        )

    async def _apply(self, messages: Batch) -> list[DeadLetter]:
        """Commit the batch; when it cannot be, halve it until the message that is to blame stands alone."""
        try:
            await self._persist(messages)
        except Exception as error:
            if len(messages) == 1:
                log.error("message_failed", topic=self._topic, id=messages[0].envelope.id, exc_info=error)
                return [DeadLetter.of(messages[0].record, error, attempts=getattr(error, "attempts", 1))]
            log.warning("batch_bisected", topic=self._topic, messages=len(messages), error=repr(error))
            middle = len(messages) // 2
            first = await self._apply(messages[:middle])
            return first + await self._apply(messages[middle:])
        return []

    async def _persist(self, messages: Batch) -> None:
        """Try until it works or cannot work; a transient failure skips nothing and gives nothing up."""
        wait, conflicts, again = SHORTEST_WAIT, 0, False
        while True:
            try:
                async with self._lock:
                    await self._once(messages, again)
            except Transient as error:
                if isinstance(error, Conflict):
                    conflicts += 1
                    if conflicts >= CONFLICTS_ALLOWED:
                        error.attempts = conflicts  # type: ignore[attr-defined]
                        raise
                again = True
                self._metrics.transient_retry(self._topic, error)
                if wait > 1:
                    log.warning("batch_retried", topic=self._topic, error=str(error), wait_seconds=wait)
                await self._sleep(wait * random.uniform(0.5, 1.0))
                wait = min(wait * 2, LONGEST_BUSY if isinstance(error, Busy) else LONGEST_WAIT)
            else:
                return

    async def _once(self, messages: Batch, again: bool) -> None:
        """As if all of it were new, which it nearly always is; else with a look at what is known."""
        try:
            await self._commit(messages, again, all_new=True)
        except Conflict:
            await self._commit(messages, again, all_new=False)

    async def _commit(self, messages: Batch, again: bool, *, all_new: bool) -> None:
        """One transaction.

        Raises:
            Conflict: something of it is known, if `all_new`; or another transaction was first.
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
                fresh = {key: message for key, message in by_key.items() if key not in seen}
                work = Work(transaction, self._source, now, again=again)
                for handler, run in self._subscription.runs(list(fresh.values())):
                    await handler(run, work)
                entries = entries_for(work.outgoing, self.consumer, work.now)
                await transaction.put(entries)
        except Transient:
            raise
        except Exception as error:
            if work is None or not work.more_than_needed:
                raise
            log.exception("tried_again_with_less", topic=self._topic, messages=len(messages))
            raise Transient(f"more was done than these messages need, and failed: {error!r}") from error
        for type_, count in Counter(message.envelope.type for key, message in by_key.items() if key in seen).items():
            self._metrics.duplicates(self._topic, type_, count)
        if seen:
            # Known messages come again after a crash between commit and publication: whatever that crash left
            # behind goes out first, in its order, and what was just written after it.
            await self.forget_published()
            await self._outbox.drain(self.consumer)
            self._count(work.sent)
        else:
            await self._departed()
            if entries:
                self._departing = asyncio.create_task(self._depart(entries, work.sent))

    def _count(self, sent: Counter[tuple[str, str]]) -> None:
        for (topic, type_), count in sent.items():
            self._metrics.published(topic, type_, count)

    async def _bury(self, dead: Sequence[DeadLetter]) -> None:
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
