"""Reading every partition of some topics.

There is no consumer group: a gateway or an ERP has to see every record that may concern it, and what it has done with
them it knows itself.
"""

import asyncio
import logging
from collections.abc import Collection
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from libs.devkit.simulators.kafka import RETRY_SECONDS, Topics, closed, started
from libs.kafka.internals import rest_when_idle

log = logging.getLogger(__name__)


class Reader:
    """Reads all partitions of its topics, from the beginning or from the moment each topic was added."""

    def __init__(self, kafka: str, start: Literal["beginning", "end"]) -> None:
        self._kafka = kafka
        self._start = start
        self._topics = Topics(kafka)
        self._consumer: Any = None
        self._ends: dict[TopicPartition, int] = {}
        self.topics: set[str] = set()
        self.caught_up = True
        """Everything has been read that was there when its topic was added."""

    async def start(self, timeout: float = 30.0) -> None:
        await self._topics.start(timeout)
        self._consumer = await started(
            lambda: AIOKafkaConsumer(
                bootstrap_servers=self._kafka,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=100,
                metadata_max_age_ms=10_000,
            ),
            self._kafka,
            timeout,
        )
        rest_when_idle(self._consumer)

    async def add(self, names: Collection[str]) -> set[str]:
        """Read these too; gives those that exist and are new. What is being read goes on where it is."""
        found = await self._topics.partitions(set(names) - self.topics)
        if not found:
            return set()
        new = [partition for partitions in found.values() for partition in partitions]
        known = [(partition, await self._consumer.position(partition)) for partition in self._consumer.assignment()]
        ends = await self._consumer.end_offsets(new)
        starts = ends if self._start == "end" else await self._consumer.beginning_offsets(new)
        self._consumer.assign([*(partition for partition, _ in known), *new])
        for partition, offset in [*known, *starts.items()]:
            self._consumer.seek(partition, offset)
        self._ends |= ends
        self.topics |= set(found)
        await self._look()
        return set(found)

    def is_past(self, record: ConsumerRecord) -> bool:
        """Was the record there when its topic was added?"""
        return bool(record.offset < self._ends[TopicPartition(record.topic, record.partition)])

    async def _look(self) -> None:
        positions = [(await self._consumer.position(partition), end) for partition, end in self._ends.items()]
        self.caught_up = all(position >= end for position, end in positions)

    async def read(self, timeout: float, at_most: int = 2_000) -> list[ConsumerRecord]:
        """What has arrived, or an empty list after `timeout` seconds; waits a while when the broker is away."""
        if not self.topics:
            await asyncio.sleep(timeout)
            return []
        try:
            batches = await self._consumer.getmany(timeout_ms=int(timeout * 1000), max_records=at_most)
        except KafkaError as error:
            log.warning("reading failed, trying again: %r", error)
            await asyncio.sleep(RETRY_SECONDS)
            return []
        if not self.caught_up:
            await self._look()
        return [record for records in batches.values() for record in records]

    async def stop(self) -> None:
        if self._consumer is not None:
            await closed(self._consumer)
        await self._topics.stop()
