"""Given all services, when messages come in any order of topics, twice, and late, then the numbers are exact."""

from collections import Counter
from typing import Any

import pytest

from libs.contracts import by_hand, devices, erp
from libs.contracts.base import Message
from libs.contracts.devices import DeviceHeartbeat, DeviceOnline, HeldLease, Outcome
from services.execution.orders.domain.task import TaskState
from tests.simulation import Simulation
from tests.unit.lamps import agree, all_said, ordered, recounted
from tests.unit.projects.participants import DEVICE_TYPES, master_data

SLOTS = 2
ORDERS = {"A-1": 3, "A-2": 2}
"""Lamps by order."""
MOST_ROUNDS = 400


class Device:
    """It does what it is given sooner or later, says some things twice, and forgets others."""

    def __init__(self, world: Simulation, device_type: str) -> None:
        self.world, self.id, self.type = world, f"{device_type}-1", device_type
        self.held: dict[str, devices.TaskAssigned] = {}
        self.begun: set[tuple[str, int]] = set()
        self._heard = 0

    def comes_online(self) -> None:
        self.world.outside(DeviceOnline(device_id=self.id, device_type=self.type, slots=SLOTS))

    def hears(self) -> None:
        new, self._heard = self.world.said[self._heard :], len(self.world.said)
        for message in (each.message for each in new):
            if isinstance(message, devices.TaskAssigned) and message.device_id == self.id:
                self.held[message.task_id] = message
            elif isinstance(message, devices.TaskRevoked) and message.device_id == self.id:
                known = self.held.get(message.task_id)
                if known is not None and known.fence <= message.fence and not self.world.happens(0.3):
                    del self.held[message.task_id]

    def beats(self) -> None:
        leases = tuple(HeldLease(task_id=each.task_id, fence=each.fence) for each in self.held.values())
        self.world.outside(DeviceHeartbeat(device_id=self.id, leases=leases))

    def acts(self) -> None:
        """On one of the tasks that it holds."""
        if not self.held:
            return
        task = self.held[self.world.random.choice(sorted(self.held))]
        if (task.task_id, task.fence) not in self.begun and self.world.random.random() < 0.6:
            self.begun.add((task.task_id, task.fence))
            self.says(devices.TaskStarted(**self.ids(task)))
            return
        del self.held[task.task_id]
        if self.world.happens(0.05):
            return  # it is switched off, and has forgotten what it held
        self.says(self.outcome(task))

    def outcome(self, task: devices.TaskAssigned) -> Message:
        if self.world.happens(0.08):
            return devices.TaskCompleted(**self.ids(task), outcome=Outcome.SCRAP)
        if self.world.happens(0.08):
            return devices.TaskFailed(**self.ids(task), reason="jammed", retryable=self.world.happens(0.8))
        return devices.TaskCompleted(**self.ids(task))

    def says(self, message: Message) -> None:
        self.world.outside(message)
        if self.world.happens(0.1):
            self.world.outside(message)

    def ids(self, task: devices.TaskAssigned) -> dict[str, Any]:
        return {name: getattr(task, name) for name in ("task_id", "fence", "device_id", "project_id")} | {
            "at": self.world.now
        }


class ShopFloor:
    def __init__(self, seed: int) -> None:
        self.world = Simulation(seed, window=4)
        self.devices = [Device(self.world, each) for each in DEVICE_TYPES]

    async def opens(self) -> None:
        for message in master_data():
            self.world.outside(message)
        await self.settles()
        for each in self.devices:
            each.comes_online()

    async def settles(self) -> None:
        while not self.world.quiet:
            await self.world.step()

    async def goes_on(self) -> None:
        """Something happens, whatever comes next."""
        for _ in range(self.world.random.randint(1, 6)):
            if not self.world.quiet:
                await self.world.step()
        for each in self.devices:
            each.hears()
            if self.world.random.random() < 0.5:
                each.acts()
            if self.world.random.random() < 0.3:
                each.beats()
        self.world.passes(2.0)
        if self.world.random.random() < 0.4:
            await self.world.ticks()
        await self.slots_are_kept()

    async def slots_are_kept(self) -> None:
        work = self.world.work("execution")
        for each in self.devices:
            live = await self.world.queues.live(work, "main", each.type)
            assert live.get(each.id, 0) <= SLOTS

    async def becomes_calm(self) -> None:
        """Nothing goes wrong any more, and operators see to what is held."""
        self.world.calm = True
        for _ in range(MOST_ROUNDS):
            if not self.open:
                return
            await self.settles()
            for each in self.devices:
                each.hears()
                while each.held:
                    each.acts()
                each.beats()
            for task, _, _ in self.world.tasks.rows.rows.values():
                if task.state is TaskState.HELD:
                    ids = {"project_id": task.project_id, "task_id": task.id, "by": "m", "reason": "mended"}
                    self.world.outside(by_hand.RetryTask(**ids))
            self.world.passes(5.0)
            await self.world.ticks()
        raise AssertionError(f"still open: {self.open}, tasks {self.states()}")

    def all(self, cls: type[Any] | tuple[type[Any], ...]) -> list[Any]:
        return all_said(self.world, cls)

    @property
    def open(self) -> set[str]:
        ended = erp.OrderCompleted, erp.OrderCancellationConfirmed
        return ORDERS.keys() - {answer.order_id for answer in self.all(ended)}

    def states(self) -> Counter[str]:
        return Counter(kept.task.state.value for kept in self.world.tasks.rows.rows.values())


@pytest.mark.parametrize("seed", range(20))
async def test_every_order_is_completed_with_exact_numbers(seed: int) -> None:
    floor = ShopFloor(seed)
    await floor.opens()
    for order_id, quantity in ORDERS.items():
        floor.world.outside(ordered(order_id, quantity))

    for _ in range(60):
        await floor.goes_on()
    await floor.becomes_calm()
    await floor.settles()

    for completed in floor.all(erp.OrderCompleted):
        [line] = completed.lines
        assert line.produced_quantity == line.target_quantity == ORDERS[completed.order_id]
        assert line.executions_in_work == 0
        assert recounted(floor.world, completed.order_id) == []
    await agree(floor.world, *ORDERS)
