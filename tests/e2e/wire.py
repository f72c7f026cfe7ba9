"""Somebody outside: writes any record to any topic, and waits for what the factory says about it."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from libs.devkit.simulators.address import Address
from libs.kafka.internals import rest_when_idle

PATIENCE = 40.0


@dataclass
class Heard:
    """One record that the factory published."""

    topic: str
    type: str
    data: dict[str, Any]
    headers: dict[str, str]
    value: bytes
    at: float = field(default_factory=time.perf_counter)
    """When it was heard, in seconds of `time.perf_counter`."""


@dataclass
class Wire:
    """Listens to `topics` from their beginning."""

    address: Address
    topics: tuple[str, ...]
    heard: list[Heard] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        servers = self.address.kafka
        self._producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
        await self._producer.start()
        self._consumer = AIOKafkaConsumer(
            *(self.address.topic(topic) for topic in self.topics),
            bootstrap_servers=servers,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        await self._consumer.start()
        rest_when_idle(self._consumer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._producer.stop()

    async def raw(
        self, topic: str, value: bytes, key: str = "", headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        await self._producer.send_and_wait(self.address.topic(topic), value, key.encode(), headers=headers or [])

    async def send(self, topic: str, type_: str, key: str, id_: str | None = None, **data: Any) -> str:
        """In structured mode; the id of the event."""
        id_ = id_ or uuid.uuid4().hex
        event = {"specversion": "1.0", "id": id_, "source": "/test", "type": type_, "data": data}
        await self.raw(topic, json.dumps(event).encode(), key)
        return id_

    async def until(self, wanted: Callable[[Heard], bool], patience: float = PATIENCE) -> Heard:
        """The first record that fits, also among those heard before; TimeoutError when none comes."""
        checked = 0
        async with asyncio.timeout(patience):
            while True:
                for record in self.heard[checked:]:
                    checked += 1
                    if wanted(record):
                        return record
                await self._listen()

    async def answer(self, type_: str, **fields: Any) -> Heard:
        """The first record of a type whose data has these values."""
        return await self.until(
            lambda record: (
                record.type == type_ and all(record.data.get(name) == value for name, value in fields.items())
            )
        )

    async def catch_up(self) -> None:
        """Hear all that is on the topics by now."""
        async with asyncio.timeout(PATIENCE):
            ends = await self._consumer.end_offsets(list(self._consumer.assignment()))
            while any([await self._consumer.position(partition) < end for partition, end in ends.items()]):
                await self._listen()

    async def _listen(self) -> None:
        for records in (await self._consumer.getmany(timeout_ms=100)).values():
            for record in records:
                headers = {name: value.decode("utf-8", "replace") for name, value in record.headers if value}
                try:
                    data = json.loads(record.value)
                except ValueError:
                    data = {}
                topic = record.topic.removeprefix(self.address.topic(""))
                self.heard.append(Heard(topic, headers.get("ce_type", ""), data, headers, record.value))
