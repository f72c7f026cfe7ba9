"""What is given to whom, on the real database: alternatives, capabilities, steering, sites, and the reasons."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.devices import DeviceStateChanged, TaskAssigned
from libs.contracts.equipment import HoldDevice, HoldDeviceType
from libs.contracts.execution import (
    ChangeWorkOrder,
    ControlRequest,
    PauseWorkOrder,
    ResumeWorkOrder,
    WorkOrderControlRefused,
)
from libs.contracts.explanation import ExplainTask, TaskExplained
from libs.messaging.background import ticking
from libs.runtime.service import Service
from services.execution.app import build
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, handling
from tests.integration.execution.talk import dispatch, given, online, release, woken
from tests.integration.execution.work_orders import Order, ignored

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
OPERATOR = ControlRequest(by="operator", command="c")


@pytest.fixture
def service(mongodb: str, namespace: str) -> Service:
    return build(ExecutionSettings(mongodb=mongodb, namespace=namespace, leases_at_once=3, dispatch_at_once=False))


@pytest.fixture
async def kernel(service: Service) -> AsyncIterator[Kernel]:
    async with handling(service) as kernel:
        yield kernel


async def explain(kernel: Kernel, task_id: str, site: str = "main") -> TaskExplained:
    said = await kernel.give(ExplainTask(project_id=task_id.split("/")[0], task_id=task_id), site=site)
    (answer,) = [each.message for each in said]
    assert isinstance(answer, TaskExplained)
    return answer


def reasons(answer: TaskExplained) -> list[str]:
    return [each.reason.value for each in answer.not_yet]


class TestAlternatives:
    async def test_the_alternative_takes_what_the_planned_type_cannot_take_now(self, kernel: Kernel) -> None:
        await online(kernel, "saw-1")
        await online(kernel, "laser-1", "laser")
        await release(kernel, "P", {"alternatives": ["laser"]}, quantity=3)
        assert given(await dispatch(kernel, "laser")) == [], "a saw is free: it is preferred"
        said = await dispatch(kernel, "saw")
        assert given(said) == [("P/10/R/1/1", "saw-1")]
        assert woken(said) == ["laser"], "which has a slot free for what waits on"
        said = await dispatch(kernel, "laser")
        assert given(said) == [("P/10/R/2/1", "laser-1")]
        (task,) = [each.message for each in said if isinstance(each.message, TaskAssigned)]
        assert (task.device_type, task.topic) == ("laser", "devices.tasks.laser.v1")
        assert woken(await dispatch(kernel, "saw")) == [], "nobody can help: the two do not keep each other busy"
        assert woken(await dispatch(kernel, "laser")) == []

    async def test_what_the_preferred_alternative_gives_to_others_goes_to_the_next(self, kernel: Kernel) -> None:
        """Saws are planned, all busy; the laser has a slot, so the press leaves the task to it; but it gives the slot
        to a task of its own that is more urgent."""
        for device_id, device_type in (("saw-1", "saw"), ("laser-1", "laser"), ("press-1", "press")):
            await online(kernel, device_id, device_type)
        await release(kernel, "A")
        assert given(await dispatch(kernel)) == [("A/10/R/1/1", "saw-1")]
        await release(kernel, "X", {"alternatives": ["laser", "press"]})
        await release(kernel, "Y", {"device_type": "laser"}, priority="URGENT")
        assert given(await dispatch(kernel, "press")) == [], "the laser is preferred, and has a slot"
        said = await dispatch(kernel, "laser")
        assert (given(said), woken(said)) == ([("Y/10/R/1/1", "laser-1")], ["press"])
        assert given(await dispatch(kernel, "press")) == [("X/10/R/1/1", "press-1")]

    async def test_a_report_of_the_alternative_counts(self, kernel: Kernel) -> None:
        await online(kernel, "laser-1", "laser")
        await release(kernel, "P", {"alternatives": ["laser"]})
        (task,) = [each.message for each in await dispatch(kernel, "laser") if isinstance(each.message, TaskAssigned)]
        order = Order(kernel, "P", 1)
        assert not ignored(await kernel.give(order.report(task)))
        assert (await order.document())["state"] == "COMPLETED"


async def test_a_step_waits_for_a_device_that_can(kernel: Kernel) -> None:
    demand = {"property": "laser.power", "at_least": 4, "unit": "kW"}
    await online(kernel, "weak", properties={"laser.power": {"value": 2, "unit": "kW"}})
    await release(kernel, "P", {"requires": [demand]})
    assert given(await dispatch(kernel)) == []
    answer = await explain(kernel, "P/10/R/1/1")
    assert reasons(answer) == ["NOT_CAPABLE"]
    assert answer.not_yet[0].message == "weak lacks laser.power ≥ 4 kW"
    await online(kernel, "strong", properties={"laser.power": {"value": 4, "unit": "kW"}})
    assert given(await dispatch(kernel)) == [("P/10/R/1/1", "strong")]


class TestSteering:
    async def test_takes_effect_with_the_next_decision(self, kernel: Kernel) -> None:
        await release(kernel, "A", quantity=5)
        await release(kernel, "B", quantity=5)
        await online(kernel, "saw-1", slots=1)
        assert given(await dispatch(kernel)) == [("A/10/R/1/1", "saw-1")], "equal, so the order with the lower name"
        await online(kernel, "saw-2")
        urgent = ChangeWorkOrder(project_id="B", request=OPERATOR, priority="URGENT", targets=())
        await kernel.give(urgent)
        assert given(await dispatch(kernel)) == [("B/10/R/1/1", "saw-2")]
        await online(kernel, "saw-3")
        await kernel.give(PauseWorkOrder(project_id="B", request=OPERATOR))
        assert given(await dispatch(kernel)) == [("A/10/R/2/1", "saw-3")]
        await online(kernel, "saw-4")
        await kernel.give(ResumeWorkOrder(project_id="B", request=OPERATOR))
        assert given(await dispatch(kernel)) == [("B/10/R/2/1", "saw-4")]
        await Order(kernel, "B", 5).cancel()
        await online(kernel, "saw-5")
        assert given(await dispatch(kernel)) == [("A/10/R/3/1", "saw-5")]


async def test_an_execution_that_did_not_go_on_for_half_an_hour_is_no_more_urgent_than_others(kernel: Kernel) -> None:
    await release(kernel, "A", {}, {})
    await release(kernel, "B", {}, {})
    await online(kernel, "saw-1", slots=1)
    (first,) = [each.message for each in await dispatch(kernel) if isinstance(each.message, TaskAssigned)]
    await kernel.give(Order(kernel, "A", 1).report(first))
    over = {"$set": {"fresh_until": datetime.now(UTC) - timedelta(milliseconds=1)}}
    for name in ("tasks", "waiting"):
        changed = await kernel.database[name].update_one({"_id": "A/10/R/1/2", "fresh_until": {"$exists": True}}, over)
        assert changed.modified_count == 1
    said = await dispatch(kernel)
    assert given(said) == [("B/10/R/1/1", "saw-1")], "20 and 5 for the step that waits, against 20: no 15 any more"
    (decision,) = [await explain(kernel, "B/10/R/1/1")]
    assert decision.decision is not None
    assert decision.decision.score == 25
    assert [(each.task_id, each.score) for each in decision.decision.alternatives] == [("A/10/R/1/2", 20)]


async def test_a_site_with_much_to_do_does_not_keep_another_waiting(kernel: Kernel) -> None:
    for site in ("big", "small"):
        await release(kernel, f"P-{site}", quantity=8 if site == "big" else 1, site=site)
        await online(kernel, "saw-1", site=site, slots=8)
    said = await dispatch(kernel, site="big")
    assert len(given(said)) == 3, "one transaction's worth"
    assert woken(said) == ["saw"], "the rest stands in line behind what came meanwhile"
    assert [device for _, device in given(await dispatch(kernel, site="small"))] == ["saw-1"]


async def test_another_site_steers_nothing(kernel: Kernel) -> None:
    await release(kernel, "P")
    said = await kernel.give(PauseWorkOrder(project_id="P", request=OPERATOR), site="other")
    assert [type(each.message) for each in said] == [WorkOrderControlRefused]
    assert (await Order(kernel, "P", 1).document())["state"] == "OPEN"


class TestWhyNotYet:
    async def test_a_task_that_runs_has_its_decision(self, kernel: Kernel) -> None:
        await online(kernel, "saw-1")
        await release(kernel, "P", quantity=2)
        await dispatch(kernel)
        answer = await explain(kernel, "P/10/R/1/1")
        assert (answer.state, answer.device_id, answer.fence, answer.not_yet) == ("LEASED", "saw-1", 1, ())
        assert answer.decision is not None
        assert answer.lease_expires_at is not None
        assert (answer.decision.rule, answer.decision.score) == ("priority", 20)
        assert [each.task_id for each in answer.decision.alternatives] == ["P/10/R/2/1"]
        assert answer.decision.alternatives[0].lost == "same score, later execution"

    async def test_it_changes_nothing(self, kernel: Kernel) -> None:
        await release(kernel, "P")
        before = [each async for each in kernel.database["tasks"].find()]
        await explain(kernel, "P/10/R/1/1")
        assert [each async for each in kernel.database["tasks"].find()] == before

    async def test_all_that_stands_in_the_way(self, kernel: Kernel) -> None:
        await release(kernel, "P", {}, {"device_type": "press"}, quantity=2)
        first = "P/10/R/1/1"
        assert reasons(await explain(kernel, first)) == ["DEVICE_TYPE_DOWN"]
        await online(kernel, "saw-1")
        answer = await explain(kernel, first)
        assert reasons(answer) == ["NEXT"]
        assert answer.rank is not None
        assert answer.rank.score == 25
        await kernel.give(DeviceStateChanged(device_id="saw-1", state="DOWN", reason="belt torn"))
        answer = await explain(kernel, first)
        assert reasons(answer) == ["DEVICE_TYPE_DOWN"]
        assert "DOWN (belt torn)" in answer.not_yet[0].message
        await kernel.give(DeviceStateChanged(device_id="saw-1", state="IDLE"))
        await kernel.give(HoldDevice(device_id="saw-1", by="keller", reason="noise"))
        answer = await explain(kernel, first)
        assert reasons(answer) == ["DEVICE_TYPE_DOWN"]
        assert "held (noise)" in answer.not_yet[0].message
        await kernel.give(HoldDeviceType(device_type="saw", by="keller", reason="no gas"))
        assert reasons(await explain(kernel, first)) == ["DEVICE_TYPE_HELD"]

    async def test_busy_and_outscored(self, kernel: Kernel) -> None:
        await release(kernel, "P", quantity=1)
        await release(kernel, "U", quantity=2, priority="URGENT")
        await online(kernel, "saw-1")
        assert given(await dispatch(kernel)) == [("U/10/R/1/1", "saw-1")]
        assert reasons(await explain(kernel, "P/10/R/1/1")) == ["NO_FREE_DEVICE", "LOWER_SCORE"]
        assert reasons(await explain(kernel, "U/10/R/2/1")) == ["NO_FREE_DEVICE"]
        await kernel.give(PauseWorkOrder(project_id="P", request=OPERATOR))
        assert reasons(await explain(kernel, "P/10/R/1/1"))[0] == "ORDER_NOT_OPEN"

    async def test_a_step_behind_another_and_executions_beyond_the_plan(self, kernel: Kernel) -> None:
        await release(kernel, "P", {}, {"device_type": "press"}, quantity=2)
        answer = await explain(kernel, "P/10/R/1/2")
        assert (answer.state, reasons(answer)) == ("BLOCKED", ["PREDECESSOR"])
        assert answer.not_yet[0].message == "step 1 (cut) is READY"
        for nobody in ("P/10/R/3/1", "P/10/R/1/9", "P/10/X/1/1", "P/11/R/1/1", "P/nonsense", "Q/10/R/1/1"):
            answer = await explain(kernel, nobody)
            assert (answer.state, reasons(answer)) == (None, ["UNKNOWN_TASK"])

    async def test_other_sites_do_not_exist(self, kernel: Kernel) -> None:
        await release(kernel, "P")
        assert reasons(await explain(kernel, "P/10/R/1/1", site="other")) == ["UNKNOWN_TASK"]


async def test_no_query_without_an_index(service: Service, kernel: Kernel) -> None:
    """MongoDB's own profiler watches a day on the shop floor, with every tick in it."""
    await kernel.database.command("profile", 2)
    await online(kernel, "saw-1", slots=4)
    await online(kernel, "laser-1", "laser")
    await release(kernel, "P", {"alternatives": ["laser"]}, {}, quantity=8)
    order = Order(kernel, "P", 8)
    tasks = [each.message for each in await dispatch(kernel) if isinstance(each.message, TaskAssigned)]
    await kernel.give(*(order.report(task) for task in tasks))
    await dispatch(kernel, "laser")
    await explain(kernel, "P/10/R/8/1")
    await explain(kernel, "P/10/R/1/2")
    await kernel.give(DeviceStateChanged(device_id="saw-1", state="DOWN"))
    await order.cancel()
    for tick in service.ticks:
        for later in (0, 1):
            clock_ahead = timedelta(seconds=later)
            await ticking(
                service.name, tick, service.backends.store, kernel.publisher, lambda by=clock_ahead: kernel.clock() + by
            ).once()
    await kernel.database.command("profile", 0)
    scans = [
        (each["ns"], each.get("command", each))
        async for each in kernel.database["system.profile"].find({"planSummary": {"$regex": "COLLSCAN"}})
        if "system.profile" not in each["ns"]
    ]
    assert scans == []
    assert await kernel.database["system.profile"].count_documents({"planSummary": {"$regex": "IXSCAN"}}) > 20
