"""Given master data and task topics, when they are kept or made, then every adapter answers in the same way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from libs.contracts.topics import device_tasks_topic
from libs.kafka.topics import TopicAdmin
from libs.kernel.errors import Busy, Conflict
from libs.messaging.memory import MemoryStore
from libs.messaging.store import Store
from libs.messaging.work import Work
from services.catalog.adapters.kafka import KafkaDeviceTopics
from services.catalog.adapters.memory import MemoryDeviceTopics, MemoryMasterData
from services.catalog.adapters.mongo import MongoMasterData
from services.catalog.domain.entries import Entry, Key, Kind
from services.catalog.ports import DeviceTopics, MasterData
from tests.harness import eventually
from tests.integration.own_database import own_database
from tests.transactions import refused, rolled_back

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ODD = '{"a.b":{"$set":[9007199254740993,1.50,null]},"":"\\u0000ä"}'
"""What a database could take for something else, or write in other bytes."""


def entry(code: str = "BELL", version: int = 1, kind: Kind = Kind.RECIPE, *, live: bool = True) -> Entry:
    return Entry(Key(kind, code), version, f"hash-{version}", f'{{"version":{version}}}', live, sequence=version)


@dataclass
class Ports:
    store: Store
    master_data: MasterData

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        async with self.store.transaction() as transaction:
            yield Work(transaction, "/test", NOON)

    async def load(self, *keys: Key, site: str = "main") -> dict[Key, Entry]:
        async with self.work() as work:
            return (await self.master_data.load(work, {site: keys}))[site]

    async def save(self, *entries: Entry, site: str = "main") -> None:
        """As their latest states, each of which is a new version."""
        async with self.work() as work:
            await self.master_data.save(work, {site: entries}, {site: entries})


class TestMasterData:
    @pytest.fixture(params=["mongo", "memory"])
    async def ports(self, request: pytest.FixtureRequest, mongodb: str) -> AsyncIterator[Ports]:
        if request.param == "memory":
            yield Ports(MemoryStore(), MemoryMasterData())
            return
        async with own_database(mongodb) as (store, database):
            master_data = MongoMasterData(database)
            await master_data.prepare()
            await master_data.prepare()
            yield Ports(store, master_data)

    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        odd = Entry(Key(Kind.RECIPE, "ä/ .$"), 1, "hash", ODD, live=False, sequence=7)
        await ports.save(entry(), odd)

        assert await ports.load(entry().key, odd.key, Key(Kind.RECIPE, "unknown")) == {
            entry().key: entry(),
            odd.key: odd,
        }
        assert await ports.load() == {}

    async def test_kinds_do_not_meet(self, ports: Ports) -> None:
        device_type = entry(kind=Kind.DEVICE_TYPE, version=4)
        await ports.save(entry(), device_type)

        assert await ports.load(entry().key) == {entry().key: entry()}
        assert await ports.load(device_type.key) == {device_type.key: device_type}
        assert await ports.load(entry(kind=Kind.PRODUCT).key) == {}

    async def test_another_site_sees_nothing(self, ports: Ports) -> None:
        await ports.save(entry())
        await ports.save(entry(version=5), site="north")

        async with ports.work() as work:
            keys = [entry().key]
            found = await ports.master_data.load(work, {"main": keys, "north": keys, "south": keys})

        assert found == {"main": {entry().key: entry()}, "north": {entry().key: entry(version=5)}, "south": {}}

    async def test_the_latest_state_replaces_the_one_before(self, ports: Ports) -> None:
        await ports.save(entry(), entry("FOOT"))
        await ports.save(entry(version=2))
        retired = entry(version=2, live=False)

        async with ports.work() as work:
            await ports.master_data.save(work, {"main": [retired]}, {})

        assert await ports.load(retired.key, entry("FOOT").key) == {
            retired.key: retired,
            entry("FOOT").key: entry("FOOT"),
        }

    async def test_a_version_is_written_once(self, ports: Ports) -> None:
        await ports.save(entry(), entry(version=2))

        async with refused(ports.store, Conflict) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.master_data.save(work, {"main": [entry("FOOT")]}, {"main": [entry(version=1)]})

        assert await ports.load(entry().key, entry("FOOT").key) == {entry().key: entry(version=2)}
        await ports.save(entry(version=1), site="north")

    async def test_a_transaction_sees_what_it_has_saved(self, ports: Ports) -> None:
        async with ports.work() as work:
            await ports.master_data.save(work, {"main": [entry()]}, {"main": [entry()]})

            assert await ports.master_data.load(work, {"main": [entry().key]}) == {"main": {entry().key: entry()}}

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await ports.save(entry())

        async with rolled_back(ports.store) as transaction:
            work, new = Work(transaction, "/test", NOON), [entry(version=2), entry("FOOT")]
            await ports.master_data.save(work, {"main": new}, {"main": new})

        assert await ports.load(entry().key, entry("FOOT").key) == {entry().key: entry()}
        await ports.save(entry(version=2))  # the version is not taken either

    async def test_of_two_transactions_on_one_code_the_later_tries_again(self, ports: Ports) -> None:
        await ports.save(entry())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.master_data.load(late, {"main": [entry().key]})
            await ports.save(entry(version=2))
            await ports.master_data.save(late, {"main": [entry(live=False)]}, {})

        assert await ports.load(entry().key) == {entry().key: entry(version=2)}


@dataclass
class Topics:
    made: DeviceTopics
    names: Callable[[], Awaitable[set[str]]]

    async def become(self, *device_types: str) -> bool:
        """Whether there are topics of these and of no others, soon: a broker tells of a new one a moment later."""
        wanted = {device_tasks_topic(each) for each in device_types}

        async def there() -> bool:
            return await self.names() == wanted

        return bool(await eventually(there))


class TestDeviceTopics:
    @pytest.fixture(params=["kafka", "memory"])
    def topics(self, request: pytest.FixtureRequest, kafka: str, namespace: str) -> Topics:
        if request.param == "kafka":
            prefix = f"{namespace}."
            return Topics(KafkaDeviceTopics(TopicAdmin(kafka, prefix)), lambda: names_on(kafka, prefix))
        memory = MemoryDeviceTopics()

        async def names() -> set[str]:
            return memory.names

        return Topics(memory, names)

    async def test_what_is_missing_is_made_and_the_rest_is_left(self, topics: Topics) -> None:
        assert await topics.made.ensure({"saw"}) == {}
        assert await topics.made.ensure({"saw", "press"}) == {}
        assert await topics.made.ensure(()) == {}

        assert await topics.become("press", "saw")

    async def test_a_name_that_no_topic_can_have_is_told_and_the_others_are_made(self, topics: Topics) -> None:
        refusals = await topics.made.ensure({"saw", "a b", "x" * 300, "press"})

        assert set(refusals) == {"a b", "x" * 300}
        assert all("refuses the name" in reason for reason in refusals.values())
        assert await topics.become("press", "saw")

    async def test_in_memory_two_names_that_kafka_takes_for_the_same_collide(self) -> None:
        """Apache Kafka refuses the second one; the embedded broker makes both topics."""
        memory = MemoryDeviceTopics()

        assert await memory.ensure({"a.b"}) == {}
        assert set(await memory.ensure({"a_b", "a.b"})) == {"a_b"}
        assert memory.names == {device_tasks_topic("a.b")}


async def names_on(kafka: str, prefix: str) -> set[str]:
    """The topics of a namespace that are not dead letters, without the prefix."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        names = await admin.list_topics()
    finally:
        await admin.close()
    found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    return {name for name in found if not name.endswith(".dlq")}
