"""Completions: from the report in Kafka to the next step's assignment in Kafka, everything committed in between."""

import asyncio
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import AsyncMongoClient

from libs.messaging.records import Cause, Record, encode
from tests.benchmarks import designs
from tests.benchmarks.conftest import Report
from tests.benchmarks.designs import Bench, Due
from tests.benchmarks.floor import DEVICES, EXECUTIONS, Floor, execution, written
from tests.benchmarks.pace import Place, evenly, latency

pytestmark = pytest.mark.timeout(1500)

ROUNDS = 3
ALONE = 300
PACED = 6000
WARM_UP_SECONDS = 75
STEPS = 2 * ROUNDS + 3
"""For a round that warms up, those that are measured, those when much is done, and one that is left over."""
DONE = 1_000_000


async def round_of(floor: Floor, assigned: Sequence[dict[str, Any]]) -> tuple[float, list[dict[str, Any]]]:
    """All reports at once; completions a second until every next step is assigned."""
    reports = written(floor.reports(assigned))
    began = time.perf_counter()
    await floor.send_records(reports)
    heard = await floor.hear(len(reports))
    return len(reports) / (heard[-1][0] - began), [each for _, each in heard]


async def paced(floor: Floor, assigned: Sequence[dict[str, Any]], rate: float, count: int) -> list[float]:
    """Reports at an even pace, of what was assigned longest ago; milliseconds to the assignments of the next steps."""
    held = deque(assigned)
    sent: dict[str, float] = {}
    taken: list[float] = []

    async def send() -> None:
        async for _ in evenly(rate, count):
            assert held, "every slot waits for its next task: there are too few for this pace"
            (report,) = floor.reports([held.popleft()])
            sent[_execution(report.task_id)] = time.perf_counter()
            await floor.post(report)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        while len(taken) < count:
            for at, each in await floor.hear(1):
                held.append(each)
                taken.append((at - sent[_execution(each["task_id"])]) * 1000)
    return sorted(taken)


def _execution(task_id: str) -> str:
    return task_id.rsplit("/", 1)[0]


async def alone(floor: Floor, assigned: Sequence[dict[str, Any]]) -> tuple[list[float], list[dict[str, Any]]]:
    """One report at a time, nothing else on the floor; milliseconds to the assignment of the next step."""
    taken: list[float] = []
    following: list[dict[str, Any]] = []
    for each in assigned:
        report = written(floor.reports([each]))
        began = time.perf_counter()
        await floor.send_records(report)
        ((at, next_one),) = await floor.hear(1)
        taken.append((at - began) * 1000)
        following.append(next_one)
    return sorted(taken), following


async def latencies(
    kafka: str, mongodb: str, redis: str, namespace: str, home: Path, rate: float
) -> tuple[list[float], list[float]]:
    """One at a time, and at a pace, on a floor with slots for tasks of a second at that pace, and some to spare."""
    slots = int(2 * rate / DEVICES) * DEVICES
    steps = PACED // slots + 3
    async with execution(kafka, mongodb, redis, namespace, home, steps, slots) as floor:
        assigned = [each for _, each in await floor.hear(slots)]
        single, moved = await alone(floor, assigned[:ALONE])
        return single, await paced(floor, assigned[ALONE:] + moved, rate, PACED)


async def grow(database: Any) -> None:
    """As after a million completions: copies of what real ones have left in tasks, ledger and inbox."""
    for name in ("tasks", "ledger", "inbox"):
        query = {"state": "COMPLETED"} if name == "tasks" else {}
        left = await database[name].find(query).limit(1000).to_list(None)
        for copy in range(DONE // len(left)):
            copies = [{**each, "_id": f"{each['_id']}~{copy}"} for each in left]
            await database[name].insert_many(copies, ordered=False)


@pytest.fixture
async def bench(kafka: str, mongodb: str, namespace: str) -> AsyncIterator[Bench]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongodb)
    name = f"{namespace}_bench"
    events, assignments = f"{namespace}.bench-events", f"{namespace}.bench-assignments"
    await create(kafka, events, assignments)
    try:
        yield Bench(kafka, designs.majority(client, name), client, f"{namespace}.bench-reports", events, assignments)
    finally:
        await client.drop_database(name)
        await client.close()


async def create(kafka: str, *names: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1) for name in names])
    await admin.close()


IDS = [f"P/10/BELL/{number}/1" for number in range(EXECUTIONS)]


async def anew(bench: Bench, template: dict[str, Any]) -> None:
    """The same tasks for the designs that execution is compared with, and a topic for their reports."""
    bench.reports += "-again"
    await create(bench.kafka, bench.reports)
    await designs.prepare(bench, [{**template, "_id": id_} for id_ in IDS], {"_id": "P", "good": 0})


