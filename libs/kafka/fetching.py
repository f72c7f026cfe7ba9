"""The Kafka client of every consumer: no record can stop it, no fetch is made too early, no stop takes too long."""

import asyncio
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError

from libs.kafka.internals import (
    ask_for_topics,
    disconnect,
    end_fetching,
    fetch_together,
    fetch_when_wanted,
    rest_when_idle,
)
from libs.messaging.records import Illegible

log = structlog.get_logger(__name__)

WAIT_MS = 500
"""Milliseconds that a fetch waits for the first record, at least, so that an idle consumer costs next to nothing."""

LEAVE_SECONDS = 4.0
"""Seconds that a stop waits for a rebalance that began before it, and once more after its connection is closed."""

NEW_TOPICS_MS = 2000
"""Milliseconds after which a consumer of a pattern of topics asks the broker anew which topics there are."""

REFETCH_MS = 1000
"""Milliseconds to wait for records that have to be fetched again."""


class CarefulConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer, with `Illegible` in place of a record that it cannot read.

    The original raises an error on such a record, from every fetch anew, and gives nothing of any partition.
    """

    _listener: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._wanted = asyncio.Event()

    def subscribe(self, topics: Any = (), pattern: str | None = None, listener: Any = None) -> None:
        self._listener = listener
        if pattern:
            ask_for_topics(self, every_ms=NEW_TOPICS_MS)
        super().subscribe(topics=topics, pattern=pattern, listener=listener)

    async def start(self) -> None:
        await super().start()
        fetch_together(self)
        rest_when_idle(self)
        fetch_when_wanted(self, self._wanted)

    async def stop(self) -> None:
        """Leave the group, after the offsets of the last batch are committed, as before a rebalance."""
        try:
            if (tidied := getattr(self._listener, "tidied", None)) is not None:
                await tidied()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Leave the group, also when the broker does not answer.

        A broker that gathers the members of a group for a rebalance answers none of them until all have come. When that
        takes too long, the connection is closed; the client then leaves by another. A broker that does not answer that
        either notices at the end of the session.
        """
        leaving = asyncio.create_task(super().stop())
        if not (await asyncio.wait({leaving}, timeout=LEAVE_SECONDS))[0]:
            log.warning("left_in_a_rebalance", topics=sorted(self.subscription()), waited_seconds=LEAVE_SECONDS)
            await disconnect(self)
            await asyncio.wait({leaving}, timeout=LEAVE_SECONDS)
        if leaving.done():
            await leaving
            return
        leaving.cancel()
        await end_fetching(self)
        await disconnect(self)
        await asyncio.gather(leaving, return_exceptions=True)

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None) -> Any:
        """Records, as soon as there are any. The wait is longer than FastStream asks for, which sleeps after it."""
        wait = max(timeout_ms, WAIT_MS)
        self._wanted.set()
        try:
            if found := await super().getmany(*partitions, timeout_ms=wait, max_records=max_records):
                self._wanted.clear()
            return found
        except KafkaError as error:
            log.error("fetch_failed", error=repr(error))
            raise
        except ConsumerStoppedError:
            raise
        except Exception:
            return await self._up_to_the_culprit(partitions or tuple(self.assignment()), max_records or 500)

    async def _up_to_the_culprit(
        self, partitions: tuple[TopicPartition, ...], at_most: int
    ) -> dict[TopicPartition, list[Any]]:
        """Read record by record, so that the position of an illegible one is known, and go on after it."""
        found: dict[TopicPartition, list[Any]] = {}
        for partition in partitions:
            records = found.setdefault(partition, [])
            while len(records) < at_most and await self.position(partition) < (self.highwater(partition) or 0):
                try:
                    one = await super().getmany(partition, timeout_ms=REFETCH_MS, max_records=1)
                except (KafkaError, ConsumerStoppedError):
                    raise
                except Exception as error:
                    offset = await self.position(partition)
                    log.error("record_illegible", topic=partition.topic, offset=offset, error=repr(error))
                    self.seek(partition, offset + 1)
                    records.append(Illegible(partition.topic, partition.partition, offset, error))
                    return found
                if not one:
                    break
                records += one[partition]
        return found
