"""Completions: from the report in Kafka to the next step's assignment in Kafka, everything committed in between."""

import asyncio
import os
import statistics
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import AsyncMongoClient

from libs.contracts import topics
from libs.contracts.base import Message
from libs.contracts.devices import DeviceOnline, TaskCompleted
from libs.contracts.execution import AdmitWorkOrder, ReleaseWorkOrder
from libs.contracts.task_generation import ExecutionRange, TaskBatch
from libs.devkit.processes import free_port
from libs.kernel.clock import utc_now
from libs.messaging.records import Cause, Record, encode
from libs.messaging.topics import TopicAdmin
from tests.benchmarks import designs
from tests.benchmarks.conftest import Report
from tests.benchmarks.designs import Bench

pytestmark = pytest.mark.timeout(1500)

EXECUTIONS = 6000
ROUNDS = 3
ALONE = 300
STEPS = 2 * ROUNDS + 3
DONE = 1_000_000
DEVICES, SLOTS = 10, EXECUTIONS // 10
PRESS = "press"
PROJECT = "P"


def admit() -> AdmitWorkOrder:
    step = {"name": "press", "device_type": PRESS, "expected_seconds": 1, "parameters": {"force_kN": 12}}
    steps = [
        {**step, "step": n, "depends_on": [n - 1] if n > 1 else [], "max_attempts": 3, "on_exhausted": "HOLD"}
        for n in range(1, STEPS + 1)
    ]
    recipe = {"recipe_code": "BELL", "snapshot_id": "s" * 64, "quantity": 1}
    return AdmitWorkOrder.model_validate(
        {
            "activation_id": f"{PROJECT}:1",
            "project_id": PROJECT,
            "order_id": "O-1",
            "priority": "MEDIUM",
            "ordered_at": utc_now(),
            "routings": [{"snapshot_id": "s" * 64, "recipe_code": "BELL", "steps": steps}],
            "lines": [{"line_id": "10", "target_quantity": EXECUTIONS, "recipes": [recipe]}],
        }
    )


def written(messages: Sequence[Message]) -> list[Record]:
    return [encode(message, Cause("main"), "/bench") for message in messages]


class Floor:
    """One execution process on real backends, and the devices it works for."""

    def __init__(self, kafka: str, namespace: str) -> None:
        self.kafka, self.prefix = kafka, f"{namespace}."
        self.late: list[tuple[float, dict[str, Any]]] = []
        """The assignments of the paced round."""

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=self.kafka, acks="all", linger_ms=2)
        await self._producer.start()
        self._consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await self._consumer.start()
        topic = self.prefix + topics.device_tasks_topic(PRESS)
        self._consumer.assign([TopicPartition(topic, number) for number in range(topics.DEVICES_TASKS.partitions)])

    async def stop(self) -> None:
        await self._consumer.stop()
        await self._producer.stop()

    async def send(self, *messages: Message) -> None:
        await self.send_records(written(messages))

    async def send_records(self, records: Sequence[Record]) -> None:
        sent = [
            await self._producer.send(self.prefix + record.topic, record.value, record.key, headers=record.headers)
            for record in records
        ]
        for future in sent:
            await future

    async def post(self, message: Message) -> None:
        """Send and do not wait."""
        (record,) = written([message])
        await self._producer.send(self.prefix + record.topic, record.value, record.key, headers=record.headers)

    async def hear(self, count: int, patience: float = 300) -> list[tuple[float, dict[str, Any]]]:
        """The next assignments, each with the moment at which a gateway has it."""
        heard: list[tuple[float, dict[str, Any]]] = []
        deadline = time.monotonic() + patience
        while len(heard) < count:
            assert time.monotonic() < deadline, f"{len(heard)} of {count} assignments came"
            found = await self._consumer.getmany(timeout_ms=20)
            now = time.perf_counter()
            heard += [(now, orjson.loads(each.value)) for records in found.values() for each in records]
        return heard

    def reports(self, assigned: Sequence[dict[str, Any]]) -> list[TaskCompleted]:
        now = utc_now()
        return [
            TaskCompleted(
                task_id=each["task_id"],
                fence=each["fence"],
                device_id=each["device_id"],
                project_id=PROJECT,
                at=now,
                measurements={"force_kN": 11.9},
            )
            for each in assigned
        ]


