"""Reaching Kafka as an outside client: wait for the broker, wait for topics.

Topics are never created by asking for them, only waited for: they belong to the factory.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
CLOSE_SECONDS = 5.0


class NoKafka(ConnectionError):
    """No broker answered, or the topics never appeared, in the time allowed."""


async def started(make: Callable[[], Any], kafka: str, timeout: float) -> Any:
    """A started client, however long the broker takes to answer.

    Raises:
        NoKafka: it took longer than `timeout` seconds.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    said = False
    while True:
        client = make()
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            await closed(client)
            if asyncio.get_running_loop().time() + RETRY_SECONDS > deadline:
                raise NoKafka(f"no Kafka broker answers at {kafka}: {error}") from None
            if not said:
                log.warning("waiting for Kafka at %s", kafka)
                said = True
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return client


async def closed(client: Any) -> None:
    """Close without waiting for a broker that is not there."""
    stop = getattr(client, "stop", None) or client.close
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(stop(), CLOSE_SECONDS)


class Topics:
    """What topics there are, asked without creating any."""

    def __init__(self, kafka: str) -> None:
        self._kafka = kafka
        self._admin: Any = None

    async def start(self, timeout: float = 30.0) -> None:
        self._admin = await started(
            lambda: AIOKafkaAdminClient(bootstrap_servers=self._kafka, request_timeout_ms=10_000),
            self._kafka,
            timeout,
        )

    async def stop(self) -> None:
        if self._admin is not None:
            await closed(self._admin)

    async def partitions(self, names: Collection[str]) -> dict[str, list[TopicPartition]]:
        """The partitions of those of `names` that exist."""
        present = sorted(set(names) & set(await self._admin.list_topics()))
        if not present:
            return {}
        return {
            topic["topic"]: [TopicPartition(topic["topic"], part["partition"]) for part in topic["partitions"]]
            for topic in await self._admin.describe_topics(present)
            if topic["partitions"]
        }

    async def appear(self, names: Collection[str], timeout: float) -> None:
        """Wait until all of them exist.

        Raises:
            NoKafka: after `timeout` seconds, naming those that do not.
        """
        deadline = asyncio.get_running_loop().time() + timeout
        while missing := set(names) - set(await self.partitions(names)):
            if asyncio.get_running_loop().time() > deadline:
                raise NoKafka(
                    f"no topic {', '.join(sorted(missing))} at {self._kafka} after {timeout:g} s: is the factory up?"
                )
            await asyncio.sleep(RETRY_SECONDS / 2)
