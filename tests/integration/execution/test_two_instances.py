"""Two instances of execution, partitions moving between them all the time: every task once, every count exact."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from libs.contracts import topics
from libs.contracts.devices import DeviceHeartbeat, DeviceOnline, HeldLease, TaskAssigned, TaskCompleted
from libs.contracts.execution import AdmitWorkOrder, ReleaseWorkOrder
from libs.contracts.task_generation import ExecutionRange, TaskBatch
from libs.kafka.topics import TopicAdmin
from libs.kernel.clock import utc_now
from libs.runtime.process import serve
from services.execution.app import build
from services.execution.settings import ExecutionSettings
from tests.harness import Wire, eventually, running
from tests.integration.execution.work_orders import admit

pytestmark = pytest.mark.timeout(240)

PROJECTS, EXECUTIONS, STEPS = 4, 60, 3
DEVICES = 6

DEVELOPMENT_BROKER = os.environ.get("KAFKA", "embedded") in ("", "embedded")
"""It loses its way when several members of a busy group come and go: there, one instance does the same work alone."""


@pytest.fixture
def settings(kafka: str, mongodb: str, namespace: str, backend_settings: dict[str, str]) -> dict[str, Any]:
    more = {name.removeprefix("FACTORY_").lower(): value for name, value in backend_settings.items()}
    return {**more, "kafka": kafka, "mongodb": mongodb, "namespace": namespace, "http_port": 0}


class Gateway:
    """Does what its devices are given: a quarter of it each time that the other instance has joined."""

    def __init__(self, wire: Wire, kafka: str, prefix: str, joined: list[int]) -> None:
        self.wire, self.kafka, self.joined = wire, kafka, joined
        self.topic = prefix + topics.device_tasks_topic("saw")
        self.given: dict[tuple[str, int], set[str]] = defaultdict(set)
        """Devices by task and fence."""

    async def work(self) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka, auto_offset_reset="earliest")
        await consumer.start()
        consumer.assign([TopicPartition(self.topic, number) for number in range(topics.DEVICES_TASKS.partitions)])
        await consumer.seek_to_beginning()
        try:
            while True:
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    for record in records:
                        await self._do(TaskAssigned.model_validate(orjson.loads(record.value)))
        finally:
            await consumer.stop()

    async def _do(self, task: TaskAssigned) -> None:
        known = (task.task_id, task.fence) in self.given
        self.given[task.task_id, task.fence].add(task.device_id)
        if known:
            return

        async def it_is_time() -> bool:
            return DEVELOPMENT_BROKER or len(self.joined) >= 4 * len(self.given) // (PROJECTS * EXECUTIONS * STEPS + 1)

        await eventually(it_is_time)
        ids = {"task_id": task.task_id, "fence": task.fence, "device_id": task.device_id}
        lease = HeldLease(task_id=task.task_id, fence=task.fence)
        await self.wire.send(DeviceHeartbeat(device_id=task.device_id, leases=(lease,)))
        await self.wire.send(TaskCompleted(**ids, project_id=task.project_id, at=utc_now()))


@asynccontextmanager
async def coming_and_going(settings: dict[str, Any]) -> AsyncIterator[list[int]]:
    """An instance that starts, takes its part of the partitions, works a while and stops, again and again."""
    times: list[int] = []

    async def churn() -> None:
        while True:
            service = build(ExecutionSettings(**settings))
            stop = asyncio.Event()
            running_ = asyncio.create_task(serve(service, stop))
            try:

                async def has_joined(health: Any = service.backends.health) -> bool:
                    found = await health.readiness()
                    return bool(found.checks) and found.ready

                await asyncio.sleep(0)
                await eventually(has_joined)
                times.append(1)
            finally:
                stop.set()
                await running_

    churning = asyncio.create_task(churn() if not DEVELOPMENT_BROKER else asyncio.sleep(0))
    try:
        yield times
    finally:
        churning.cancel()
        await asyncio.gather(churning, return_exceptions=True)


async def release(wire: Wire, project_id: str) -> None:
    ids = {"activation_id": f"{project_id}:1", "project_id": project_id}
    executions = ExecutionRange(
        line_id="10",
        recipe_code="R",
        snapshot_id=f"snapshot-{STEPS}",
        first_steps=(1,),
        first_execution=1,
        last_execution=EXECUTIONS,
    )
    order: AdmitWorkOrder = admit(project_id, EXECUTIONS, STEPS)
    await wire.send(order)
    batch = TaskBatch(**ids, generation_id=f"{project_id}/1", index=1, batches=1, executions=executions)

    async def is_there() -> bool:
        return any(said.message.project_id == project_id for said in await _admitted(wire))

    await eventually(is_there)
    await wire.send(batch)
    await wire.send(ReleaseWorkOrder(**ids))


async def _admitted(wire: Wire) -> list[Any]:
    name = "WorkOrderAdmitted"
    return await wire.hear(
        "execution.events.v1", until=lambda heard: any(type(each.message).__name__ == name for each in heard)
    )


async def test_every_task_once_and_every_count_exact(settings: dict[str, Any], kafka: str, namespace: str) -> None:
    # Given a kernel with devices, and an instance that stays (where a group may have several members at all)
    own = build(ExecutionSettings(**settings))
    prefix = f"{namespace}."
    tasks_topic = topics.Topic(topics.device_tasks_topic("saw"), "device_id", "execution", "events", 4)
    await TopicAdmin(kafka, prefix, 1).ensure((tasks_topic,))
    async with running(own) as wire:
        database = own.backends.database
        await wire.send(*(DeviceOnline(device_id=f"saw-{n}", device_type="saw", slots=20) for n in range(DEVICES)))
        for number in range(PROJECTS):
            await release(wire, f"P{number}")
        # When another comes and goes all the time while the work is done
        async with coming_and_going(settings) as times:
            gateway = Gateway(wire, kafka, prefix, times)
            working = asyncio.create_task(gateway.work())

            async def all_completed() -> bool:
                return await database["work_orders"].count_documents({"state": "COMPLETED"}) == PROJECTS

            await eventually(all_completed)
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
        # Then everything was given away once, counted once, and nothing is left
        assert DEVELOPMENT_BROKER or len(times) >= 3, "the other instance took part, again and again"
        assert len(gateway.given) == PROJECTS * EXECUTIONS * STEPS
        assert {fence for _, fence in gateway.given} == {1}
        assert all(len(devices) == 1 for devices in gateway.given.values())
        async for order in database["work_orders"].find():
            (recipe,) = order["lines"][0]["recipes"]
            assert (recipe["good"], recipe["begun"], recipe["scrapped"]) == (EXECUTIONS, EXECUTIONS, 0)
        assert await database["ledger"].count_documents({}) == PROJECTS * EXECUTIONS * STEPS
        assert await database["tasks"].count_documents({"state": {"$ne": "COMPLETED"}}) == 0
