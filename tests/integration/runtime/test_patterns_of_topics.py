"""A raw subscription to a pattern of topics on the real Kafka: those that there are, and those that come later."""

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from libs.contracts.topics import device_tasks_topic
from libs.kafka.topics import TopicAdmin
from libs.kernel.settings import Settings
from libs.messaging.records import RawRecord
from libs.messaging.routes import RawSubscription
from libs.messaging.work import Work
from libs.runtime.service import Backends, Service
from tests.integration.plumbing import until
from tests.integration.runtime.counting_service import serving


async def test_topics_that_come_into_being_later_are_read_from_their_beginning(settings: Settings) -> None:
    prefix = f"{settings.namespace}."
    admin, heard = TopicAdmin(settings.kafka, prefix), list[Any]()

    async def take(run: Sequence[RawRecord], work: Work) -> None:
        heard.extend((record.topic, record.value) for record in run)

    def build() -> Service:
        backends = Backends("following", settings)
        return Service(backends, raw_subscriptions=[RawSubscription("tasks", (), take, pattern=r"devices\.tasks\..+")])

    async def until_heard(*values: bytes) -> None:
        async def there() -> bool:
            return len(heard) >= len(values)

        await until(there)
        assert [value for _, value in heard] == list(values)

    async with AIOKafkaProducer(bootstrap_servers=settings.kafka) as producer:

        async def send(device_type: str, value: bytes) -> None:
            await admin.ensure_device_type(device_type)
            await producer.send_and_wait(prefix + device_tasks_topic(device_type), value, b"k")

        service = build()
        async with serving(service):

            async def joined() -> bool:
                return all(each.assignment.joined for each in service.backends.consumers)  # type: ignore[attr-defined]

            await until(joined)
            await send("saw", b"1")
            await until_heard(b"1")
            await send("drill", b"2")
            await send("saw", b"3")

            async def three() -> bool:
                return len(heard) == 3

            await until(three)
            assert {value for _, value in heard} == {b"1", b"2", b"3"}
        await send("lathe", b"4")
        async with serving(build()):
            await until_heard(*(value for _, value in heard), b"4")
    assert {topic for topic, _ in heard} == {prefix + device_tasks_topic(each) for each in ("saw", "drill", "lathe")}
    database = Backends("following", settings).database
    await database.client.drop_database(database.name)
