"""The ports of execution on one adapter, and what is kept behind them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.contracts.devices import DeviceState
from libs.messaging.memory import MemoryStore
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.store import Store
from libs.messaging.work import Work
from services.execution.dispatch.memory import MemoryQueues
from services.execution.dispatch.mongo_queues import MongoQueues
from services.execution.dispatch.ports import Queues
from services.execution.equipment.domain.device import Device
from services.execution.equipment.memory import MemoryDevices, MemoryPlans
from services.execution.equipment.mongo_devices import MongoDevices
from services.execution.equipment.mongo_plans import MongoPlans
from services.execution.equipment.ports import Devices, Plans
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState, admitted
from services.execution.orders.memory import (
    MemoryArchive,
    MemoryGenerations,
    MemoryRoutings,
    MemoryTasks,
    MemoryWorkOrders,
)
from services.execution.orders.mongo_archive import MongoAllTasks, MongoArchive
from services.execution.orders.mongo_orders import MongoGenerations, MongoRoutings, MongoWorkOrders
from services.execution.orders.ports import Archive, Generations, Routings, Tasks, WorkOrders
from services.execution.progress.memory import MemoryLedger
from services.execution.progress.mongo_ledger import MongoLedger
from services.execution.progress.ports import Ledger
from tests.integration.execution.work_orders import admit
from tests.integration.own_database import remove_expired

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
KEEP = timedelta(days=35)


@dataclass
class Ports:
    store: Store
    devices: Devices
    plans: Plans
    orders: WorkOrders
    routings: Routings
    generations: Generations
    tasks: Tasks
    archive: Archive
    queues: Queues
    ledger: Ledger
    _remove_expired: Callable[[datetime], Awaitable[None]]
    """What the database does by itself as time passes; in memory nothing needs to be done."""
    now: datetime = NOON

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        async with self.store.transaction() as transaction:
            yield Work(transaction, "/test", self.now)

    async def passes(self, time: timedelta) -> None:
        self.now += time
        await self._remove_expired(self.now)

    async def create(self, *tasks: Task) -> None:
        async with self.work() as work:
            await self.tasks.create(work, tasks)

    async def load(self, *ids: str) -> dict[str, Task]:
        async with self.work() as work:
            return await self.tasks.load(work, ids)

    async def save_orders(self, *orders: WorkOrder) -> None:
        async with self.work() as work:
            await self.orders.save(work, orders)


def in_memory() -> Ports:
    async def nothing(now: datetime) -> None:
        return None

    orders, tasks = MemoryWorkOrders(KEEP), MemoryTasks()
    return Ports(
        MemoryStore(),
        MemoryDevices(),
        MemoryPlans(),
        orders,
        MemoryRoutings(),
        MemoryGenerations(KEEP),
        tasks,
        MemoryArchive(orders, tasks),
        MemoryQueues(tasks),
        MemoryLedger(),
        nothing,
    )


@asynccontextmanager
async def in_mongo(mongodb: str, name: str) -> AsyncIterator[Ports]:
    """On a database that is emptied beforehand, since to make all indexes takes longer than most tests."""
    client = driver.connect(mongodb)
    database = client[name]
    for collection in await database.list_collection_names():
        await database[collection].delete_many({})
    devices, plans = MongoDevices(database), MongoPlans(database)
    orders, generations = MongoWorkOrders(database, KEEP), MongoGenerations(database, KEEP)
    tasks, archive = MongoAllTasks(database), MongoArchive(database)
    for each in (devices, plans, orders, generations, tasks, archive):
        await each.prepare()
    yield Ports(
        MongoStore(client, database),
        devices,
        plans,
        orders,
        MongoRoutings(database),
        generations,
        tasks,
        archive,
        MongoQueues(database),
        MongoLedger(database),
        lambda now: remove_expired(database, now),
    )
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed


def device(id_: str = "saw-1", device_type: str = "saw", site: str = "main", **fields: Any) -> Device:
    about: dict[str, Any] = {"slots": 1, "state": DeviceState.IDLE, "last_seen": NOON, **fields}
    return Device(id=id_, site=site, device_type=device_type, **about)


def order(id_: str = "P", state: WorkOrderState = WorkOrderState.OPEN, site: str = "main", **fields: Any) -> WorkOrder:
    """Three pieces of recipe R on line 10, of one step."""
    return admitted(admit(id_, 3, 1), site, ()).model_copy(update={"state": state, **fields})


def routing() -> Routing:
    return Routing(admit("P", 3, 1).routings[0])


def task(number: int = 1, step: int = 1, project: str = "P", **fields: Any) -> Task:
    """It waits for a saw, unless told otherwise."""
    about: dict[str, Any] = {"site": "main", "recipe_code": "R", "snapshot_id": "snapshot-1", "device_type": "saw"}
    about |= {"cause": {"site": "main", "correlation_id": "c", "traceparent": None}, **fields}
    id_ = f"{project}/10/{about['recipe_code']}/{number}/{step}"
    return Task(id=id_, project_id=project, line_id="10", execution=number, step=step, **about)
