"""No query of the execution service reads a collection from end to end: the database says how it found things."""

from datetime import timedelta
from typing import Any

from libs.contracts.devices import DeviceHeartbeat, DeviceOnline, HeldLease, TaskFailed, TaskStarted
from libs.contracts.execution import RevokeLeases
from libs.contracts.task_lists import ListTasks, TaskState
from libs.kernel.clock import utc_now
from libs.messaging.background import ticking
from libs.messaging.work import Work
from libs.runtime.service import Service
from services.execution.orders.mongo_archive import MongoArchive
from tests.harness import Kernel
from tests.integration.execution.planning import book, calendar, cancel, soon
from tests.integration.execution.work_orders import AT, Order

PROFILE_BYTES = 64 * 1024 * 1024


async def watch(kernel: Kernel) -> None:
    """Let the database write down every operation from now on."""
    await kernel.database.create_collection("system.profile", capped=True, size=PROFILE_BYTES)
    await kernel.database.command("profile", 2)


async def operations(kernel: Kernel) -> list[dict[str, Any]]:
    await kernel.database.command("profile", 0)
    found = kernel.database["system.profile"].find({"planSummary": {"$exists": True}})
    return [each async for each in found if not each["ns"].endswith(".system.profile")]


async def all_ticks(service: Service, kernel: Kernel, later: timedelta) -> None:
    for tick in service.ticks:
        store = service.backends.store
        await ticking(service.name, tick, store, kernel.publisher, lambda: utc_now() + later).once()


async def a_day_on_the_shop_floor(kernel: Kernel, service: Service) -> None:
    done = await Order(kernel, "DONE", 4, steps=2).release()
    task, *others = await done.assigned()
    ids = {"task_id": task.task_id, "fence": task.fence, "device_id": task.device_id}
    await kernel.give(DeviceHeartbeat(device_id=task.device_id, leases=(HeldLease(task_id=task.task_id, fence=1),)))
    await kernel.give(TaskStarted(**ids, project_id="DONE", at=AT))
    await kernel.give(TaskFailed(**ids, project_id="DONE", at=AT, reason="jammed"))
    await kernel.give(*[done.report(other) for other in others])
    await all_ticks(service, kernel, timedelta(minutes=1))
    await kernel.give(DeviceOnline(device_id="saw-1", device_type="saw", slots=3))  # a minute of silence was too long
    await done.complete()
    assert (await done.document())["state"] == "COMPLETED"
    cancelled = await Order(kernel, "CANCELLED", 4).release()
    await cancelled.assigned()
    await cancelled.cancel()
    await kernel.give(RevokeLeases(device_type="saw", project_id="CANCELLED", reason="not needed"))
    await kernel.give(book("A", soon()), book("B", soon()), calendar("press-1"), cancel("A"), cancel("A"))
    await all_ticks(service, kernel, timedelta(days=31))
    await kernel.give(done.report(task))
    async with service.backends.store.transaction() as transaction:
        work = Work(transaction, "/test", utc_now())
        assert await MongoArchive(service.backends.database).tasks_of(work, "DONE", "", 100)
    await kernel.give(ListTasks(project_id="DONE", states=(TaskState.COMPLETED,), step=1, first_execution=2))


async def test_every_query_uses_an_index(kernel: Kernel, service: Service) -> None:
    await watch(kernel)
    await a_day_on_the_shop_floor(kernel, service)
    seen = await operations(kernel)
    collections = {each["ns"].partition(".")[2] for each in seen}
    assert {"tasks", "work_orders", "devices", "plans", "past_reservations", "generations"} <= collections
    assert {name for name in collections if name.startswith("tasks_")}, "the archive was read"
    scans = [(each["ns"], each["command"]) for each in seen if "COLLSCAN" in each["planSummary"]]
    assert scans == []
