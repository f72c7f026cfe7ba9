"""Every backend does what the services need of it; and embedded ones survive a crash and a taken port."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_client
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import AsyncMongoClient, MongoClient

from libs.devkit.backends import Backend, BackendError, choose, start
from libs.devkit.backends import Choice as Choose


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def test_kafka_keeps_what_an_idempotent_producer_sends(kafka: str, namespace: str) -> None:
    topic = f"{namespace}.messages"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    await admin.close()

    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True, acks="all") as producer:
        for number in range(30):
            await producer.send(topic, value=b"%d" % number, key=b"%d" % (number % 5), headers=[("ce_id", b"x")])

    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka,
        group_id=f"{namespace}.readers",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer:
        records = [await consumer.getone() for _ in range(30)]
        await consumer.commit()
    assert sorted(int(record.value) for record in records) == list(range(30))
    of_one_key = [int(record.value) for record in records if record.key == b"2"]
    assert of_one_key == sorted(of_one_key)
    assert records[0].headers == (("ce_id", b"x"),)


async def test_mongodb_has_transactions(mongodb: str, namespace: str) -> None:
    async with AsyncMongoClient[dict[str, object]](mongodb) as client:
        tasks = client[namespace]["tasks"]
        async with client.start_session() as session:
            async with await session.start_transaction():
                await tasks.insert_one({"_id": 1}, session=session)
                await tasks.insert_one({"_id": 2}, session=session)
            await session.start_transaction()
            await tasks.insert_one({"_id": 3}, session=session)
            await session.abort_transaction()
        assert await tasks.distinct("_id") == [1, 2]
        await client.drop_database(namespace)


def test_redis_answers(redis: str, namespace: str) -> None:
    with redis_client.Redis.from_url(redis) as client:
        assert client.set(f"{namespace}:hello", "world", ex=60)
        assert client.get(f"{namespace}:hello") == b"world"


@pytest.mark.parametrize("name", ["kafka", "mongodb", "redis"])
def test_an_embedded_backend_takes_another_port_when_its_own_is_taken(
    name: str, tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from libs.devkit.backends import base

    ports = iter([taken_port])
    free_port = base.free_port
    monkeypatch.setattr(base, "free_port", lambda: next(ports, None) or free_port())
    backend = choose(name, "embedded")

    backend.start(tmp_path)

    assert str(taken_port) not in backend.address
    assert backend.answer() is None
    backend.stop()
    assert not backend.alive


@pytest.mark.parametrize("name", ["kafka", "mongodb", "redis"])
def test_an_embedded_backend_can_be_frozen_killed_and_restarted(name: str, tmp_path: Path) -> None:
    backend = choose(name, "embedded")
    backend.start(tmp_path)
    address = backend.address

    backend.pause()
    assert backend.alive
    assert backend.answer() is not None
    backend.resume()
    assert backend.answer() is None

    backend.kill()
    assert not backend.alive
    backend.restart()
    assert (backend.address, backend.answer()) == (address, None)
    backend.stop()


def test_an_embedded_mongodb_keeps_its_data_though_its_port_changes(tmp_path: Path) -> None:
    def use(backend: Backend) -> str:
        backend.start(tmp_path)
        with MongoClient[dict[str, object]](backend.address) as client:
            client["factory"]["starts"].insert_one({"address": backend.address})
            starts = client["factory"]["starts"].count_documents({})
        backend.stop()
        return f"{starts} {backend.address}"

    first, second = use(choose("mongodb", "embedded")), use(choose("mongodb", "embedded"))

    assert first.startswith("1 ")
    assert second.startswith("2 ")
    assert first.split()[1] != second.split()[1]


def test_what_was_started_is_stopped_when_another_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mongodb", "redis"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data" / "mongodb" / "storage.bson").write_text("not what it should be")
    started: list[Backend] = []
    resolve = Choose.resolve
    monkeypatch.setattr(Choose, "resolve", lambda self, name: started.append(resolve(self, name)) or started[-1])

    with pytest.raises(BackendError, match=r"mongodb: mongod .* ended at once"):
        start(Choose(), tmp_path)

    assert [backend.alive for backend in started] == [False, False, False]
