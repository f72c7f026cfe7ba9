"""What comes while a batch is worked on is handed out with the next one, not after a fetch for others has waited."""

import asyncio

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from libs.messaging.fetching import CarefulConsumer
from tests.harness import eventually

FOR_LONG_MS = 30_000
"""How long the broker holds a fetch back that finds nothing: longer than this test has patience."""
PATIENCE_MS = 15_000
AT_WORK = 0.5
"""Seconds that a batch takes: by itself the client fetches other partitions apart after a tenth of one."""


async def test_a_busy_partition_does_not_wait_for_an_idle_one(kafka: str, namespace: str) -> None:
    topic = f"{namespace}.reports"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 2, 1)])
    await admin.close()
    busy = TopicPartition(topic, 0)
    consumer = CarefulConsumer(
        topic, bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=FOR_LONG_MS
    )
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer, consumer:

        async def handed_out() -> list[bytes]:
            found = await consumer.getmany(timeout_ms=PATIENCE_MS)
            assert found.keys() == {busy}, "it waits behind a fetch for the idle partition"
            return [record.value for record in found[busy]]

        async def fetched() -> bool:
            return (consumer.highwater(busy) or 0) == 2

        await producer.send_and_wait(topic, b"first", partition=0)
        assert await handed_out() == [b"first"]
        await producer.send_and_wait(topic, b"second", partition=0)
        await eventually(fetched)
        await asyncio.sleep(AT_WORK)
        assert await handed_out() == [b"second"]
        await producer.send_and_wait(topic, b"third", partition=0)
        assert await handed_out() == [b"third"]
