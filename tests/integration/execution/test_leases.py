"""Devices that fall silent, go down and come back: their tasks are done once, whoever does them in the end."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.contracts import devices
from libs.contracts import equipment as said_floor
from libs.contracts.devices import DeviceHeartbeat, DeviceOnline, DeviceStateChanged, TaskAssigned, TaskRevoked
from libs.contracts.equipment import (
    DeviceChanged,
    DeviceTypeChanged,
    ExpireLeases,
    HoldDevice,
    HoldDeviceType,
    ReleaseDevice,
    ReleaseDeviceType,
    TaskReturned,
)
from libs.contracts.execution import DispatchRequested, IgnoredReason
from libs.kafka.publisher import KafkaPublisher
from libs.messaging.background import ticking
from libs.runtime.service import Service
from services.execution.app import build
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, Said, eventually, handling, said_of
from tests.integration.execution.work_orders import AT, Order, ignored

SAW = "saw-1"


@pytest.fixture
def service(mongodb: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Service:
    async def answers(self: KafkaPublisher) -> str:
        return "no broker here, the test is the wire"

    monkeypatch.setattr(KafkaPublisher, "ping", answers)
    settings = ExecutionSettings(
        mongodb=mongodb, namespace=namespace, lease_seconds=0.3, grace_seconds=0.05, silence_seconds=0.3
    )
    return build(settings)


@pytest.fixture
async def kernel(service: Service) -> AsyncIterator[Kernel]:
    async with handling(service) as kernel:
        await kernel.give(DeviceOnline(device_id=SAW, device_type="saw"))
        yield kernel


@pytest.fixture
async def order(kernel: Kernel) -> Order:
    return await Order(kernel, "P", 1).release()


def of(said: list[Said], cls: type[Any]) -> list[Any]:
    return [each.message for each in said if isinstance(each.message, cls)]


async def swept(service: Service, kernel: Kernel) -> list[Said]:
    """What the sweep says once it says something, and what dispatch says to that."""
    (tick,) = [each for each in service.ticks if each.name == "leases"]
    sweep = ticking(service.name, tick, service.backends.store, kernel.publisher)

    async def something() -> list[Said]:
        before = len(kernel.published)
        await sweep.once()
        return [said_of(record) for record in kernel.published[before:]]

    heard: list[Said] = []

    async def expires() -> bool:
        heard.extend(await something())
        return bool(of(heard, ExpireLeases))

    await eventually(expires)
    return heard + await kernel.give(ExpireLeases(device_type="saw"))


async def counters(order: Order) -> dict[str, int]:
    (line,) = (await order.document())["lines"]
    (recipe,) = line["recipes"]
    return {name: recipe[name] for name in ("begun", "good", "scrapped")}


class TestSilence:
    async def test_a_silent_device_is_offline_and_its_task_waits_again(self, service: Service, order: Order) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        said = await swept(service, kernel)
        (changed,) = of(said, DeviceChanged)
        assert (changed.state, changed.reason) == ("OFFLINE", "no heartbeat")
        (returned,) = of(said, TaskReturned)
        assert (returned.task_id, returned.fence, returned.reason) == (first.task_id, first.fence, "DEVICE_LOST")
        assert not of(said, TaskAssigned), "its only device is gone"
        assert not of(said, TaskRevoked), "nobody else has it: the device may finish"

    async def test_a_late_report_counts_while_nobody_else_has_the_task(self, service: Service, order: Order) -> None:
        (first,) = await order.assigned()
        await swept(service, order.kernel)
        said = await order.kernel.give(order.report(first))
        assert not ignored(said)
        assert await counters(order) == {"begun": 1, "good": 1, "scrapped": 0}

    async def test_a_late_report_is_ignored_once_somebody_else_has_the_task(
        self, service: Service, order: Order
    ) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        await swept(service, kernel)
        await kernel.give(DeviceOnline(device_id="saw-2", device_type="saw"))
        said = await kernel.give(DispatchRequested(device_type="saw"))
        (second,) = of(said, TaskAssigned)
        assert (second.task_id, second.device_id, second.fence) == (first.task_id, "saw-2", first.fence + 1)
        (revoked,) = of(said, TaskRevoked)
        assert (revoked.fence, revoked.device_id) == (first.fence, SAW), "it is told that it is not its own any more"
        assert ignored(await kernel.give(order.report(first))) == [IgnoredReason.STALE_FENCE]
        assert await counters(order) == {"begun": 0, "good": 0, "scrapped": 0}
        assert not ignored(await kernel.give(order.report(second)))
        assert await counters(order) == {"begun": 1, "good": 1, "scrapped": 0}

    async def test_heartbeats_keep_the_lease(self, service: Service, order: Order) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        before = await kernel.database["tasks"].find_one({"_id": first.task_id})
        beat = DeviceHeartbeat(device_id=SAW, leases=({"task_id": first.task_id, "fence": first.fence},))
        said = await kernel.give(beat)
        after = await kernel.database["tasks"].find_one({"_id": first.task_id})
        assert after["lease_expires_at"] > before["lease_expires_at"]
        assert not of(said, TaskRevoked)
        said = await kernel.give(ExpireLeases(device_type="saw"))
        assert not of(said, TaskReturned)

    async def test_the_factorys_own_absence_is_not_held_against_the_devices(
        self, service: Service, kernel: Kernel
    ) -> None:
        """A sweep right after the start, or after a break, says nothing however old the last heartbeats are."""
        await kernel.database["devices"].update_many({}, {"$set": {"last_seen": AT}})
        (tick,) = [each for each in service.ticks if each.name == "leases"]
        before = len(kernel.published)
        await ticking(service.name, tick, service.backends.store, kernel.publisher).once()
        assert kernel.published[before:] == []


class TestComingBack:
    async def test_what_the_device_names_in_a_heartbeat_is_its_own_again(self, service: Service, order: Order) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        await kernel.give(devices.TaskStarted(**_of(first), at=AT))
        await swept(service, kernel)
        beat = DeviceHeartbeat(device_id=SAW, leases=({"task_id": first.task_id, "fence": first.fence},))
        said = await kernel.give(beat)
        assert [each.state for each in of(said, DeviceChanged)] == ["IDLE"]
        assert not of(said, TaskRevoked)
        task = await kernel.database["tasks"].find_one({"_id": first.task_id})
        assert (task["state"], task["fence"], task["device_id"]) == ("RUNNING", first.fence, SAW)
        assert not of(await kernel.give(DispatchRequested(device_type="saw")), TaskAssigned), "nobody else gets it"
        assert not ignored(await kernel.give(order.report(first)))
        assert (await counters(order))["good"] == 1

    async def test_a_slot_given_away_meanwhile_is_not_given_twice(self, service: Service, order: Order) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        await kernel.give(DeviceStateChanged(device_id=SAW, state="DOWN"))
        await swept(service, kernel)
        await Order(kernel, "A", 1).release()
        await kernel.database["work_orders"].update_one({"_id": "A"}, {"$set": {"priority": "URGENT"}})
        await kernel.give(DeviceStateChanged(device_id=SAW, state="IDLE"))
        (other,) = of(await kernel.give(DispatchRequested(device_type="saw")), TaskAssigned)
        assert other.project_id == "A"
        beat = DeviceHeartbeat(device_id=SAW, leases=({"task_id": first.task_id, "fence": first.fence},))
        (revoked,) = of(await kernel.give(beat), TaskRevoked)
        assert (revoked.task_id, revoked.fence) == (first.task_id, first.fence)
        task = await kernel.database["tasks"].find_one({"_id": first.task_id})
        waiting = await kernel.database["waiting"].find_one({"_id": first.task_id, "queue": {"$exists": True}})
        assert (task["state"], waiting is not None) == ("READY", True)

    async def test_what_is_not_its_own_any_more_is_told(self, service: Service, order: Order) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        await swept(service, kernel)
        await kernel.give(DeviceOnline(device_id="saw-2", device_type="saw"))
        await kernel.give(DispatchRequested(device_type="saw"))
        said = await kernel.give(
            DeviceHeartbeat(device_id=SAW, leases=({"task_id": first.task_id, "fence": first.fence},))
        )
        (revoked,) = of(said, TaskRevoked)
        assert (revoked.task_id, revoked.fence, revoked.device_id) == (first.task_id, first.fence, SAW)

    async def test_announcing_itself_again_it_is_told_once_more_what_it_holds(self, order: Order) -> None:
        (first,) = await order.assigned()
        said = await order.kernel.give(DeviceOnline(device_id=SAW, device_type="saw"))
        (again,) = of(said, TaskAssigned)
        assert again.model_copy(update={"lease_expires_at": first.lease_expires_at}) == first

    async def test_down_means_that_others_take_over_and_back_means_back(self, service: Service, order: Order) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        await kernel.give(DeviceStateChanged(device_id=SAW, state="DOWN", reason="belt torn"))
        said = await swept(service, kernel)
        assert [each.task_id for each in of(said, TaskReturned)] == [first.task_id]
        assert not of(await kernel.give(DispatchRequested(device_type="saw")), TaskAssigned)
        await kernel.give(DeviceStateChanged(device_id=SAW, state="IDLE"))
        (again,) = of(await kernel.give(DispatchRequested(device_type="saw")), TaskAssigned)
        assert again.fence == first.fence + 1

    async def test_what_is_left_of_a_cancelled_order_is_not_waited_for(self, service: Service, order: Order) -> None:
        kernel = order.kernel
        (first,) = await order.assigned()
        await kernel.give(devices.TaskStarted(**_of(first), at=AT))
        await order.cancel()
        await swept(service, kernel)
        task = await kernel.database["tasks"].find_one({"_id": first.task_id})
        waiting = await kernel.database["waiting"].find_one({"_id": first.task_id})
        assert (task["state"], waiting, "pool" in task) == ("CANCELLED", None, False)


class TestHolds:
    async def test_a_held_device_gets_nothing_new_until_it_is_released(self, order: Order) -> None:
        kernel = order.kernel
        said = await kernel.give(HoldDevice(device_id=SAW, by="keller", reason="noise"))
        assert [(each.held, each.state) for each in of(said, DeviceChanged)] == [("noise", "IDLE")]
        assert await order.assigned() == []
        said = await kernel.give(ReleaseDevice(device_id=SAW, by="keller"))
        assert of(said, DispatchRequested)
        assert len(await order.assigned()) == 1

    async def test_an_announcement_does_not_end_a_hold(self, order: Order) -> None:
        await order.kernel.give(HoldDevice(device_id=SAW, by="keller", reason="noise"))
        await order.kernel.give(DeviceOnline(device_id=SAW, device_type="saw"))
        assert await order.assigned() == []

    async def test_an_unknown_device_is_answered(self, kernel: Kernel) -> None:
        said = await kernel.give(HoldDevice(device_id="nobody", by="keller", reason="noise"))
        (refused,) = of(said, said_floor.DeviceControlRefused)
        assert refused.errors[0].code == "UNKNOWN_DEVICE"

    async def test_a_held_device_type(self, order: Order) -> None:
        kernel = order.kernel
        said = await kernel.give(HoldDeviceType(device_type="saw", by="keller", reason="no gas"))
        assert [each.held for each in of(said, DeviceTypeChanged)] == ["no gas"]
        assert await order.assigned() == []
        said = await kernel.give(ReleaseDeviceType(device_type="saw", by="keller"))
        assert [each.held for each in of(said, DeviceTypeChanged)] == [None]
        assert len(of(said, TaskAssigned)) == 1, "in force with the very next decision"


def _of(task: TaskAssigned) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "fence": task.fence,
        "device_id": task.device_id,
        "project_id": task.project_id,
    }
