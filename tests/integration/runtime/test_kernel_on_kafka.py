"""The kernel between a real Kafka and a real MongoDB: killed, shared, fed with rubbish, cut off, and still exact."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from libs.contracts import erp, topics
from libs.contracts.topics import Topic
from libs.kafka.topics import TopicAdmin
from libs.kernel.clock import utc_now
from libs.kernel.settings import Settings
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.outbox import entries_for
from libs.messaging.records import LARGEST_DEAD_LETTER, LARGEST_RECORD, Cause, Record, encode
from libs.runtime.service import Service
from tests.integration.plumbing import Pipe, Topics, until
from tests.integration.runtime.counting_service import NAME, build, ids, orders, serving

DEVELOPMENT_BROKER = os.environ.get("KAFKA", "embedded") in ("", "embedded")
"""It loses its way when several members of a busy group come and go; one that comes back under its name is fine."""

STOPS = [pytest.param(None, "counting-0", "counting-0", id="alone, and comes back under its name")]
if not DEVELOPMENT_BROKER:
    STOPS += [
        pytest.param("counting-0", "counting-1", "counting-1", id="beside another, and comes back under its name"),
        pytest.param("counting-0", "counting-1", None, id="beside another, for good, under a name"),
        pytest.param("", "", None, id="beside another, for good"),
    ]
"""Names of an instance that stays, of one that stops in the middle, and of its successor."""


class Shop:
    """What is around the service: its topics, its database, an ERP."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, database: driver.Database) -> None:
        self.settings = settings
        self.database = database
        self.prefix = f"{settings.namespace}."
        self.topics = Topics(settings.kafka, self.prefix)
        self._producer = producer

    async def send(self, *records: Record, to: Topic = topics.ERP_ORDERS) -> None:
        """In this order, each on its key's partition."""
        sent = [
            await self._producer.send(self.prefix + to.name, record.value, record.key, headers=record.headers)
            for record in records
        ]
        await asyncio.gather(*sent)

    async def effects(self) -> dict[str, int]:
        """How often each message took effect."""
        return {document["_id"]: document["times"] async for document in self.database["effects"].find()}

    async def took_effect(self, count: int, seconds: float = 60.0) -> None:
        async def there() -> bool:
            return await self.database["effects"].count_documents({}) >= count

        await until(there, seconds)

    async def answers(self, count: int) -> list[Any]:
        """The answers, once that many different ones are there."""
        return await self.topics.read(topics.ERP_ORDER_STATUS.name, count, distinct="ce_causationid")

    async def dead(self, count: int) -> list[Any]:
        return await self.topics.read(topics.ERP_ORDERS.dead_letters, count)


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    await TopicAdmin(settings.kafka, f"{settings.namespace}.").ensure([topics.ERP_ORDERS, topics.ERP_ORDER_STATUS])
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, enable_idempotence=True, max_request_size=LARGEST_DEAD_LETTER
    )
    await producer.start()
    client = driver.connect(settings.mongodb, "pymongo")
    database = driver.database(client, settings.namespace, NAME)
    yield Shop(settings, producer, database)
    await producer.stop()
    await client.drop_database(database.name)
    await client.close()


def in_order(answers: list[Any]) -> None:
    """The first answers of every order come in the order in which its messages were sent."""
    seen: dict[bytes, list[str]] = defaultdict(list)
    for record in answers:
        cause = dict(record.headers)["ce_causationid"].decode()
        if cause not in seen[record.key]:
            seen[record.key].append(cause)
    for causes in seen.values():
        assert causes == sorted(causes)


async def start_process(settings: Settings, **environment: str) -> Process:
    own = {
        "FACTORY_KAFKA": settings.kafka,
        "FACTORY_MONGODB": settings.mongodb,
        "FACTORY_NAMESPACE": settings.namespace,
        "FACTORY_HTTP_PORT": "0",
        "FACTORY_INSTANCE": "counting-0",  # so that its successor need not wait until its session is over
        "FACTORY_LOG_LEVEL": "error",
    }
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.runtime.counting_service"),
        env={**os.environ, **own, **environment},
        stdout=DEVNULL,
    )


@asynccontextmanager
async def process(settings: Settings, **environment: str) -> AsyncIterator[Process]:
    running = await start_process(settings, **environment)
    try:
        yield running
    finally:
        if running.returncode is None:
            running.terminate()
            async with asyncio.timeout(60):
                await running.wait()


