"""What comes while a batch is worked on is in the next one: not in the one after it, not after a wait for others."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from libs.kafka.fetching import CarefulConsumer

FOR_LONG_MS = 30_000
"""How long the broker holds a fetch back that finds nothing: longer than these tests have patience."""
PATIENCE_MS = 15_000
AT_WORK = 0.5
"""Seconds that a batch takes: by itself the client fetches other partitions apart after a tenth of one."""


class Floor:
    """A topic with a busy partition and an idle one."""

    def __init__(self, topic: str, producer: AIOKafkaProducer, consumer: CarefulConsumer) -> None:
        self.busy = TopicPartition(topic, 0)
        self.producer, self.consumer = producer, consumer

    async def send(self, *values: bytes) -> None:
        for value in values:
            await self.producer.send_and_wait(self.busy.topic, value, partition=self.busy.partition)

    async def handed_out(self) -> list[bytes]:
        found = await self.consumer.getmany(timeout_ms=PATIENCE_MS)
        assert found.keys() == {self.busy}, "it waits behind a fetch for the idle partition"
        return [record.value for record in found[self.busy]]

    @property
    def fetched(self) -> int:
        return self.consumer.highwater(self.busy) or 0


@pytest.fixture
async def floor(kafka: str, namespace: str) -> AsyncIterator[Floor]:
    topic = f"{namespace}.reports"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    consumer = CarefulConsumer(
        topic, bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=FOR_LONG_MS
    )
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer, consumer:
        yield Floor(topic, producer, consumer)


async def test_what_comes_while_a_batch_is_worked_on_is_the_next_batch(floor: Floor) -> None:
    await floor.send(b"first")
    assert await floor.handed_out() == [b"first"]
    await floor.send(b"second")
    await asyncio.sleep(AT_WORK)
    assert floor.fetched == 1, "nothing is fetched ahead: it would be all there is in the next batch"
    await floor.send(b"third")
    assert await floor.handed_out() == [b"second", b"third"]
    await floor.send(b"fourth")
    assert await floor.handed_out() == [b"fourth"]
