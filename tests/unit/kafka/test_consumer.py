"""The consumer around the processor: offsets after the batch, standing still on a defect, draining on revoke."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError
from aiokafka.partitioner import DefaultPartitioner

from libs.contracts import topics
from libs.kafka.broker import start_consuming
from libs.kafka.consumer import Consumer
from libs.kernel.errors import Transient
from libs.kernel.settings import Settings
from libs.messaging.records import RawRecord
from libs.messaging.routes import Subscription
from libs.resilience import retry
from tests.unit.messaging.fakes import Raw, cancelled

ORDERS = "t1.erp.orders.v1"


class Kafka:
    """What a subscriber's consumer is asked for."""

    def __init__(self) -> None:
        self.committed: list[dict[TopicPartition, int]] = []
        self.error: Exception | None = None
        self.asked = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.beyond = 0
        """How far the position is beyond the last record that was handed out."""

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.asked.set()
        if self.error:
            raise self.error
        if self.gate is not None:
            await self.gate.wait()
        self.committed.append(offsets)

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(ORDERS, 0), TopicPartition(ORDERS, 1)}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {ORDERS: {0, 1, 2, 3}}.get(topic)

    async def position(self, partition: TopicPartition) -> int:
        return {0: 8, 1: 4}[partition.partition] + self.beyond

    def highwater(self, partition: TopicPartition) -> int | None:
        return {0: 12, 1: None}[partition.partition]


class Subscriber:
    def __init__(self, **options: Any) -> None:
        self.options = options
        self.consumer: Kafka | None = Kafka()

    def __call__(self, handler: Callable[..., Any]) -> None:
        self.deliver = handler


class Broker:
    def subscriber(self, topic: str, **options: Any) -> Subscriber:
        self.made = Subscriber(topic=topic, **options)
        return self.made


class Publication:
    def __init__(self) -> None:
        self.published = asyncio.Event()
        self.published.set()
        self.forgotten = 0

    async def forget(self) -> None:
        await self.published.wait()
        self.forgotten += 1