@pytest.mark.parametrize("where", ["before_publish", "before_offsets"])
async def test_killed_at_the_worst_moment_everything_takes_effect_once(shop: Shop, where: str) -> None:
    await shop.send(*orders(0, 60))

    async with process(shop.settings, DIE=where) as victim, asyncio.timeout(60):
        assert await victim.wait() == -9
    assert await shop.effects() != {}
    await shop.send(*orders(60, 120))
    async with process(shop.settings) as successor:
        answers = await shop.answers(120)
    assert successor.returncode == 0

    assert await shop.effects() == dict.fromkeys(ids(0, 120), 1)
    messages = {(dict(each.headers)["ce_causationid"], dict(each.headers)["ce_id"]) for each in answers}
    assert len(messages) == 120, "an answer that is published again is the same message"
    in_order(answers)


def instance(shop: Shop, name: str) -> Service:
    """One of several; with small batches, so that there are many moments at which it can be interrupted."""
    return build(shop.settings.model_copy(update={"batch_size": 20, "instance": name}))


@pytest.mark.parametrize(("stays", "stops", "successor"), STOPS)
async def test_an_instance_that_stops_in_the_middle_leaves_nothing_undone(
    shop: Shop, stays: str | None, stops: str, successor: str | None
) -> None:
    async with AsyncExitStack() as stack:
        others = [instance(shop, stays)] if stays is not None else []
        for other in others:
            await stack.enter_async_context(serving(other))
        async with serving(stopping := instance(shop, stops)):
            for each in (*others, stopping):
                await ready(each)
            await shop.send(*orders(0, 600))
            await shop.took_effect(200)
            await shop.send(*orders(600, 900))
        await shop.send(*orders(900, 1200))
        if successor is not None:
            await stack.enter_async_context(serving(instance(shop, successor)))
        answers = await shop.answers(1200)

    assert await shop.effects() == dict.fromkeys(ids(0, 1200), 1)
    in_order(answers)


async def ready(service: Service) -> None:
    async def there() -> bool:
        return (await service.backends.health.readiness()).ready

    await until(there)


class TestDeadLetters:
    async def test_what_cannot_be_read_or_applied_is_set_aside_with_its_reason(self, shop: Shop) -> None:
        key = b"PO-0"  # all on one partition, so that offsets say the order
        hostile = [
            Record("", key, b"not json", []),
            Record("", key, b"{}", [("ce_id", b"\xff\xfe"), ("ce_type", b"erp.order.cancelled.v1")]),
            Record("", key, None, [("ce_id", b"null"), ("ce_type", b"erp.order.cancelled.v1")]),
            Record("", key, b"{}", [("ce_id", b"lost"), ("ce_type", b"erp.order.lost.v1")]),
        ]
        poison = orders(12, 13, "poison")
        good = [each for each in orders(0, 60) if each.key == key and each not in poison]
        await shop.send(good[0], *hostile[:2], good[2], *hostile[2:], *poison, *good[3:])

        async with serving(build(shop.settings)):
            dead = await shop.dead(5)
            await shop.answers(len(good) - 1)

        assert set((await shop.effects()).values()) == {1}
        assert len(await shop.effects()) == len(good) - 1
        by_offset = sorted(dead, key=lambda record: int(dict(record.headers)["dlq_offset"]))
        assert [record.value for record in by_offset] == [b"not json", b"{}", None, b"{}", poison[0].value]
        assert {record.key for record in dead} == {key}
        why = [{name: value.decode() for name, value in record.headers if name[:4] == "dlq_"} for record in by_offset]
        assert [int(each["dlq_offset"]) for each in why] == [1, 2, 4, 5, 6]
        assert len({each["dlq_partition"] for each in why}) == 1
        assert {each["dlq_topic"] for each in why} == {"erp.orders.v1"}
        assert {each["dlq_attempts"] for each in why} == {"1"}
        assert {each["dlq_consumer"] for each in why} == {"counting:erp.orders.v1"}
        reasons = ["not JSON", "not UTF-8", "no value", "is not known here", "the frame is bent"]
        for each, reason in zip(why, reasons, strict=True):
            assert reason in each["dlq_reason"]
        assert 'ValueError("the frame is bent")' in why[-1]["dlq_stack"]
        assert dict(by_offset[1].headers)["ce_id"] == b"\xff\xfe"

    async def test_even_what_has_neither_key_nor_value_and_what_hardly_fits(self, shop: Shop) -> None:
        large = Record("", b"PO-0", b"x" * (LARGEST_RECORD - 1024), [])
        usual = Record("", b"PO-0", b"y" * 1_048_000, [])
        await shop.send(large, usual, Record("", b"PO-0", b"", []), *orders(0, 1))

        async with serving(build(shop.settings)):
            dead = await shop.dead(3)
            await shop.answers(1)

        assert sorted(len(record.value) for record in dead) == [0, len(usual.value or b""), len(large.value or b"")]

    async def test_what_the_client_itself_cannot_read_stops_nobody(self, shop: Shop) -> None:
        hostile = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.runtime.hostile_producer"),
            *(shop.settings.kafka, f"{shop.prefix}erp.orders.v1"),
            env={**os.environ, "AIOKAFKA_NO_EXTENSIONS": "1"},
        )
        assert await hostile.wait() == 0

        async with serving(build(shop.settings)):
            (letter,) = await shop.dead(1)
            await shop.answers(10)

        assert await shop.effects() == dict.fromkeys(ids(0, 10), 1)
        headers = dict(letter.headers)
        assert headers["dlq_offset"] == b"5"
        assert headers["dlq_error"] == b"UnicodeDecodeError"


