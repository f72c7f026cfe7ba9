"""A raw subscription on the real Kafka: the records of several topics, once each, as they are."""

from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from libs.contracts import topics
from libs.kafka.topics import TopicAdmin
from libs.kernel.settings import Settings
from libs.messaging.mongo.driver import UpdateOne
from libs.messaging.records import RawRecord, Record
from libs.messaging.routes import RawSubscription
from libs.messaging.work import Work
from libs.runtime.service import Backends, Service
from tests.integration.plumbing import Topics, until
from tests.integration.runtime.counting_service import serving

READ = (topics.ERP_ORDERS.dead_letters, topics.DEVICES_REPORTS.dead_letters)
VALUES = [b"\xff\x00", b"{}", b"no json", b""]


def build(settings: Settings) -> Service:
    backends = Backends("counting", settings)
    effects = backends.database["effects"]

    async def count(run: Sequence[RawRecord], work: Work) -> None:
        """One more for each, and a copy of it as it is."""
        changes = [
            UpdateOne({"_id": f"{record.topic}/{record.offset}"}, {"$inc": {"times": 1}}, upsert=True) for record in run
        ]
        await effects.bulk_write(changes, session=work.transaction.handle)
        for record in run:
            work.send_as_is(Record(topics.ERP_ORDER_STATUS.name, record.key, record.value, [("x", b"\xfe")]))

    return Service(backends, raw_subscriptions=[RawSubscription("odd", READ, count)])


async def test_records_of_several_topics_take_effect_once_across_a_restart(settings: Settings) -> None:
    prefix = f"{settings.namespace}."
    await TopicAdmin(settings.kafka, prefix).ensure(topics.fixed_topics())
    database = Backends("counting", settings).database
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, enable_idempotence=True) as producer:

        async def send(value: bytes) -> None:
            for topic in READ:
                await producer.send_and_wait(prefix + topic, value, b"k")

        async def effects(number: int) -> None:
            async def there() -> bool:
                return await database["effects"].count_documents({}) >= number

            await until(there)

        for value in VALUES[:2]:
            await send(value)
        async with serving(build(settings)):
            await effects(4)
        for value in VALUES[2:]:
            await send(value)
        async with serving(build(settings)):
            await effects(8)
        copies = await Topics(settings.kafka, prefix).read(topics.ERP_ORDER_STATUS.name, 8)

    assert sorted(record.value for record in copies) == sorted(VALUES * 2)
    assert {tuple(record.headers) for record in copies} == {(("x", b"\xfe"),)}
    assert {each["times"] async for each in database["effects"].find()} == {1}
    await database.client.drop_database(database.name)