async def fill(bench: Bench, template: dict[str, Any], record: Record) -> None:
    """`anew`, and a report of every task on its topic."""
    await anew(bench, template)
    producer = bench.producer()
    await producer.start()
    sent = [await producer.send(bench.reports, record.value, id_.encode(), headers=record.headers) for id_ in IDS]
    for future in sent:
        await future
    await producer.stop()


async def floor_latency(
    bench: Bench, mongodb: str, template: dict[str, Any], record: Record, due: Due, rate: float
) -> list[float]:
    """Of the floor, at the same pace."""
    await anew(bench, template)
    topics = (bench.reports, bench.events, bench.assignments)
    place = Place(bench.kafka, mongodb, bench.database.name, *topics, (len(due.event), len(due.assignment)))
    return await latency(place, record.value, IDS, rate)


def told(milliseconds: Sequence[float]) -> str:
    p99 = milliseconds[int(len(milliseconds) * 0.99)]
    return f"median {statistics.median(milliseconds):.0f} ms, p99 {p99:.0f} ms"


async def warm_up(kafka: str, mongodb: str, redis: str, namespace: str, home: Path) -> None:
    """Let the broker do for a while what it will be measured at: for its first minutes a fresh JVM spends up to half a
    core on compiling, which would be to the cost of what is measured first."""
    slots, rate = 600, 300
    count = rate * WARM_UP_SECONDS
    async with execution(kafka, mongodb, redis, namespace, home, count // slots + 3, slots) as floor:
        await paced(floor, [each for _, each in await floor.hear(slots)], rate, count)


async def warm(floor: Floor) -> tuple[float, list[dict[str, Any]]]:
    """Completions a second, and what is assigned then; after a round that is not counted, as whatever this is
    compared with finds a broker that is warm already."""
    _, assigned = await round_of(floor, [each for _, each in await floor.hear(EXECUTIONS)])
    return await rounds(floor, assigned)


async def rounds(floor: Floor, assigned: list[dict[str, Any]]) -> tuple[float, list[dict[str, Any]]]:
    rates = []
    for _ in range(ROUNDS):
        rate, assigned = await round_of(floor, assigned)
        rates.append(rate)
    return statistics.median(rates), assigned


async def test_completions(
    kafka: str, mongodb: str, redis: str, namespace: str, bench: Bench, tmp_path: Path, report: Report
) -> None:
    await warm_up(kafka, mongodb, redis, f"{namespace}-w", tmp_path)
    async with execution(kafka, mongodb, redis, namespace, tmp_path, STEPS) as floor:
        ours, assigned = await warm(floor)
        async with AsyncMongoClient(mongodb) as client:
            template = await client[f"{namespace}_factory_execution"]["tasks"].find_one({"state": "LEASED"})
        assert template is not None
    single, milliseconds = await latencies(kafka, mongodb, redis, f"{namespace}-l", tmp_path, ours / 2)
    record = encode(floor.reports(assigned)[0], Cause("main"), "/bench")
    due = Due(orjson.dumps({"x": "y" * 600}), orjson.dumps(assigned[0]), record.headers)
    raw, per_message = [], []
    for _ in range(2):
        await fill(bench, template, record)
        raw.append(await designs.floor(bench, EXECUTIONS, due))
        await fill(bench, template, record)
        per_message.append(await designs.usual(bench, 300, due))
    floors = await floor_latency(bench, mongodb, template, record, due, ours / 2)
    idle = await designs.least_latency(bench, 300)
    usual, least = statistics.median(per_message), statistics.median(raw)
    report(f"completions: {ours:,.0f}/s ÷ floor {least:,.0f}/s = {ours / least:.2f} (wanted: 0.5)")
    report(f"completions: {ours:,.0f}/s ÷ usual design {usual:,.0f}/s = {ours / usual:.1f} (wanted: 30)")
    report(
        f"completion → next assignment at half load ({ours / 2:,.0f}/s): {told(milliseconds)} (wanted: p99 < 50);"
        f" at the same pace, the floor: {told(floors)}"
    )
    report(
        f"completion → next assignment, one at a time: {told(single)};"
        f" the same way through Kafka and MongoDB with nothing done on it: {told(idle)}"
    )


async def test_completions_when_much_is_done(
    kafka: str, mongodb: str, redis: str, namespace: str, tmp_path: Path, report: Report
) -> None:
    async with execution(kafka, mongodb, redis, namespace, tmp_path, STEPS) as floor:
        before, assigned = await warm(floor)
        async with AsyncMongoClient(mongodb) as client:
            await grow(client[f"{namespace}_factory_execution"])
        after, _ = await rounds(floor, assigned)
    report(
        f"cost of a completion with {DONE:,} tasks done {1e6 / after:,.0f} µs ÷ at the beginning"
        f" {1e6 / before:,.0f} µs = {before / after:.2f} (wanted: ≤ 1.2)"
    )
