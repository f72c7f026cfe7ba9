"""The consumer of one subscription: FastStream hands batches over, the kernel applies them, offsets are committed."""

import re
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.partitioner import DefaultPartitioner
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.message import StreamMessage

from libs.kafka.assignment import Assignment, Tidying
from libs.kernel.settings import Settings
from libs.messaging.processor import BatchProcessor
from libs.messaging.records import RawRecord
from libs.messaging.routes import RawSubscription, Subscription
from libs.resilience.retry import standing_still

log = structlog.get_logger(__name__)

SESSION_MS = 15_000
"""Milliseconds without a heartbeat after which the broker takes an instance for dead."""

REBALANCE_MS = 30_000
"""Milliseconds that a rebalance waits for the batches in hand. A consumer that takes longer joins again, and the inbox
recognises its batch when the next owner of the partition reads it."""

POLL_MS = 10
"""Milliseconds that FastStream sleeps after an empty fetch; `CarefulConsumer` has waited for records before that."""

_choose = DefaultPartitioner()
"""The partition of a key, as the producers of all services choose it."""


class Consumer:
    """Reads the topics of one subscription, and commits an offset when what its record has caused is published.

    An exception never reaches FastStream, which would go on with the next batch, whose commit passes over this one.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        subscription: Subscription | RawSubscription,
        processor: BatchProcessor[Any],
        prefix: str,
        settings: Settings,
    ) -> None:
        self.topic = subscription.name
        """The topic that it reads, or what its several topics are called together."""
        self._prefix = prefix
        self._name = prefix + self.topic
        self._tidying = Tidying(self._tidy)
        self.assignment = Assignment(self._tidying)
        self._processor = processor
        self._done: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._subscriber = broker.subscriber(
            *(prefix + topic for topic in subscription.topics),
            **_pattern(subscription, prefix),
            group_id=prefix + processor.consumer,
            batch=True,
            max_records=subscription.batch_size or settings.batch_size,
            batch_timeout_ms=POLL_MS,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            ack_policy=AckPolicy.MANUAL,
            listener=self.assignment,
            parser=_untouched,
            decoder=_raw,
            session_timeout_ms=SESSION_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            group_instance_id=settings.instance or None,
            heartbeat_interval_ms=3_000,
        )
        self._subscriber(self._on_batch)

    @property
    def kafka(self) -> AIOKafkaConsumer | None:
        return self._subscriber.consumer

    def owns(self, key: str) -> bool:
        """Whether what is sent under the key comes here, as far as this process knows."""
        consumer = self.kafka
        partitions = consumer.partitions_for_topic(self._name) if consumer and self.assignment.joined else None
        if consumer is None or not partitions:
            return False
        number = _choose(key.encode(), sorted(partitions), [])
        return TopicPartition(self._name, number) in consumer.assignment()

    async def _on_batch(self, records: Any) -> None:
        async with self.assignment.idle:
            batch: Sequence[RawRecord] = records
            facts = {"topic": self.topic, "records": len(batch)}
            await standing_still(lambda: self._processor.apply(batch), "batch_failed", facts)
            self._note(batch)
            self._tidying.due()  # The next batch need not wait for that.

    async def _tidy(self) -> None:
        """Delete from the outbox what is published, and only then commit the offsets of its causes.

        After a crash in between, the same records come again, and the processor catches up with the publication before
        anything newer is published.
        """
        offsets, self._uncommitted = self._uncommitted, {}
        try:
            await self._processor.publication.forget()
        except Exception as error:
            log.warning("outbox_not_tidied", topic=self.topic, error=repr(error))
        await self._commit(offsets)

    def _note(self, records: Sequence[RawRecord]) -> None:
        """Remember the next offset of every partition in the batch, to be committed."""
        next_offsets: dict[TopicPartition, int] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            next_offsets[partition] = max(next_offsets.get(partition, 0), record.offset + 1)
        self._done |= next_offsets
        self._uncommitted |= next_offsets

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Commit offsets; when the partitions have moved meanwhile, the inbox recognises what comes again."""
        if self.kafka is None or not offsets:
            return
        try:
            await self.kafka.commit(offsets)
        except (KafkaError, ConsumerStoppedError) as error:
            log.warning("offsets_not_committed", topic=self.topic, error=repr(error))

    async def lag(self) -> dict[tuple[str, int], int]:
        """The records between the last one that was applied and the end at the last fetch, by topic and partition.

        The consumer's position counts as well: the marks that end transactions, and the records of aborted ones, take
        offsets too and are never handed out.
        """
        consumer = self.kafka
        if consumer is None:
            return {}
        behind: dict[tuple[str, int], int] = {}
        for partition in self._done.keys() & consumer.assignment():
            position = 0 if self.assignment.idle.locked() else await consumer.position(partition)
            end = consumer.highwater(partition) or 0
            topic = partition.topic.removeprefix(self._prefix)
            behind[topic, partition.partition] = max(0, end - max(self._done[partition], position))
        return behind


def _pattern(subscription: Subscription | RawSubscription, prefix: str) -> dict[str, Any]:
    """What a subscriber to a pattern of topics is told beside the rest."""
    pattern = subscription.pattern if isinstance(subscription, RawSubscription) else None
    if pattern is None:
        return {}
    return {"pattern": f"^{re.escape(prefix)}(?:{pattern})$"}


async def _untouched(raw: Any) -> StreamMessage[Any]:
    return StreamMessage(raw_message=raw, body=raw)


async def _raw(message: StreamMessage[Any]) -> Any:
    return message.raw_message
