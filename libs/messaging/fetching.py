"""Fetching that no record can stop: what the client itself cannot read is stepped over, and told."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError

from libs.contracts.envelope import Headers

log = structlog.get_logger(__name__)

WAIT_MS = 500
"""How long a fetch waits for the first record at least: an idle consumer costs next to nothing."""

SHORTEST_REST, LONGEST_REST = 0.002, 0.05
"""Seconds until the next fetch where the broker does not wait, doubled as long as nothing comes."""

HANDED_OUT_WITHIN = 30.0
"""Seconds that what is fetched of one partition may lie before others are fetched apart from it."""

LEAVE_SECONDS = 4.0
"""How long a stop waits for the answer to a rebalance that has begun before it, and again until it is let go."""

REFETCH_MS = 1000
"""How long to wait for records that have to be fetched again."""


def fetch_when_wanted(consumer: AIOKafkaConsumer, wanted: asyncio.Event) -> None:
    """For a started consumer: fetches only while somebody waits for records.

    The client fetches ahead, once, as soon as it has handed out what it had. What comes while that is worked on, mostly
    after that fetch, would not be in the next batch but in the one after it.
    """
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def fetch_in_time(*request: Any) -> bool:
        try:
            await wanted.wait()
        except asyncio.CancelledError:  # as the client's own fetches end when it is closed
            return False
        found: bool = await fetch(*request)
        return found

    fetcher._proc_fetch_request = fetch_in_time


def rest_when_idle(consumer: AIOKafkaConsumer) -> None:
    """For a started consumer: what was fetched in vain is not fetched again at once.

    Apache Kafka holds a fetch back until there is something, for as long as it is asked to. A broker that does not
    (the embedded one) would keep every waiting consumer, and itself, busy with nothing.
    """
    fetcher = consumer._fetcher
    fetch, held_back = fetcher._proc_fetch_request, fetcher._fetch_max_wait_ms / 1000
    rest = 0.0

    async def rested(*request: Any) -> bool:
        nonlocal rest
        began = time.monotonic()
        found: bool = await fetch(*request)
        if found or time.monotonic() - began > held_back / 2:
            rest = 0.0
        else:
            rest = min(max(2 * rest, SHORTEST_REST), LONGEST_REST)
            with contextlib.suppress(asyncio.CancelledError):  # as the client's own fetches end when it is closed
                await asyncio.sleep(rest)
        return found

    fetcher._proc_fetch_request = rested


@dataclass(frozen=True, slots=True)
class Illegible:
    """In place of a record that the client cannot read, e.g. because the name of a header is not UTF-8.

    Its content is lost to us; where it lies is known, so that somebody can look with another tool. What follows it
    in the same batch of its producer cannot be read either.
    """

    topic: str
    partition: int
    offset: int
    error: Exception
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()


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
        """Fetches for all partitions at once, and never for some while others are still to be handed out.

        The client does otherwise after a tenth of a second. Then the broker holds the fetch back for as long as
        there is nothing on those partitions, and what comes on the busy ones meanwhile waits for that.
        """
        await super().start()
        self._fetcher._prefetch_backoff = HANDED_OUT_WITHIN
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
            await self._client.close()
            await asyncio.wait({leaving}, timeout=LEAVE_SECONDS)
        if leaving.done():
            await leaving
            return
        leaving.cancel()
        if self._fetcher is not None:
            await self._fetcher.close()
        await self._client.close()
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