async def test_the_relay_publishes_what_a_crash_left(shop: Shop) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    store = MongoStore(shop.database.client, shop.database)
    left = [
        encode(
            erp.OrderAccepted(order_id="PO-1", revision=1, project_id=str(number), at=utc_now()),
            Cause("leipzig", "c-1", f"left-{number}", trace),
            "/counting",
        )
        for number in range(3)
    ]
    async with store.transaction() as transaction:
        await transaction.put(entries_for(left, "counting:tick:of another day", utc_now() - timedelta(minutes=5)))

    async with serving(build(shop.settings)):
        found = await shop.answers(3)

        async def forgotten() -> bool:
            return await store.pending() == []

        await until(forgotten)

    assert [(record.key, record.value, list(record.headers)) for record in found] == [
        (record.key, record.value, record.headers) for record in left
    ]


class TestAway:
    async def test_at_start_it_says_what_it_waits_for_and_comes_up_with_it(self, shop: Shop) -> None:
        kafka = Pipe(shop.settings.kafka)
        mongodb = Pipe(shop.settings.mongodb.removeprefix("mongodb://").partition("/")[0])
        service = build(
            shop.settings.model_copy(
                update={"kafka": kafka.address, "mongodb": f"mongodb://{mongodb.address}/?directConnection=true"}
            )
        )

        async def checks() -> dict[str, bool]:
            readiness = await service.backends.health.readiness()
            return {name: result.ok for name, result in readiness.checks.items()}

        await shop.send(*orders(0, 10))
        async with serving(service):
            await asyncio.sleep(0)
            assert await checks() == {"mongodb": False, "kafka": False, "partitions": False}
            async with mongodb:

                async def found() -> bool:
                    return (await checks())["mongodb"]

                await until(found)
                assert not (await checks())["kafka"]
                async with kafka:
                    await ready(service)
                    await shop.answers(10)

        assert await shop.effects() == dict.fromkeys(ids(0, 10), 1)

    async def test_mongodb_away_in_between_nothing_is_skipped(self, shop: Shop) -> None:
        mongodb = Pipe(shop.settings.mongodb.removeprefix("mongodb://").partition("/")[0])
        url = f"mongodb://{mongodb.address}/?directConnection=true"
        service = build(shop.settings.model_copy(update={"mongodb": url, "batch_size": 10}))

        async def not_ready() -> bool:
            return not (await service.backends.health.readiness()).checks["mongodb"].ok

        async with mongodb, serving(service):
            await shop.send(*orders(0, 100))
            await shop.took_effect(20)
            await mongodb.cut()
            await shop.send(*orders(100, 200))
            await until(not_ready)
            await mongodb.mend()
            await shop.answers(200)

        assert await shop.effects() == dict.fromkeys(ids(0, 200), 1)