class Processor:
    consumer = "projects:erp.orders.v1"

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.failures: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.publication = Publication()

    async def apply(self, records: Sequence[RawRecord]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        if self.gate is not None:
            await self.gate.wait()
        self.batches.append([record.offset for record in records])


class Rig:
    def __init__(self) -> None:
        self.broker, self.processor = Broker(), Processor()
        self.consumer = Consumer(
            self.broker,  # type: ignore[arg-type]
            Subscription(topics.ERP_ORDERS, {}),
            self.processor,  # type: ignore[arg-type]
            "t1.",
            Settings(batch_size=250, instance="projects-0"),
        )
        self.subscriber = self.broker.made

    async def deliver(self, *records: Raw) -> None:
        """A batch, tidied up."""
        await self.subscriber.deliver(list(records))
        await self.consumer.assignment.tidied()

    @property
    def kafka(self) -> Kafka:
        assert self.subscriber.consumer is not None
        return self.subscriber.consumer


@pytest.fixture
def rig() -> Rig:
    return Rig()


def at(partition: int, offset: int) -> Raw:
    return replace(cancelled("a"), topic=ORDERS, partition=partition, offset=offset)


class TestOwns:
    """Its partitions, of four, are 0 and 1."""

    KEYS = [f"press-{number}" for number in range(200)]

    async def test_the_keys_that_producers_send_to_its_partitions(self, rig: Rig) -> None:
        await rig.consumer.assignment.on_partitions_assigned(rig.kafka.assignment())
        choose = DefaultPartitioner()
        own = {key for key in self.KEYS if choose(key.encode(), [0, 1, 2, 3], [0, 1, 2, 3]) in (0, 1)}
        assert 0 < len(own) < len(self.KEYS)
        assert {key for key in self.KEYS if rig.consumer.owns(key)} == own
        # By the hashes in the tests of Kafka's own client: of partitions 0 and 2.
        assert [rig.consumer.owns(key) for key in ("21", "foobar")] == [True, False]

    async def test_nothing_before_it_has_joined_and_while_partitions_move(self, rig: Rig) -> None:
        assert not any(map(rig.consumer.owns, self.KEYS))
        await rig.consumer.assignment.on_partitions_assigned(rig.kafka.assignment())
        await rig.consumer.assignment.on_partitions_revoked(rig.kafka.assignment())
        assert not any(map(rig.consumer.owns, self.KEYS))

    async def test_nothing_when_it_is_stopped(self, rig: Rig) -> None:
        await rig.consumer.assignment.on_partitions_assigned(rig.kafka.assignment())
        rig.subscriber.consumer = None
        assert not any(map(rig.consumer.owns, self.KEYS))


async def test_the_next_offset_of_every_partition_is_committed_after_the_batch(rig: Rig) -> None:
    await rig.deliver(at(0, 7), at(0, 8), at(1, 3), at(0, 9))

    assert rig.processor.batches == [[7, 8, 3, 9]]
    assert rig.kafka.committed == [{TopicPartition(ORDERS, 0): 10, TopicPartition(ORDERS, 1): 4}]
    assert rig.processor.publication.forgotten == 1


async def test_the_next_batch_does_not_wait_for_the_offsets_of_the_last(rig: Rig) -> None:
    rig.kafka.gate = asyncio.Event()

    await rig.subscriber.deliver([at(0, 7)])
    tidying = asyncio.create_task(rig.consumer.assignment.tidied())
    await rig.kafka.asked.wait()
    await rig.subscriber.deliver([at(0, 8)])
    assert rig.processor.batches == [[7], [8]]
    assert rig.kafka.committed == []
    rig.kafka.gate.set()
    await tidying

    assert rig.kafka.committed == [{TopicPartition(ORDERS, 0): 8}, {TopicPartition(ORDERS, 0): 9}]


async def test_batches_that_follow_at_once_are_tidied_up_in_one_go(rig: Rig) -> None:
    await rig.subscriber.deliver([at(0, 7), at(1, 3)])
    await rig.subscriber.deliver([at(0, 8)])
    assert rig.kafka.committed == []

    await rig.consumer.assignment.tidied()

    assert rig.kafka.committed == [{TopicPartition(ORDERS, 0): 9, TopicPartition(ORDERS, 1): 4}]
    assert rig.processor.publication.forgotten == 1


async def test_offsets_are_not_committed_before_what_follows_from_the_batch_is_published(rig: Rig) -> None:
    """Or else, after a crash, the next batch of the partition would be published ahead of it."""
    rig.processor.publication.published.clear()

    await rig.subscriber.deliver([at(0, 7)])
    tidying = asyncio.create_task(rig.consumer.assignment.tidied())
    await asyncio.wait({tidying}, timeout=0.05)
    assert not tidying.done()
    assert rig.kafka.committed == []

    rig.processor.publication.published.set()
    await tidying
    assert rig.kafka.committed == [{TopicPartition(ORDERS, 0): 8}]


async def test_a_batch_that_nothing_follows_is_tidied_up_too(rig: Rig) -> None:
    await rig.subscriber.deliver([at(0, 7)])

    async with asyncio.timeout(10):
        await rig.kafka.asked.wait()

    assert rig.kafka.committed == [{TopicPartition(ORDERS, 0): 8}]


async def test_offsets_that_cannot_be_committed_are_the_inboxs_business(rig: Rig, logs: list[dict[str, Any]]) -> None:
    rig.kafka.error = CommitFailedError()

    await rig.deliver(at(0, 7))

    assert [entry["event"] for entry in logs] == ["offsets_not_committed"]


async def test_it_stands_still_on_a_defect_and_commits_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, logs: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(retry, "DEFECT_SECONDS", 0.0)
    rig.processor.failures = [AssertionError("a defect"), RuntimeError("another")]

    await rig.deliver(at(0, 7))

    assert rig.processor.batches == [[7]]
    assert len(rig.kafka.committed) == 1
    assert [entry["event"] for entry in logs] == ["batch_failed", "batch_failed"]


async def test_partitions_are_given_back_only_when_the_batch_in_hand_is_done(rig: Rig) -> None:
    rig.processor.gate = asyncio.Event()
    await rig.consumer.assignment.on_partitions_assigned(set())
    assert rig.consumer.assignment.joined

    working = asyncio.create_task(rig.subscriber.deliver([at(0, 7)]))
    await asyncio.sleep(0)
    revoking = asyncio.create_task(rig.consumer.assignment.on_partitions_revoked(set()))
    await asyncio.wait({revoking}, timeout=0.05)
    assert not revoking.done()
    assert not rig.consumer.assignment.joined

    rig.processor.gate.set()
    async with asyncio.timeout(10):
        await revoking
    assert len(rig.kafka.committed) == 1
    await working


async def test_lag_is_told_of_assigned_partitions_only(rig: Rig) -> None:
    assert await rig.consumer.lag() == {}

    await rig.deliver(at(0, 7), at(1, 3), at(2, 100))

    assert await rig.consumer.lag() == {("erp.orders.v1", 0): 4, ("erp.orders.v1", 1): 0}
    assert rig.subscriber.consumer is not None
    rig.subscriber.consumer.beyond = 4
    assert set((await rig.consumer.lag()).values()) == {0}, "what lies there is no record for anybody"
    rig.subscriber.consumer = None
    assert await rig.consumer.lag() == {}


def test_it_reads_from_the_beginning_and_acknowledges_by_hand(rig: Rig) -> None:
    options = rig.subscriber.options

    assert options["topic"] == ORDERS
    assert options["group_id"] == "t1.projects:erp.orders.v1"
    assert options["auto_offset_reset"] == "earliest"
    assert options["ack_policy"].name == "MANUAL"
    assert options["batch"] is True
    assert options["max_records"] == 250
    assert options["group_instance_id"] == "projects-0"


async def test_a_start_that_fails_leaves_no_consumer_behind() -> None:
    class Away:
        stopped = False

        async def connect(self) -> None:
            raise ConnectionError("nobody there")

        async def stop(self) -> None:
            self.stopped = True

    away = Away()

    with pytest.raises(Transient, match="Kafka is away"):
        await start_consuming(away)  # type: ignore[arg-type]

    assert away.stopped
