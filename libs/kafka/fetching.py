"""Fetching that no record can stop: what the client itself cannot read is stepped over, and told."""

import asyncio
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError

from libs.kafka.internals import disconnect, end_fetching, fetch_together, fetch_when_wanted, rest_when_idle
from libs.messaging.records import Illegible

log = structlog.get_logger(__name__)

WAIT_MS = 500
"""How long a fetch waits for the first record at least: an idle consumer costs next to nothing."""

LEAVE_SECONDS = 4.0
"""How long a stop waits for the answer to a rebalance that has begun before it, and again until it is let go."""

REFETCH_MS = 1000
"""How long to wait for records that have to be fetched again."""


class CarefulConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """aiokafka's consumer raises on such a record, from every fetch anew, and gives nothing of any partition."""

    _listener: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._wanted = asyncio.Event()

    def subscribe(self, topics: Any = (), pattern: str | None = None, listener: Any = None) -> None:
        self._listener = listener
        super().subscribe(topics=topics, pattern=pattern, listener=listener)

    async def start(self) -> None:
        await super().start()
        fetch_together(self)
        rest_when_idle(self)
        fetch_when_wanted(self, self._wanted)

    async def stop(self) -> None:
        """With the offsets of the last batch committed, as before a rebalance."""
        try:
            if (tidied := getattr(self._listener, "tidied", None)) is not None:
                await tidied()
        finally:
            await self._leave()

    async def _leave(self) -> None:
        """Leave the group; but a broker that is gathering its members for a rebalance answers none of them until all
        have come, and a stop waits for that only so long. Without its connection the client waits no longer, and
        leaves by another; a broker that does not answer that either finds out by the session's end."""
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
        """As soon as there is something; and it waits longer than it is told, since whoever asks sleeps afterwards."""
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
        """Record by record, so that the position of the one that cannot be read is known, and can be left behind."""
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
