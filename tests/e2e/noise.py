"""Noise on the wire: every record of every topic comes a second time, later and in another order across keys."""

import asyncio
import contextlib
import random
from typing import Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord

from libs.devkit.simulators.address import Address

MARK = ("noise", b"1")
LONGEST_DELAY = 0.4
"""Seconds that a double comes behind its original, at most."""


class Noise:
    """Reads all topics of a factory and writes each record again, once, after a random while."""

    def __init__(self, address: Address, seed: int = 5) -> None:
        self._address = address
        self._random = random.Random(seed)
        self._consumer: AIOKafkaConsumer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.doubled = 0

    async def __aenter__(self) -> Self:
        servers = self._address.kafka
        self._producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
        await self._producer.start()
        prefix = self._address.topic("").replace(".", r"\.")
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=servers,
            group_id=self._address.topic("noise"),
            auto_offset_reset="earliest",
            metadata_max_age_ms=500,
        )
        self._consumer.subscribe(pattern=f"^{prefix}.*(?<!dlq)$")
        await self._consumer.start()
        self._reading = asyncio.create_task(self._read(self._consumer))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        for task in list(self._tasks):
            task.cancel()
        assert self._consumer is not None
        await self._consumer.stop()
        await self._producer.stop()

    async def settle(self) -> None:
        """Wait until all doubles that are on their way are sent."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            if MARK in record.headers:
                continue
            task = asyncio.create_task(self._again(record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _again(self, record: ConsumerRecord) -> None:
        await asyncio.sleep(self._random.uniform(0, LONGEST_DELAY))
        await self._producer.send_and_wait(record.topic, record.value, record.key, headers=[*record.headers, MARK])
        self.doubled += 1
