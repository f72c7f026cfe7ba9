"""The only module that uses private parts of aiokafka and FastStream.

An upgrade of either library can break this module without an error. `CHECKED_WITH` names the versions whose source
was read for it; a test fails when other versions are installed, and says what is to be done.

Private parts of aiokafka: `AIOKafkaConsumer._fetcher` with `_proc_fetch_request`, `_fetch_max_wait_ms`,
`_prefetch_backoff` and `close`; `AIOKafkaConsumer._client` with `close` and `_metadata_max_age_ms`;
`AIOKafkaProducer.client` with `cluster` and `send`. Of FastStream: `KafkaBroker.config.broker_config.builder`, which
makes its consumers.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import ApiVersionRequest
from faststream.kafka import KafkaBroker

CHECKED_WITH = {"aiokafka": "0.14.0", "faststream": "0.7.8"}
"""The version of each library whose private parts are as this module takes them to be."""

SHORTEST_REST, LONGEST_REST = 0.002, 0.05
"""Seconds between two fetches that find nothing, doubled from the first value to the second: short enough that nobody
notices, long enough that an idle consumer costs next to nothing."""

HANDED_OUT_WITHIN = 30.0
"""Seconds that fetched records may wait to be handed out before other partitions are fetched apart from theirs: longer
than any batch takes."""


def fetch_together(consumer: AIOKafkaConsumer) -> None:
    """Make a started consumer fetch for all partitions at once, even while records of some are still to be handed out.

    The client would otherwise fetch for the idle partitions alone after a tenth of a second. The broker holds such a
    fetch back until there is something, and what comes on the busy partitions meanwhile waits for its answer.
    """
    consumer._fetcher._prefetch_backoff = HANDED_OUT_WITHIN


def fetch_when_wanted(consumer: AIOKafkaConsumer, wanted: asyncio.Event) -> None:
    """Make a started consumer fetch only while `wanted` is set, that is, while somebody waits for records.

    The client would otherwise fetch ahead as soon as it has handed out what it had. Records that come while a batch is
    worked on come mostly after that fetch, and would be in the next batch but one.
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
    """Make a started consumer rest after a fetch that found nothing.

    Apache Kafka holds a fetch back until there is something, for as long as the client asks it to. The embedded broker
    does not, and every idle consumer would keep itself and the broker busy with nothing.
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


def ask_for_topics(consumer: AIOKafkaConsumer, every_ms: int) -> None:
    """Make a consumer that is not started ask the broker so often which topics and partitions there are."""
    consumer._client._metadata_max_age_ms = every_ms


async def disconnect(consumer: AIOKafkaConsumer) -> None:
    """Close a consumer's connections, so that nothing waits for an answer of the broker any longer."""
    await consumer._client.close()


async def end_fetching(consumer: AIOKafkaConsumer) -> None:
    """End the fetches of a consumer that has begun any."""
    if consumer._fetcher is not None:
        await consumer._fetcher.close()


async def ask_brokers(producer: AIOKafkaProducer) -> int:
    """The number of brokers, once one of them answers. The question costs the same however many topics there are.

    Raises:
        KafkaError, OSError: why the last of the brokers gave no answer.
    """
    client, failed = producer.client, KafkaError("no broker is known")
    brokers = client.cluster.brokers()
    for broker in brokers:
        try:
            await client.send(broker.nodeId, ApiVersionRequest())
        except (KafkaError, OSError) as error:
            failed = error
        else:
            return len(brokers)
    raise failed


def consume_by(consumer: Callable[..., AIOKafkaConsumer], broker: KafkaBroker) -> None:
    """Make a connected broker use this class of consumers, with the connection that it gives to its own."""
    config = broker.config.broker_config
    config.builder = partial(consumer, **cast("partial[Any]", config.builder).keywords)
