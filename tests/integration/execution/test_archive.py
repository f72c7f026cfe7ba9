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
async def kernel(service: Service) -> AsyncIterator[Kernel]:
    async with handling(service) as kernel:
        for site in ("main", "patient"):
            await kernel.give(DeviceOnline(device_id="saw-1", device_type="saw", slots=SAWS), site=site)
        yield kernel


async def archive(service: Service, kernel: Kernel, later: timedelta = 31 * DAY) -> None:
    """One batch, some time later."""
    (tick,) = [each for each in service.ticks if each.name == "archive"]
    await ticking(service.name, tick, service.backends.store, kernel.publisher, lambda: utc_now() + later).once()


async def on_the_floor(kernel: Kernel, order: Order) -> set[str]:
    return {each["_id"] async for each in kernel.database["tasks"].find({"project_id": order.id})}


async def archived(kernel: Kernel, order: Order, name: str = "") -> dict[str, Any]:
    found = kernel.database[name or archive_of(utc_now())].find({"project_id": order.id})
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
    kernel: Kernel, service: Service
) -> None:
    order = await Order(kernel, "P", 3, steps=2).release()
    await order.complete()
    ledger = await kernel.database["ledger"].count_documents({})
    before = await order.document()
    await archive(service, kernel, 29 * DAY)
    assert len(await on_the_floor(kernel, order)) == 6
    await archive(service, kernel)
    assert await on_the_floor(kernel, order) == set()
    moved = await archived(kernel, order)
    assert len(moved) == 6
    assert {each["state"] for each in moved.values()} == {"COMPLETED"}
    after = await order.document()
    assert after["archived_in"] == archive_of(after["ended_at"])
    assert after["archived_at"] is not None
    assert after["lines"] == before["lines"], "counters stay where they are"
    assert await kernel.database["ledger"].count_documents({}) == ledger


async def test_open_orders_and_sites_with_more_patience_are_left_alone(kernel: Kernel, service: Service) -> None:
    done = await Order(kernel, "DONE", 2).release()
    await done.complete()
    patient = await Order(kernel, "PATIENT", 2, site="patient").release()
    await patient.complete()
    open_ = await Order(kernel, "OPEN", 2).release()
    await archive(service, kernel, 99 * DAY)
    assert await on_the_floor(kernel, done) == set()
    assert len(await on_the_floor(kernel, patient)) == 2
    assert len(await on_the_floor(kernel, open_)) == 2
    await archive(service, kernel, 101 * DAY)
    assert await on_the_floor(kernel, patient) == set()
    assert len(await on_the_floor(kernel, open_)) == 2


async def test_a_late_report_is_a_duplicate_and_moves_nothing(kernel: Kernel, service: Service) -> None:
    order = await Order(kernel, "P", 2, steps=2).release()
    reports = await order.complete()
    await archive(service, kernel)
    before = await order.document()
    said = await kernel.give(*reports)
    assert ignored(said) == [IgnoredReason.DUPLICATE] * 4
    assert await order.document() == before
    assert await on_the_floor(kernel, order) == set()
    stranger = reports[0].model_copy(update={"task_id": "P/10/R/99/1"})
    assert ignored(await kernel.give(stranger)) == [IgnoredReason.UNKNOWN_TASK]
    elsewhere = await kernel.give(reports[0], site="patient")
    assert ignored(elsewhere) == [IgnoredReason.UNKNOWN_TASK]


async def test_a_project_is_read_from_floor_and_archive_alike(kernel: Kernel, service: Service) -> None:
    order = await Order(kernel, "P", MOST_AT_ONCE + 40).release()
    await order.complete()
    everything = sorted(await on_the_floor(kernel, order))
    assert len(everything) == MOST_AT_ONCE + 40
    for still_there in (40, 0):
        await archive(service, kernel)
        assert len(await on_the_floor(kernel, order)) == still_there
        assert (await order.document())["archived_in"] is not None
        assert await known(service, order) == everything
    assert (await order.document())["archived_at"] is not None


async def test_small_orders_share_a_batch(kernel: Kernel, service: Service) -> None:
    orders = [Order(kernel, f"P{number}", 3) for number in range(4)]
    for order in orders:
        await order.release()
        await order.complete()
    await archive(service, kernel)
    assert [await on_the_floor(kernel, order) for order in orders] == [set()] * 4


