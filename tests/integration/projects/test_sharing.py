"""Orders share generation: a giant asks for no more than a window at a time, so nobody waits for longer than that."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest_asyncio

from libs.contracts import catalog, devices, erp, task_generation
from libs.contracts.base import Message
from libs.kernel.ids import project_id_of
from tests.harness import said_of
from tests.integration.projects.activations import batch
from tests.stage import Stage, stage

WINDOW = 1000
A_MILLION = 1_000_000
AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
GIANT, SMALL = (project_id_of("main", order_id) for order_id in ("GIANT", "SMALL"))


@pytest_asyncio.fixture
async def shop(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Stage]:
    async with stage(kafka, mongodb, redis, namespace, window=WINDOW) as built:
        steps = (catalog.Step(step=1, name="press", device_type="press", expected_seconds=1),)
        built.put(
            catalog.PublishDeviceType(device_type="press", name="Press"),
            catalog.PublishRecipe(recipe_code="BELL", name="Bell", steps=steps),
            devices.DeviceOnline(device_id="p-1", device_type="press", slots=WINDOW),
        )
        await built.run()
        yield built


def order(order_id: str, quantity: int) -> erp.OrderRequested:
    lines = [{"line_id": "10", "recipe_code": "BELL", "quantity": quantity}]
    return erp.OrderRequested.model_validate({"order_id": order_id, "revision": 1, "lines": lines})


class Devices:
    """Finish what they are told to do."""

    def __init__(self, shop: Stage) -> None:
        self._shop = shop
        self._heard = 0
        self._waiting: list[devices.TaskAssigned] = []
        self.done = 0
        """Executions of the giant."""

    def finish(self, most: int) -> None:
        said = self._shop.said
        self._waiting += [
            each.message for each in said[self._heard :] if isinstance(each.message, devices.TaskAssigned)
        ]
        self._heard = len(said)
        for task in self._waiting[:most]:
            ids = {"task_id": task.task_id, "fence": task.fence, "device_id": task.device_id}
            self._shop.put(devices.TaskCompleted(**ids, project_id=task.project_id, at=AT))
            self.done += task.project_id == GIANT
        del self._waiting[:most]


async def one_batch(shop: Stage) -> None:
    """A service takes all that waits for it on one topic, as in a busy factory."""
    await shop.deliver(*batch(shop))


def messages(shop: Stage) -> list[Message]:
    return [each.message for each in shop.said]


def generated(said: Sequence[Message], project_id: str) -> list[int]:
    """The executions of a project that generation has planned, in the order of its messages."""
    return [
        number
        for each in said
        if isinstance(each, task_generation.TaskBatch) and each.project_id == project_id
        for number in range(each.executions.first_execution, each.executions.last_execution + 1)
    ]


def first(said: Sequence[Message], cls: type[Message], project_id: str) -> int:
    """Where in the order of messages."""
    return next(place for place, each in enumerate(said) if isinstance(each, cls) and each.project_id == project_id)


async def test_an_order_is_generated_right_behind_a_giant(shop: Stage) -> None:
    shop.put(order("GIANT", A_MILLION), order("SMALL", 10))
    while shop.wire:
        await one_batch(shop)
    said = messages(shop)
    assert [line.executions_planned for each in shop.all(erp.OrderActivated) for line in each.lines] == [A_MILLION, 10]
    assert len(generated(said[: first(said, task_generation.TaskBatch, SMALL)], GIANT)) == WINDOW
    assert generated(said, GIANT) == list(range(1, WINDOW + 1)), "and no more until that is worked off"
    assert generated(said, SMALL) == list(range(1, 11))


async def test_an_order_is_generated_among_the_refills_of_a_giant(shop: Stage) -> None:
    shop.put(order("GIANT", A_MILLION))
    while shop.wire:
        await one_batch(shop)
    machines = Devices(shop)
    while not any(isinstance(said_of(record).message, task_generation.GenerateTasks) for record in shop.wire):
        machines.finish(100)
        await one_batch(shop)
    shop.put(order("SMALL", 10))
    while not generated(messages(shop), SMALL) or machines.done < 3 * WINDOW:
        machines.finish(100)
        await one_batch(shop)
        open_ = len(generated(messages(shop), GIANT)) - machines.done
        assert open_ <= WINDOW + WINDOW // 2, "the next window is asked for when half of one is left"
    said = messages(shop)
    asked, planned = (first(said, cls, SMALL) for cls in (task_generation.GenerateTasks, task_generation.TaskBatch))
    assert len(generated(said[asked:planned], GIANT)) <= WINDOW
    ranges = [each.ranges for each in shop.all(task_generation.GenerateTasks) if each.project_id == GIANT]
    assert len(ranges) > 3
    for (each,) in ranges:
        assert each.last_execution - each.first_execution < WINDOW
    numbers = generated(said, GIANT)
    assert numbers == list(range(1, len(numbers) + 1)), "and all that without a gap"
