"""How long the compared designs take from a report to the next assignment, at a pace: as processes, as execution is.

`python -m tests.benchmarks.pace '{...}'` is such a process; it says when it listens, and works until it is ended.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

import uvloop
from aiokafka import AIOKafkaConsumer
from pymongo import AsyncMongoClient

from tests.benchmarks import designs
from tests.benchmarks.designs import Bench, Due

WARM_UP = 200
"""Reports at the beginning that are not measured."""


@dataclass(frozen=True)
class Place:
    """Where the process finds what it works on, and what it does."""

    kafka: str
    mongodb: str
    database: str
    reports: str
    events: str
    assignments: str
    sizes: tuple[int, int]
    """Bytes of an event and of an assignment."""

    def bench(self) -> Bench:
        client: AsyncMongoClient[designs.Document] = AsyncMongoClient(self.mongodb)
        database = designs.majority(client, self.database)
        return Bench(self.kafka, database, client, self.reports, self.events, self.assignments)


async def evenly(rate: float, count: int) -> AsyncIterator[int]:
    """0, 1, 2, …: so many a second, each when it is due or, behind time, at once."""
    began = time.perf_counter()
    for number in range(count):
        ahead = began + number / rate - time.perf_counter()
        if ahead > 0:
            await asyncio.sleep(ahead)
        yield number


async def serve(place: Place) -> None:
    event, assignment = place.sizes
    due = Due(b"e" * event, b"a" * assignment, [("ce_type", b"device.task.assigned.v1")])
    bench = place.bench()
    consumer, producer = bench.consumer("paced"), bench.producer(linger_ms=0)
    await consumer.start()
    await producer.start()
    await designs.first(consumer)
    sys.stdout.write("listens\n")
    sys.stdout.flush()
    tidying: set[asyncio.Task[None]] = set()
    while True:
        for partition, records in (await consumer.getmany(timeout_ms=200, max_records=designs.BATCH)).items():
            await designs.complete(bench, producer, due, records)
            beside = asyncio.create_task(designs.tidy(bench, consumer, partition, records))
            tidying.add(beside)
            beside.add_done_callback(tidying.discard)


async def latency(place: Place, report: bytes, ids: list[str], rate: float) -> list[float]:
    """Milliseconds, sorted, from each report to its assignment, so many reports a second."""
    command = (sys.executable, "-m", "tests.benchmarks.pace", json.dumps(asdict(place)))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    bench = place.bench()
    producer = bench.producer()
    consumer = AIOKafkaConsumer(bench.assignments, bootstrap_servers=bench.kafka, auto_offset_reset="latest")
    sent: dict[bytes, float] = {}
    heard: dict[bytes, float] = {}

    async def send() -> None:
        async for number in evenly(rate, len(ids)):
            id_ = ids[number]
            sent[id_.encode()] = time.perf_counter()
            await producer.send(bench.reports, report, id_.encode())

    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"listens\n", "the design did not start"
        await producer.start()
        await consumer.start()
        await consumer.seek_to_end()
        async with asyncio.timeout(300), asyncio.TaskGroup() as group:
            group.create_task(send())
            while len(heard) < len(ids):
                found = await consumer.getmany(timeout_ms=20)
                now = time.perf_counter()
                heard |= {each.key: now for records in found.values() for each in records}
    finally:
        process.terminate()
        await process.wait()
        await producer.stop()
        await consumer.stop()
        await bench.client.close()
    return sorted((heard[key] - sent[key]) * 1000 for key in list(sent)[WARM_UP:])


if __name__ == "__main__":
    uvloop.run(serve(Place(**json.loads(sys.argv[1]))))
