"""What execution is measured against, on the same Kafka and MongoDB: the floor, and what people usually write.

Both read the same reports, write with the same durability and publish what is due. The floor does the same writes
in the same batches but knows beforehand what they are: nothing is parsed, judged or scored. The usual design takes
one message after the other: find, save, count, set, insert the next, publish, commit.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pymongo import AsyncMongoClient, InsertOne
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

BATCH = 500

Document = dict[str, Any]


@dataclass
class Bench:
    """Where a design runs: its own topics and its own database."""

    kafka: str
    database: Any
    client: "AsyncMongoClient[Document]"
    reports: str
    events: str
    assignments: str

    def consumer(self, group: str) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            self.reports,
            bootstrap_servers=self.kafka,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )

    def producer(self, linger_ms: int = 2) -> AIOKafkaProducer:
        return AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", enable_idempotence=True, linger_ms=linger_ms)


def majority(client: Any, name: str) -> Any:
    return client.get_database(
        name, read_concern=ReadConcern("majority"), write_concern=WriteConcern("majority", j=True)
    )


async def prepare(bench: Bench, tasks: Sequence[dict[str, Any]], order: dict[str, Any]) -> None:
    """The floor with these tasks leased, and their work order."""
    names = await bench.database.list_collection_names()
    for name in names:
        await bench.database.drop_collection(name)
    for partial, fields in _INDEXES:
        await bench.database["tasks"].create_index(fields, partialFilterExpression={partial: {"$exists": True}})
    for first in range(0, len(tasks), 5000):
        await bench.database["tasks"].insert_many(list(tasks[first : first + 5000]))
    await bench.database["work_orders"].insert_one(order)


_INDEXES: list[tuple[str, list[tuple[str, int]]]] = [
    ("pool", [("pool", 1), ("lease_expires_at", 1), ("device_id", 1)]),
]
"""As execution has them for its own writes."""


@dataclass(frozen=True)
class Due:
    """What is published for each report."""

    event: bytes
    assignment: bytes
    headers: list[tuple[str, bytes]]


async def floor(bench: Bench, count: int, due: Due) -> float:
    """Completions a second: raw batches in, what execution writes for them, raw records out."""
    consumer, producer = bench.consumer("floor"), bench.producer()
    await consumer.start()
    await producer.start()
    try:
        await first(consumer)
        done, began = 0, time.perf_counter()
        while done < count:
            for partition, records in (await consumer.getmany(timeout_ms=200, max_records=BATCH)).items():
                await complete(bench, producer, due, records)
                await tidy(bench, consumer, partition, records)
                done += len(records)
        return count / (time.perf_counter() - began)
    finally:
        await producer.stop()
        await consumer.stop()


async def complete(bench: Bench, producer: AIOKafkaProducer, due: Due, records: Sequence[Any]) -> None:
    """The tasks of these reports completed, and the next ones assigned."""
    keys = [record.key for record in records]
    await _write(bench, [key.decode() for key in keys])
    await _publish(producer, due, keys, {bench.events: due.event, bench.assignments: due.assignment})


async def tidy(bench: Bench, consumer: AIOKafkaConsumer, partition: TopicPartition, records: Sequence[Any]) -> None:
    first = records[0].key.decode()
    await bench.database["outbox"].delete_one({"_id": first})
    await consumer.commit({partition: records[-1].offset + 1})


async def _write(bench: Bench, ids: list[str]) -> None:
    """What execution writes, in one transaction as there; but nothing is decided, nor looked for."""
    db = bench.database
    async with bench.client.start_session() as session, await session.start_transaction():
        await db["inbox"].insert_many([{"_id": id_} for id_ in ids], ordered=False, session=session)
        documents = await db["tasks"].find({"_id": {"$in": ids}}, session=session).batch_size(BATCH).to_list(None)
        await db["ledger"].insert_many([_fact(each) for each in documents], ordered=False, session=session)
        await db["tasks"].update_many({"_id": {"$in": ids}}, _DONE, session=session)
        following = [{**each, "_id": f"{each['_id']}+"} for each in documents]
        await db["tasks"].insert_many(following, ordered=False, session=session)
        await db["work_orders"].update_one({"_id": "P"}, {"$inc": {"good": len(ids)}}, session=session)
        await db["outbox"].insert_one({"_id": ids[0], "records": [b"x" * 2000] * len(ids)}, session=session)


_DONE = {"$set": {"state": "COMPLETED", "outcome": "GOOD"}, "$unset": {"pool": 1, "lease_expires_at": 1}}


def _fact(task: dict[str, Any]) -> dict[str, Any]:
    kept = ("site", "project_id", "line_id", "recipe_code", "execution", "step", "device_id")
    return {"_id": f"{task['_id']}#1", **{name: task[name] for name in kept}, "outcome": "GOOD"}


async def _publish(producer: AIOKafkaProducer, due: Due, keys: Sequence[bytes], values: Mapping[str, bytes]) -> None:
    sent = [
        await producer.send(topic, value, key, headers=due.headers) for key in keys for topic, value in values.items()
    ]
    for future in sent:
        await future


async def usual(bench: Bench, count: int, due: Due) -> float:
    """Completions a second, one message at a time."""
    consumer, producer = bench.consumer("usual"), bench.producer()
    await consumer.start()
    await producer.start()
    tasks, orders = bench.database["tasks"], bench.database["work_orders"]
    await tasks.create_index([("project_id", 1), ("state", 1)])
    try:
        await first(consumer)
        began = time.perf_counter()
        for _ in range(count):
            record = await consumer.getone()
            task = await tasks.find_one({"_id": record.key.decode()})
            assert task is not None
            task["state"] = "COMPLETED"
            await tasks.replace_one({"_id": task["_id"]}, task)
            done = await tasks.count_documents({"project_id": "P", "state": "COMPLETED"})
            await orders.update_one({"_id": "P"}, {"$set": {"good": done}})
            await tasks.bulk_write([InsertOne({**task, "_id": f"{task['_id']}+", "state": "LEASED"})])
            await producer.send_and_wait(bench.assignments, due.assignment, b"key", headers=due.headers)
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})
        return count / (time.perf_counter() - began)
    finally:
        await producer.stop()
        await consumer.stop()


async def first(consumer: AIOKafkaConsumer) -> None:
    """Join the group and fetch before the clock starts; then go back to the beginning."""
    while not consumer.assignment():
        await consumer.getmany(timeout_ms=100, max_records=1)
    await consumer.seek_to_beginning()


async def least_latency(bench: Bench, count: int) -> list[float]:
    """Milliseconds, sorted, from a report to an assignment where nothing is done on the way: Kafka, a transaction that
    writes one document, Kafka, another, Kafka. One message at a time, so nothing waits for anything else."""
    producer = bench.producer()
    await producer.start()
    hops = (bench.reports, bench.events, bench.assignments)
    consumers = [AIOKafkaConsumer(topic, bootstrap_servers=bench.kafka, auto_offset_reset="latest") for topic in hops]
    taken: list[float] = []
    try:
        for consumer in consumers:
            await consumer.start()
            await consumer.seek_to_end()
        for _ in range(count):
            began = time.perf_counter()
            for topic, consumer in zip(hops, consumers, strict=True):
                await producer.send_and_wait(topic, b"{}", b"key")
                await consumer.getone()
                if topic != hops[-1]:
                    async with bench.client.start_session() as session, await session.start_transaction():
                        await bench.database["latency"].insert_one({}, session=session)
            taken.append((time.perf_counter() - began) * 1000)
    finally:
        for consumer in consumers:
            await consumer.stop()
        await producer.stop()
    return sorted(taken)