@asynccontextmanager
async def execution(kafka: str, mongodb: str, redis: str, namespace: str, home: Path) -> AsyncIterator[Floor]:
    """The service as its own process, the order released and every execution's first step assigned."""
    floor = Floor(kafka, namespace)
    admin = TopicAdmin(kafka, floor.prefix, 1)
    await admin.ensure((topics.Topic(topics.device_tasks_topic(PRESS), "device_id", "execution", "events", 4),))
    port = free_port()
    settings = {
        "FACTORY_KAFKA": kafka,
        "FACTORY_MONGODB": mongodb,
        "FACTORY_REDIS": redis,
        "FACTORY_NAMESPACE": namespace,
        "FACTORY_HTTP_PORT": str(port),
        "FACTORY_KAFKA_REPLICAS": "1",
        "FACTORY_LEASE_SECONDS": "3600",
        "FACTORY_SILENCE_SECONDS": "3600",
        "FACTORY_WINDOW": "100000",
    }
    log = (home / "execution.log").open("w")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.execution", env=os.environ | settings, stdout=log, stderr=log
    )
    try:
        await _ready(port, process)
        await floor.start()
        await floor.send(
            *(DeviceOnline(device_id=f"press-{n}", device_type=PRESS, slots=SLOTS) for n in range(DEVICES))
        )
        ids = {"activation_id": f"{PROJECT}:1", "project_id": PROJECT}
        await floor.send(admit())
        await _there(mongodb, namespace, "work_orders", 1)
        batches = EXECUTIONS // 500
        await floor.send(
            *(
                TaskBatch(
                    **ids,
                    generation_id=f"{PROJECT}/1",
                    index=n,
                    batches=batches,
                    executions=ExecutionRange(
                        line_id="10",
                        recipe_code="BELL",
                        snapshot_id="s" * 64,
                        first_steps=(1,),
                        first_execution=(n - 1) * 500 + 1,
                        last_execution=n * 500,
                    ),
                )
                for n in range(1, batches + 1)
            )
        )
        await _there(mongodb, namespace, "tasks", EXECUTIONS)
        await floor.send(ReleaseWorkOrder(**ids))
        yield floor
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)
        await floor.stop()
        log.close()


async def _there(mongodb: str, namespace: str, name: str, count: int) -> None:
    """Wait until the service has stored so many documents."""
    async with AsyncMongoClient(mongodb) as client:
        collection = client[f"{namespace}_factory_execution"][name]
        deadline = time.monotonic() + 60
        while await collection.count_documents({}) < count:
            assert time.monotonic() < deadline, f"{count} {name} did not come"
            await asyncio.sleep(0.1)


async def _ready(port: int, process: asyncio.subprocess.Process) -> None:
    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    deadline = time.monotonic() + 60
    while not await asyncio.to_thread(answers):
        assert process.returncode is None, "execution ended"
        assert time.monotonic() < deadline, "execution is not ready"
        await asyncio.sleep(0.2)


async def round_of(floor: Floor, assigned: Sequence[dict[str, Any]]) -> tuple[float, list[dict[str, Any]]]:
    """All reports at once; completions a second until every next step is assigned."""
    reports = written(floor.reports(assigned))
    began = time.perf_counter()
    await floor.send_records(reports)
    heard = await floor.hear(len(reports))
    return len(reports) / (heard[-1][0] - began), [each for _, each in heard]


