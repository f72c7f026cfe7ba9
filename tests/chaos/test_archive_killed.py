"""The process that archives is killed in the middle of a batch; another one goes on, and nothing is lost or doubled."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from libs.contracts.devices import DeviceOnline
from libs.kernel.clock import utc_now
from libs.runtime.service import Service
from services.execution.app import build
from services.execution.orders.domain.archive import MOST_AT_ONCE, archive_of
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, eventually, handling
from tests.integration.execution.work_orders import Order

pytestmark = pytest.mark.timeout(240)

TASKS = MOST_AT_ONCE + 40
HELD_UP_MS = 2000
"""How long the database holds the command up before which the process dies."""


@pytest.fixture
def service(mongodb: str, namespace: str) -> Service:
    return build(ExecutionSettings(mongodb=mongodb, namespace=namespace, dispatch_at_once=False))


@pytest.fixture
async def kernel(service: Service) -> AsyncIterator[Kernel]:
    async with handling(service) as kernel:
        await kernel.give(DeviceOnline(device_id="saw-1", device_type="saw", slots=TASKS))
        yield kernel


@asynccontextmanager
async def archiving(environment: dict[str, str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Execution as a process that archives whatever is closed."""
    at_once = {"FACTORY_ARCHIVE_AFTER_DAYS": "0", "FACTORY_HTTP_PORT": "0", "OTEL_TRACES_EXPORTER": "none"}
    with log.open("a") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.execution", env={**os.environ, **environment, **at_once}, stderr=file
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await asyncio.wait_for(process.wait(), 30)


@contextmanager
def held_up(mongodb: str, command: str, collection: str) -> Iterator[Any]:
    """The database takes its time over a command; gives a function that waits until one is there."""
    with MongoClient(mongodb) as client:
        data = {"failCommands": [command], "blockConnection": True, "blockTimeMS": HELD_UP_MS, "namespace": collection}
        was = client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=data)["count"]

        def there() -> None:
            client.admin.command("waitForFailPoint", "failCommand", timesEntered=was + 1, maxTimeMS=60_000)

        try:
            yield there
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.mark.parametrize(
    ("command", "collection"),
    [("insert", "ARCHIVE"), ("delete", "tasks")],
    ids=["before it is in the archive", "before it leaves the shop floor"],
)
async def test_a_kill_in_the_middle_loses_and_doubles_nothing(
    kernel: Kernel,
    kafka: str,
    mongodb: str,
    redis: str,
    backend_settings: dict[str, str],
    namespace: str,
    tmp_path: Path,
    command: str,
    collection: str,
) -> None:
    order = await Order(kernel, "P", TASKS).release()
    await order.complete()
    database, archive = kernel.database, archive_of(utc_now())

    async def ids(name: str) -> set[str]:
        return {each["_id"] async for each in database[name].find({"project_id": order.id}, {"_id": 1})}

    everything = await ids("tasks")
    assert len(everything) == TASKS
    environment = {
        **backend_settings,
        "FACTORY_KAFKA": kafka,
        "FACTORY_MONGODB": mongodb,
        "FACTORY_REDIS": redis,
        "FACTORY_NAMESPACE": namespace,
        "FACTORY_INSTANCE": "execution-0",  # its own successor: the broker need not find out that it died
    }
    log = tmp_path / "execution.log"
    name = f"{database.name}.{archive if collection == 'ARCHIVE' else collection}"
    with held_up(mongodb, command, name) as there:
        async with archiving(environment, log) as process:
            await asyncio.to_thread(there)
            process.send_signal(signal.SIGKILL)
            await process.wait()
    assert await ids("tasks") == everything
    assert await ids(archive) == set()

    async def closed() -> bool:
        return (await order.document()).get("archived_at") is not None

    async with archiving(environment, log):
        await eventually(closed)
    assert await ids("tasks") == set()
    assert await ids(archive) == everything
