"""The publisher over the death of its broker, with and without what the broker had on disk."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from libs.contracts import topics
from libs.devkit.backends.embedded import NoidaKafka
from libs.kafka.publisher import KafkaPublisher
from libs.kafka.topics import TopicAdmin
from libs.messaging.records import Record
from tests.integration.plumbing import Topics

TOPIC = topics.ERP_ORDER_STATUS


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[NoidaKafka]:
    """One of our own, which may be killed."""
    broker = NoidaKafka()
    broker.start(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
async def publisher(broker: NoidaKafka) -> AsyncIterator[KafkaPublisher]:
    await TopicAdmin(broker.address).ensure([TOPIC])
    publisher = KafkaPublisher(broker.address, "test")
    await publisher.start()
    yield publisher
    await publisher.stop()


def records(first: int, last: int) -> list[Record]:
    """Of one key, so that they stay in order."""
    return [Record(TOPIC.name, b"PO-1", str(number).encode(), []) for number in range(first, last)]


@pytest.mark.parametrize("loses_everything", [False, True], ids=["with its data", "with nothing"])
async def test_what_could_not_be_published_is_once_the_broker_is_back(
    broker: NoidaKafka, publisher: KafkaPublisher, loses_everything: bool
) -> None:
    await publisher.publish(records(0, 50))
    broker.kill()

    publishing = [asyncio.create_task(publisher.publish(records(n, n + 10))) for n in (50, 60)]
    await asyncio.wait(publishing, timeout=0.5)
    assert not any(task.done() for task in publishing)
    if loses_everything:
        shutil.rmtree(broker.data)
    await asyncio.to_thread(broker.restart)
    await TopicAdmin(broker.address).ensure([TOPIC])
    async with asyncio.timeout(60):
        await asyncio.gather(*publishing)
        await publisher.publish(records(70, 80))

    values = [int(record.value) for record in await Topics(broker.address, "").read(TOPIC.name, 30)]
    newest = [value for value in values if value >= 50]
    assert set(newest) == set(range(50, 80))
    assert [value for value in newest if value < 60] == sorted(value for value in newest if value < 60)
    assert newest[-10:] == list(range(70, 80))


async def test_it_stops_although_the_broker_is_gone(broker: NoidaKafka, publisher: KafkaPublisher) -> None:
    broker.kill()
    publishing = asyncio.create_task(publisher.publish(records(0, 10)))
    await asyncio.wait([publishing], timeout=0.2)

    async with asyncio.timeout(30):
        await publisher.stop()
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
