"""Given closed orders, when the site's time is over, then their tasks are in the archive: all, once, still known."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.contracts.devices import DeviceOnline, TaskStarted
from libs.contracts.execution import IgnoredReason, RevokeLeases
from libs.kernel.clock import utc_now
from libs.messaging.background import ticking
from libs.messaging.work import Work
from libs.runtime.service import Service
from services.execution.app import build
from services.execution.orders.domain.archive import MOST_AT_ONCE, archive_of
from services.execution.orders.domain.policies import NO_POLICIES
from services.execution.orders.handlers.archive import ArchiveHandlers
from services.execution.orders.mongo_archive import MongoArchive
from services.execution.settings import ExecutionSettings, SitePolicy
from tests.harness import Kernel, handling
from tests.integration.execution.work_orders import AT, Order, ignored

DAY = timedelta(days=1)
SAWS = MOST_AT_ONCE


@pytest.fixture
def service(mongodb: str, namespace: str) -> Service:
    policies = {"patient": SitePolicy(archive_after_days=100)}
    return build(
        ExecutionSettings(mongodb=mongodb, namespace=namespace, site_policies=policies, dispatch_at_once=False)
    )


@pytest.fixture
async def floor(service: Service) -> AsyncIterator[Kernel]:
    async with handling(service) as kernel:
        for site in ("main", "patient"):
            await kernel.give(DeviceOnline(device_id="saw-1", device_type="saw", slots=SAWS), site=site)
        yield kernel


async def archive(service: Service, floor: Kernel, later: timedelta = 31 * DAY) -> None:
    """One batch, some time later."""
    (tick,) = [each for each in service.ticks if each.name == "archive"]
    await ticking(service.name, tick, service.backends.store, floor.publisher, lambda: utc_now() + later).once()


async def on_the_floor(floor: Kernel, order: Order) -> set[str]:
    return {each["_id"] async for each in floor.database["tasks"].find({"project_id": order.id})}


async def archived(floor: Kernel, order: Order, name: str = "") -> dict[str, Any]:
    found = floor.database[name or archive_of(utc_now())].find({"project_id": order.id})
    return {each["_id"]: each async for each in found}


async def known(service: Service, order: Order, page: int = 400) -> list[str]:
    """All its tasks, read page by page."""
    repository, ids, after = MongoArchive(service.backends.database), [], ""
    while True:
        async with service.backends.store.transaction() as transaction:
            tasks = await repository.tasks_of(Work(transaction, "/test", utc_now()), order.id, after, page)
        if not tasks:
            return ids
        ids += [task.id for task in tasks]
        after = ids[-1]


@pytest.mark.parametrize(
    ("ended", "name"),
    [("2026-01-01", "tasks_2026q1"), ("2026-06-30", "tasks_2026q2"), ("2027-12-31", "tasks_2027q4")],
)
def test_an_archive_holds_a_quarter(ended: str, name: str) -> None:
    assert archive_of(datetime.fromisoformat(ended)) == name


async def test_tasks_of_a_completed_order_go_after_the_sites_time_and_not_before(
    floor: Kernel, service: Service
) -> None:
    order = await Order(floor, "P", 3, steps=2).release()
    await order.complete()
    ledger = await floor.database["ledger"].count_documents({})
    before = await order.document()
    await archive(service, floor, 29 * DAY)
    assert len(await on_the_floor(floor, order)) == 6
    await archive(service, floor)
    assert await on_the_floor(floor, order) == set()
    moved = await archived(floor, order)
    assert len(moved) == 6
    assert {each["state"] for each in moved.values()} == {"COMPLETED"}
    after = await order.document()
    assert after["archived_in"] == archive_of(after["ended_at"])
    assert after["archived_at"] is not None
    assert after["lines"] == before["lines"], "counters stay where they are"
    assert await floor.database["ledger"].count_documents({}) == ledger


async def test_open_orders_and_sites_with_more_patience_are_left_alone(floor: Kernel, service: Service) -> None:
    done = await Order(floor, "DONE", 2).release()
    await done.complete()
    patient = await Order(floor, "PATIENT", 2, site="patient").release()
    await patient.complete()
    open_ = await Order(floor, "OPEN", 2).release()
    await archive(service, floor, 99 * DAY)
    assert await on_the_floor(floor, done) == set()
    assert len(await on_the_floor(floor, patient)) == 2
    assert len(await on_the_floor(floor, open_)) == 2
    await archive(service, floor, 101 * DAY)
    assert await on_the_floor(floor, patient) == set()
    assert len(await on_the_floor(floor, open_)) == 2


async def test_a_late_report_is_a_duplicate_and_moves_nothing(floor: Kernel, service: Service) -> None:
    order = await Order(floor, "P", 2, steps=2).release()
    reports = await order.complete()
    await archive(service, floor)
    before = await order.document()
    said = await floor.give(*reports)
    assert ignored(said) == [IgnoredReason.DUPLICATE] * 4
    assert await order.document() == before
    assert await on_the_floor(floor, order) == set()
    stranger = reports[0].model_copy(update={"task_id": "P/10/R/99/1"})
    assert ignored(await floor.give(stranger)) == [IgnoredReason.UNKNOWN_TASK]
    elsewhere = await floor.give(reports[0], site="patient")
    assert ignored(elsewhere) == [IgnoredReason.UNKNOWN_TASK]


async def test_a_project_is_read_from_floor_and_archive_alike(floor: Kernel, service: Service) -> None:
    order = await Order(floor, "P", MOST_AT_ONCE + 40).release()
    await order.complete()
    everything = sorted(await on_the_floor(floor, order))
    assert len(everything) == MOST_AT_ONCE + 40
    for still_there in (40, 0):
        await archive(service, floor)
        assert len(await on_the_floor(floor, order)) == still_there
        assert (await order.document())["archived_in"] is not None
        assert await known(service, order) == everything
    assert (await order.document())["archived_at"] is not None


async def test_small_orders_share_a_batch(floor: Kernel, service: Service) -> None:
    orders = [Order(floor, f"P{number}", 3) for number in range(4)]
    for order in orders:
        await order.release()
        await order.complete()
    await archive(service, floor)
    assert [await on_the_floor(floor, order) for order in orders] == [set()] * 4


async def test_a_cancelled_order_leaves_nothing_waiting_and_what_runs_is_let_finish(
    floor: Kernel, service: Service
) -> None:
    order = await Order(floor, "P", SAWS + 3).release()
    tasks = await order.assigned()
    await floor.give(order.report(tasks[0]))
    running = tasks[1]
    ids = {"task_id": running.task_id, "fence": running.fence, "device_id": running.device_id, "project_id": "P"}
    await floor.give(TaskStarted(**ids, at=AT))
    await order.cancel()
    await floor.give(RevokeLeases(device_type="saw", project_id="P", reason="not needed"))
    await archive(service, floor)  # as many as go in one batch
    await archive(service, floor)
    assert await on_the_floor(floor, order) == {running.task_id}
    moved = await archived(floor, order)
    assert {each["state"] for each in moved.values()} == {"COMPLETED", "CANCELLED"}
    assert not any({"pool", "lease_expires_at"} & each.keys() for each in moved.values())
    assert await floor.database["waiting"].count_documents({}) == 0
    assert (await order.document())["archived_at"] is None

    said = await floor.give(order.report(running))
    assert ignored(said) == []
    assert (await order.document())["lines"][0]["recipes"][0]["good"] == 2
    await archive(service, floor, 31 * DAY + timedelta(minutes=30))
    assert await on_the_floor(floor, order) == {running.task_id}, "not looked at again every second"
    await archive(service, floor, 31 * DAY + timedelta(hours=2))
    assert await on_the_floor(floor, order) == set()
    assert (await order.document())["archived_at"] is not None
    late = await floor.give(*[order.report(task) for task in tasks])
    assert IgnoredReason.UNKNOWN_TASK not in ignored(late)
    assert len(ignored(late)) == len(tasks)


class Crashing:
    """A collection whose n-th write from now on does not come back."""

    def __init__(self, database: Any, survives: int) -> None:
        self.database, self.left = database, survives

    def __getitem__(self, name: str) -> Any:
        return _Collection(self.database[name], self)


class _Collection:
    def __init__(self, collection: Any, crashing: Crashing) -> None:
        self._collection, self._crashing = collection, crashing

    def __getattr__(self, name: str) -> Any:
        if name in {"insert_many", "delete_many", "update_one"}:
            if not self._crashing.left:
                raise ConnectionResetError("the process is gone")
            self._crashing.left -= 1
        return getattr(self._collection, name)


async def test_a_crash_at_any_write_loses_and_doubles_nothing(floor: Kernel, service: Service) -> None:
    """Every write of every batch is the last one once; then somebody else goes on."""
    order = await Order(floor, "P", MOST_AT_ONCE + 40).release()
    await order.complete()
    everything = sorted(await on_the_floor(floor, order))
    crashes = 0
    for survives in range(20):
        breaking = MongoArchive(Crashing(service.backends.database, survives))  # type: ignore[arg-type]
        before = await on_the_floor(floor, order), (await order.document())["archived_in"]
        work_is_done = await _one_batch(service, ArchiveHandlers(breaking, NO_POLICIES))
        if not work_is_done:
            crashes += 1
            assert (await on_the_floor(floor, order), (await order.document())["archived_in"]) == before
        floor_now, archive_now = await on_the_floor(floor, order), await archived(floor, order)
        assert not floor_now & archive_now.keys()
        assert sorted(floor_now | archive_now.keys()) == everything
        assert await known(service, order) == everything
        if not floor_now:
            break
    assert crashes >= 3
    await archive(service, floor)
    assert (await order.document())["archived_at"] is not None
    assert len(await archived(floor, order)) == MOST_AT_ONCE + 40


async def _one_batch(service: Service, handlers: ArchiveHandlers) -> bool:
    try:
        async with service.backends.store.transaction() as transaction:
            await handlers.move(Work(transaction, "/test", utc_now() + 31 * DAY))
    except ConnectionResetError:
        return False
    return True


async def test_reports_that_come_while_a_batch_is_moved_are_judged_either_way(floor: Kernel, service: Service) -> None:
    """A cancelled order's last reports race with the archive: each is counted or too late, none is unknown or dead."""
    order = await Order(floor, "P", 20).release()
    tasks = await order.assigned()
    await order.cancel()
    reports = [floor.give(order.report(task)) for task in tasks]
    said = await asyncio.gather(*reports, archive(service, floor), archive(service, floor))
    await archive(service, floor, 31 * DAY + timedelta(hours=2))
    assert not floor.dead
    assert IgnoredReason.UNKNOWN_TASK not in {reason for some in said if some for reason in ignored(some)}
    counted = await floor.database["ledger"].count_documents({"project_id": "P"})
    assert (await order.document())["lines"][0]["recipes"][0]["good"] == counted
    assert await on_the_floor(floor, order) == set()
    assert len(await archived(floor, order)) == 20