async def test_a_cancelled_order_leaves_nothing_waiting_and_what_runs_is_let_finish(
    kernel: Kernel, service: Service
) -> None:
    order = await Order(kernel, "P", SAWS + 3).release()
    tasks = await order.assigned()
    await kernel.give(order.report(tasks[0]))
    running = tasks[1]
    ids = {"task_id": running.task_id, "fence": running.fence, "device_id": running.device_id, "project_id": "P"}
    await kernel.give(TaskStarted(**ids, at=AT))
    await order.cancel()
    await kernel.give(RevokeLeases(device_type="saw", project_id="P", reason="not needed"))
    await archive(service, kernel)  # as many as go in one batch
    await archive(service, kernel)
    assert await on_the_floor(kernel, order) == {running.task_id}
    moved = await archived(kernel, order)
    assert {each["state"] for each in moved.values()} == {"COMPLETED", "CANCELLED"}
    assert not any({"pool", "lease_expires_at"} & each.keys() for each in moved.values())
    assert await kernel.database["waiting"].count_documents({}) == 0
    assert (await order.document())["archived_at"] is None

    said = await kernel.give(order.report(running))
    assert ignored(said) == []
    assert (await order.document())["lines"][0]["recipes"][0]["good"] == 2
    await archive(service, kernel, 31 * DAY + timedelta(minutes=30))
    assert await on_the_floor(kernel, order) == {running.task_id}, "not tried again every second"
    await archive(service, kernel, 31 * DAY + timedelta(hours=2))
    assert await on_the_floor(kernel, order) == set()
    assert (await order.document())["archived_at"] is not None
    late = await kernel.give(*[order.report(task) for task in tasks])
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


async def test_a_crash_at_any_write_loses_and_doubles_nothing(kernel: Kernel, service: Service) -> None:
    """Every write of every batch is the last one once; then somebody else goes on."""
    order = await Order(kernel, "P", MOST_AT_ONCE + 40).release()
    await order.complete()
    everything = sorted(await on_the_floor(kernel, order))
    crashes = 0
    for survives in range(20):
        breaking = MongoArchive(Crashing(service.backends.database, survives))  # type: ignore[arg-type]
        before = await on_the_floor(kernel, order), (await order.document())["archived_in"]
        work_is_done = await _one_batch(service, ArchiveHandlers(breaking, NO_POLICIES))
        if not work_is_done:
            crashes += 1
            assert (await on_the_floor(kernel, order), (await order.document())["archived_in"]) == before
        floor_now, archive_now = await on_the_floor(kernel, order), await archived(kernel, order)
        assert not floor_now & archive_now.keys()
        assert sorted(floor_now | archive_now.keys()) == everything
        assert await known(service, order) == everything
        if not floor_now:
            break
    assert crashes >= 3
    await archive(service, kernel)
    assert (await order.document())["archived_at"] is not None
    assert len(await archived(kernel, order)) == MOST_AT_ONCE + 40


async def _one_batch(service: Service, handlers: ArchiveHandlers) -> bool:
    try:
        async with service.backends.store.transaction() as transaction:
            await handlers.move(Work(transaction, "/test", utc_now() + 31 * DAY))
    except ConnectionResetError:
        return False
    return True


async def test_reports_that_come_while_a_batch_is_moved_are_judged_either_way(kernel: Kernel, service: Service) -> None:
    """A cancelled order's last reports race with the archive: each is counted or too late, none is unknown or dead."""
    order = await Order(kernel, "P", 20).release()
    tasks = await order.assigned()
    await order.cancel()
    reports = [kernel.give(order.report(task)) for task in tasks]
    said = await asyncio.gather(*reports, archive(service, kernel), archive(service, kernel))
    await archive(service, kernel, 31 * DAY + timedelta(hours=2))
    assert not kernel.dead
    assert IgnoredReason.UNKNOWN_TASK not in {reason for some in said if some for reason in ignored(some)}
    counted = await kernel.database["ledger"].count_documents({"project_id": "P"})
    assert (await order.document())["lines"][0]["recipes"][0]["good"] == counted
    assert await on_the_floor(kernel, order) == set()
    assert len(await archived(kernel, order)) == 20