async def paced(floor: Floor, assigned: Sequence[dict[str, Any]], rate: float) -> list[float]:
    """Reports at an even pace; milliseconds from each report to the assignment of the next step."""
    sent: dict[str, float] = {}

    async def send() -> None:
        began = time.perf_counter()
        for number, report in enumerate(floor.reports(assigned)):
            ahead = began + number / rate - time.perf_counter()
            if ahead > 0:
                await asyncio.sleep(ahead)
            sent[report.task_id.rsplit("/", 1)[0]] = time.perf_counter()
            await floor.post(report)

    sending = asyncio.create_task(send())
    heard = floor.late = await floor.hear(len(assigned))
    await sending
    return sorted((at - sent[each["task_id"].rsplit("/", 1)[0]]) * 1000 for at, each in heard)


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


async def fill(bench: Bench, template: dict[str, Any], report: TaskCompleted) -> list[tuple[str, bytes]]:
    """The same tasks and reports for the designs that execution is compared with; the reports on a topic anew."""
    bench.reports += "-again"
    await create(bench.kafka, bench.reports)
    tasks = [{**template, "_id": f"P/10/BELL/{number}/1"} for number in range(EXECUTIONS)]
    await designs.prepare(bench, tasks, {"_id": "P", "good": 0})
    record = encode(report, Cause("main"), "/bench")
    producer = bench.producer()
    await producer.start()
    sent = [
        await producer.send(bench.reports, record.value, task["_id"].encode(), headers=record.headers) for task in tasks
    ]
    for future in sent:
        await future
    await producer.stop()
    return record.headers


def told(milliseconds: Sequence[float]) -> str:
    p99 = milliseconds[int(len(milliseconds) * 0.99)]
    return f"median {statistics.median(milliseconds):.0f} ms, p99 {p99:.0f} ms"


async def test_completions(
    kafka: str, mongodb: str, redis: str, namespace: str, bench: Bench, tmp_path: Path, report: Report
) -> None:
    async with execution(kafka, mongodb, redis, namespace, tmp_path) as floor:
        assigned = [each for _, each in await floor.hear(EXECUTIONS)]
        rates = []
        for _ in range(ROUNDS):
            rate, assigned = await round_of(floor, assigned)
            rates.append(rate)
        ours = statistics.median(rates)
        single, moved = await alone(floor, assigned[:ALONE])
        assigned = assigned[ALONE:] + moved
        milliseconds = await paced(floor, assigned, ours / 2)
        assigned = [each for _, each in floor.late]
        async with AsyncMongoClient(mongodb) as client:
            database = client[f"{namespace}_factory_execution"]
            template = await database["tasks"].find_one({"state": "LEASED"})
            await grow(database)
        old = []
        for _ in range(ROUNDS):
            rate, assigned = await round_of(floor, assigned)
            old.append(rate)
        assert template is not None
    example = floor.reports(assigned)[0]
    event = orjson.dumps({"x": "y" * 600})
    assignment = orjson.dumps(assigned[0])
    raw, per_message = [], []
    for _ in range(2):
        headers = await fill(bench, template, example)
        raw.append(await designs.floor(bench, EXECUTIONS, event, assignment, headers))
        await fill(bench, template, example)
        per_message.append(await designs.usual(bench, 300, assignment, headers))
    idle = await designs.least_latency(bench, 300)
    usual, least = statistics.median(per_message), statistics.median(raw)
    later = statistics.median(old)
    report(
        f"cost of a completion with {DONE:,} tasks done {1e6 / later:,.0f} µs ÷ at the beginning"
        f" {1e6 / ours:,.0f} µs = {ours / later:.2f} (wanted: ≤ 1.2)"
    )
    report(f"completions: {ours:,.0f}/s ÷ floor {least:,.0f}/s = {ours / least:.2f} (wanted: 0.5)")
    report(f"completions: {ours:,.0f}/s ÷ usual design {usual:,.0f}/s = {ours / usual:.1f} (wanted: 30)")
    report(
        f"completion → next assignment at half load ({ours / 2:,.0f}/s): {told(milliseconds)} (wanted: p99 < 50);"
        f" one at a time: {told(single)}; the same way through Kafka and MongoDB with nothing done on it: {told(idle)}"
    )
