"""One execution process on real backends with an order of many executions, and the devices that it works for."""

import asyncio
import os
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pymongo import AsyncMongoClient

from libs.contracts import topics
from libs.contracts.base import Message
from libs.contracts.devices import DeviceOnline, TaskCompleted
from libs.contracts.execution import AdmitWorkOrder, ReleaseWorkOrder
from libs.contracts.task_generation import ExecutionRange, TaskBatch
from libs.devkit.processes import free_port
from libs.kafka.topics import TopicAdmin
from libs.kernel.clock import utc_now
from libs.messaging.records import Cause, Record, encode

EXECUTIONS = 6000
DEVICES = 10
PRESS = "press"
PROJECT = "P"


def admit(steps_each: int, executions: int) -> AdmitWorkOrder:
    step = {"name": "press", "device_type": PRESS, "expected_seconds": 1, "parameters": {"force_kN": 12}}
    steps = [
        {**step, "step": n, "depends_on": [n - 1] if n > 1 else [], "max_attempts": 3, "on_exhausted": "HOLD"}
        for n in range(1, steps_each + 1)
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
            "lines": [{"line_id": "10", "target_quantity": executions, "recipes": [recipe]}],
        }
    )


def written(messages: Sequence[Message]) -> list[Record]:
    return [encode(message, Cause("main"), "/bench") for message in messages]


class Floor:
    """One execution process on real backends, and the devices it works for."""

    def __init__(self, kafka: str, namespace: str) -> None:
        self.kafka, self.prefix = kafka, f"{namespace}."

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
async def execution(
    kafka: str, mongodb: str, redis: str, namespace: str, home: Path, steps: int, executions: int = EXECUTIONS
) -> AsyncIterator[Floor]:
    """The service as its own process, the order released, and a slot for every execution's first step."""
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
            *(
                DeviceOnline(device_id=f"press-{n}", device_type=PRESS, slots=executions // DEVICES)
                for n in range(DEVICES)
            )
        )
        ids = {"activation_id": f"{PROJECT}:1", "project_id": PROJECT}
        await floor.send(admit(steps, executions))
        await _there(mongodb, namespace, "work_orders", 1)
        batches = -(-executions // 500)
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
                        last_execution=min(n * 500, executions),
                    ),
                )
                for n in range(1, batches + 1)
            )
        )
        await _there(mongodb, namespace, "tasks", executions)
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
