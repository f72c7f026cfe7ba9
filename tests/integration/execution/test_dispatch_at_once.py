"""Reports give away what they have set free, in the transaction that counts them: never twice, never beyond a slot."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from libs.contracts.devices import TaskAssigned, TaskCompleted, TaskRevoked
from libs.contracts.execution import RevokeLeases
from libs.runtime.service import Service
from services.execution.dispatch.handlers.passes import PASSES_AT_ONCE
from services.execution.dispatch.mongo_queues import MongoQueues
from services.execution.equipment.mongo_devices import MongoDevices
from tests.harness import Kernel, Said, eventually
from tests.integration.execution.talk import AT, dispatch, given, release, woken
from tests.integration.execution.test_queries import operations, watch
from tests.integration.execution.work_orders import Order

FORK: tuple[dict[str, Any], ...] = ({}, {"depends_on": [1]}, {"depends_on": [1]})
"""A step, and two that wait for it."""


@pytest.fixture
def dispatch_at_once() -> bool:
    return True


def done(said: list[Said]) -> list[TaskCompleted]:
    """Reports that all of what was assigned is done."""
    tasks = [each.message for each in said if isinstance(each.message, TaskAssigned)]
    return [
        TaskCompleted(
            task_id=task.task_id, fence=task.fence, device_id=task.device_id, project_id=task.project_id, at=AT
        )
        for task in tasks
    ]


async def live(kernel: Kernel) -> set[str]:
    return {task["_id"] async for task in kernel.database["tasks"].find({"pool": {"$exists": True}})}


class Gate:
    """Holds one call of a repository back until it is opened, and counts all of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cls: type[Any], name: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self.calls = 0
        original = vars(cls)[name]

        async def gated(*given: Any) -> Any:
            self.calls += 1
            if not self.reached.is_set():
                self.reached.set()
                await self.open.wait()
            return await original(*given)

        monkeypatch.setattr(cls, name, gated)

    async def called(self, times: int) -> None:
        async def so_often() -> bool:
            return self.calls >= times

        await eventually(so_often)


async def test_the_next_step_and_the_free_slot_are_given_away_with_the_report(kernel: Kernel) -> None:
    await release(kernel, "P", {}, {}, quantity=3)
    first = done(await dispatch(kernel))
    assert [report.task_id for report in first] == ["P/10/R/1/1", "P/10/R/2/1"]
    said = await kernel.give(first[0])
    assert given(said) == [("P/10/R/1/2", "saw-1")], "begun is finished before new begins"
    assert woken(said) == []
    assert given(await dispatch(kernel)) == [], "nothing was left to do"


async def test_the_pass_reads_no_work_order_that_the_reports_have_read(kernel: Kernel) -> None:
    await release(kernel, "P", {}, {}, quantity=3)
    await release(kernel, "Q")
    first = done(await dispatch(kernel))
    await watch(kernel)
    said = await kernel.give(first[0])
    assert given(said) == [("P/10/R/1/2", "saw-1")]
    read = [each for each in await operations(kernel) if each["ns"].endswith(".work_orders") and "nreturned" in each]
    assert [each["nreturned"] for each in read] == [1, 1], "P by the reports, Q by the pass"


class TestLeftToAWakeUp:
    async def test_where_another_process_has_the_device_type(self, service: Service, kernel: Kernel) -> None:
        await release(kernel, "P", {}, {})
        first = done(await dispatch(kernel))
        service.backends.consumers = ()
        said = await kernel.give(*first)
        assert (given(said), woken(said)) == ([], ["saw"])

    async def test_where_many_device_types_are_concerned(self, kernel: Kernel) -> None:
        types = [f"type-{number}" for number in range(PASSES_AT_ONCE)]
        await release(kernel, "P", {}, *({"device_type": name, "depends_on": [1]} for name in types))
        said = await kernel.give(*done(await dispatch(kernel)))
        assert (given(said), woken(said)) == ([], ["saw", *types])

    async def test_where_the_pass_fails_which_is_no_fault_of_the_reports(
        self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await release(kernel, "P", {}, {})
        first = done(await dispatch(kernel))

        async def broken(*_: Any, **__: Any) -> Any:
            raise KeyError("a routing that nobody knows")

        monkeypatch.setattr(MongoQueues, "heads", broken)
        said = await kernel.give(*first)
        assert kernel.dead == []
        assert (given(said), woken(said)) == ([], ["saw"])
        assert await kernel.database["ledger"].count_documents({}) == 1


class TestTwoAtOnce:
    """The database lets one of them through, whoever they are: also one that has just lost the device type."""

    @pytest.fixture
    async def report(self, kernel: Kernel) -> TaskCompleted:
        """Of a step for which two others wait: with the slot that is free, enough for both. Q waits for a slot too."""
        await release(kernel, "P", *FORK)
        (report,) = done(await dispatch(kernel))
        await release(kernel, "Q")
        return report

    async def both(self, *coroutines: Any, between: Callable[[], Any], gate: Gate) -> list[list[Said]]:
        """The first comes to the gate, then the second begins; then `between`, and the gate opens."""
        first, second = coroutines
        running = [asyncio.create_task(first)]
        await gate.reached.wait()
        running.append(asyncio.create_task(second))
        try:
            await between()
        finally:
            gate.open.set()
            said = await asyncio.gather(*running)
        return list(said)

    async def test_a_wake_up_waits_for_reports_that_have_the_lock(
        self, kernel: Kernel, report: TaskCompleted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate, locks = Gate(monkeypatch, MongoQueues, "lease"), Gate(monkeypatch, MongoDevices, "lock")
        locks.open.set()
        await self.both(kernel.give(report), dispatch(kernel), between=lambda: locks.called(3), gate=gate)
        assert await live(kernel) == {"P/10/R/1/2", "P/10/R/1/3"}, "two slots, two tasks: the most urgent"

    async def test_reports_that_come_second_leave_it_to_a_wake_up(
        self, kernel: Kernel, report: TaskCompleted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = Gate(monkeypatch, MongoDevices, "lock")
        passed = asyncio.Event()

        async def dispatch_meanwhile() -> list[Said]:
            said = await dispatch(kernel)
            passed.set()
            return said

        said, _ = await self.both(kernel.give(report), dispatch_meanwhile(), between=passed.wait, gate=gate)
        assert await live(kernel) == {"Q/10/R/1/1"}
        assert "saw" in woken(said), "what the report has set free is not forgotten"
        assert await kernel.database["ledger"].count_documents({}) == 1
        assert len(given(await dispatch(kernel))) == 1
        assert len(await live(kernel)) == 2

    async def test_what_reports_give_away_of_an_order_that_is_cancelled_meanwhile_is_revoked(
        self, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await release(kernel, "P")
        (report,) = done(await dispatch(kernel))
        await release(kernel, "Q")
        gate, locks = Gate(monkeypatch, MongoQueues, "lease"), Gate(monkeypatch, MongoDevices, "lock")
        locks.open.set()

        async def cancel() -> list[Said]:
            await Order(kernel, "Q", 1).cancel()
            return await kernel.give(RevokeLeases(device_type="saw", project_id="Q", reason="not needed"))

        said = await self.both(kernel.give(report), cancel(), between=lambda: locks.called(3), gate=gate)
        revoked = {each.message.task_id for each in said[1] if isinstance(each.message, TaskRevoked)}
        assert revoked == {"Q/10/R/1/1"}, "those who take back come after those who gave"
        task = await kernel.database["tasks"].find_one({"_id": "Q/10/R/1/1"})
        assert task is not None
        assert task["state"] == "CANCELLED"
