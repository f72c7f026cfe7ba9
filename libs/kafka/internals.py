"""The only module that uses private parts of aiokafka and FastStream, and what depends on them.

An upgrade of either library can break this module without a word. `CHECKED_WITH` names the versions whose source
it was read against; a test fails when others are installed, and says what is to be done.

Of aiokafka: `AIOKafkaConsumer._fetcher` with its `_proc_fetch_request`, `_fetch_max_wait_ms`, `_prefetch_backoff`
and `close`; `AIOKafkaConsumer._client` with `close`; `AIOKafkaProducer.client` with `cluster` and `send`.
Of FastStream: `KafkaBroker.config.broker_config.builder`, the factory of its consumers.
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
"""The versions whose private parts are as this module takes them to be."""

SHORTEST_REST, LONGEST_REST = 0.002, 0.05
"""Seconds until the next fetch where the broker does not wait, doubled as long as nothing comes."""

HANDED_OUT_WITHIN = 30.0
"""Seconds that what is fetched of one partition may lie before others are fetched apart from it."""


def fetch_together(consumer: AIOKafkaConsumer) -> None:
    """For a started consumer: fetches for all partitions at once, and never for some while others are still to be
    handed out.

    The client does otherwise after a tenth of a second. Then the broker holds the fetch back for as long as there is
    nothing on those partitions, and what comes on the busy ones meanwhile waits for that.
    """
    consumer._fetcher._prefetch_backoff = HANDED_OUT_WITHIN


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


async def disconnect(consumer: AIOKafkaConsumer) -> None:
    """Close the connections under a consumer: what waits for an answer of the broker waits no longer."""
    await consumer._client.close()


async def end_fetching(consumer: AIOKafkaConsumer) -> None:
    """End the fetches of a consumer, if it has ever begun any."""
    if consumer._fetcher is not None:
        await consumer._fetcher.close()


async def ask_brokers(producer: AIOKafkaProducer) -> int:
    """How many brokers there are, once one of them answers a question that costs the same whatever they have.

    Raises:
        KafkaError, OSError: why the last of them gave no answer.
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
    """For a connected broker: its consumers will be of this class, with the connection that the broker gives them."""
    config = broker.config.broker_config
    config.builder = partial(consumer, **cast("partial[Any]", config.builder).keywords)
