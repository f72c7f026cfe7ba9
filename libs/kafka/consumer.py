"""One subscription on the broker: FastStream hands raw batches over, the kernel applies them, offsets follow."""

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
from libs.messaging.processor import Processor
from libs.messaging.records import RawRecord
from libs.messaging.routes import Subscription
from libs.resilience.retry import standing_still

log = structlog.get_logger(__name__)

SESSION_MS = 15_000
"""After how long without a heartbeat an instance is taken for dead."""

REBALANCE_MS = 30_000
"""How long a rebalance waits for the batches in hand; who takes longer joins again, and the inbox knows its batch."""

POLL_MS = 10
"""How long FastStream sleeps after an empty fetch, which a fetch of ours seldom is."""

_choose = DefaultPartitioner()
"""Partitions of keys, as every producer of ours chooses them."""


class Consumer:
    """One subscription on the broker."""

    def __init__(
        self, broker: KafkaBroker, subscription: Subscription, processor: Processor, prefix: str, settings: Settings
    ) -> None:
        self.topic = subscription.topic.name
        self._name = prefix + self.topic
        self._tidying = Tidying(self._tidy)
        self.assignment = Assignment(self._tidying)
        self._processor = processor
        self._done: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._subscriber = broker.subscriber(
            self._name,
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
            await self._applied(batch)
            self._note(batch)
            # The next batch need not wait until this one is tidied up.
            self._tidying.due()

    async def _tidy(self) -> None:
        """What is published is forgotten, and only then its offsets are committed; a crash before leaves known
        duplicates, on which what was not published goes out ahead of anything newer."""
        offsets, self._uncommitted = self._uncommitted, {}
        await self._forgotten()
        await self._commit(offsets)

    async def _forgotten(self) -> None:
        try:
            await self._processor.publication.forget()
        except Exception as error:
            log.warning("outbox_not_tidied", topic=self.topic, error=repr(error))

    async def _applied(self, batch: Sequence[RawRecord]) -> None:
        """The processor lets no error out but by a defect of its own. Such an error must not reach FastStream, which
        would go on with the next batch, whose commit passes over this one."""
        facts = {"topic": self.topic, "records": len(batch)}
        await standing_still(lambda: self._processor.apply(batch), "batch_failed", facts)

    def _note(self, records: Sequence[RawRecord]) -> None:
        """The next offset of every partition in the batch is to be committed."""
        next_offsets: dict[TopicPartition, int] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            next_offsets[partition] = max(next_offsets.get(partition, 0), record.offset + 1)
        self._done |= next_offsets
        self._uncommitted |= next_offsets

    async def _commit(self, offsets: dict[TopicPartition, int]) -> None:
        """When the partitions moved meanwhile, the inbox knows what comes again."""
        if self.kafka is None or not offsets:
            return
        try:
            await self.kafka.commit(offsets)
        except (KafkaError, ConsumerStoppedError) as error:
            log.warning("offsets_not_committed", topic=self.topic, error=repr(error))

    async def lag(self) -> dict[int, int]:
        """Records between what is handled and the end, by partition, as of the last fetch.

        The marks that end transactions, and records of aborted ones, take offsets too and are never handed out.
        """
        consumer = self.kafka
        if consumer is None:
            return {}
        behind: dict[int, int] = {}
        for partition in self._done.keys() & consumer.assignment():
            position = 0 if self.assignment.idle.locked() else await consumer.position(partition)
            end = consumer.highwater(partition) or 0
            behind[partition.partition] = max(0, end - max(self._done[partition], position))
        return behind


async def _untouched(raw: Any) -> StreamMessage[Any]:
    return StreamMessage(raw_message=raw, body=raw)


async def _raw(message: StreamMessage[Any]) -> Any:
    return message.raw_message
