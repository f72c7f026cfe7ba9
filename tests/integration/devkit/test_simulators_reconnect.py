"""Sending to a broker that goes away and comes back."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError

from libs.devkit.backends.embedded import NoidaKafka
from libs.devkit.simulators.kafka import NoKafka
from libs.devkit.simulators.sender import Outgoing, Sender
from tests.integration.devkit.scripted_factory import until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NoidaKafka]:
    """A broker of this test's own, to be disturbed."""
    broker = NoidaKafka()
    broker.start(tmp_path)
    yield broker
    broker.stop()


def record(number: int) -> Outgoing:
    return Outgoing("t", b"key", str(number).encode(), [])


async def create_topic(kafka: str) -> None:
    """The embedded broker may have forgotten it: it is not durable."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic("t", 1, 1)])
        assert answer.topic_errors[0][1] in (0, TopicAlreadyExistsError.errno)
    finally:
        await admin.close()


async def arrived(kafka: str, last: int) -> list[int]:
    """The numbers in the topic, up to and with the `last`."""
    consumer = AIOKafkaConsumer("t", bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    numbers: list[int] = []
    try:
        async with asyncio.timeout(20):
            while last not in numbers:
                numbers.append(int((await consumer.getone()).value))
    finally:
        await consumer.stop()
    return numbers


async def test_everything_arrives_in_order(broker: NoidaKafka) -> None:
    await create_topic(broker.address)
    sender = Sender(broker.address)
    await sender.start()
    for number in range(5_000):
        sender.send(record(number))
    await sender.stop()
    assert await arrived(broker.address, 4_999) == list(range(5_000))


async def test_what_was_sent_while_the_broker_was_dead_arrives_when_it_is_back(broker: NoidaKafka) -> None:
    reconnects: list[float] = []
    await create_topic(broker.address)
    sender = Sender(broker.address, on_reconnect=lambda: reconnects.append(time.monotonic()), late_seconds=0.2)
    await sender.start()
    sender.send(record(0))
    await sender.flush(timeout=10)
    assert reconnects == []
    broker.kill()
    for number in range(1, 101):
        sender.send(record(number))
    with pytest.raises(TimeoutError):
        await sender.flush(timeout=0.5)
    await asyncio.to_thread(broker.restart)
    await until(lambda: broker.answer() is None)
    await create_topic(broker.address)
    await sender.flush(timeout=30)
    await sender.stop()
    numbers = await arrived(broker.address, 100)
    assert [number for number in dict.fromkeys(numbers) if number] == list(range(1, 101))
    assert len(reconnects) == 1


async def test_a_broker_that_was_frozen_counts_as_a_reconnect_once(broker: NoidaKafka) -> None:
    reconnects: list[float] = []
    await create_topic(broker.address)
    sender = Sender(broker.address, on_reconnect=lambda: reconnects.append(time.monotonic()), late_seconds=0.2)
    await sender.start()
    broker.pause()
    for number in range(100):
        sender.send(record(number))
    with pytest.raises(TimeoutError):
        await sender.flush(timeout=0.5)
    broker.resume()
    await sender.flush(timeout=30)
    sender.send(record(100))
    await sender.stop()
    assert await arrived(broker.address, 100) == list(range(101))
    assert len(reconnects) == 1


async def test_a_broker_that_is_not_there_is_named() -> None:
    with pytest.raises(NoKafka, match=r"127\.0\.0\.1:1\b"):
        await Sender("127.0.0.1:1").start(timeout=0.1)
