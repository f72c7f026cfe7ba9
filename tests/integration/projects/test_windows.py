"""Tasks are generated a window at a time: neither too few nor too many, also when a batch is lost on the way."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from libs.contracts import catalog, devices, erp, task_generation
from libs.contracts.base import Message
from libs.kernel.ids import project_id_of
from tests.stage import Stage, stage

PROJECT = project_id_of("main", "A-1")
AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
QUANTITY = 30


@pytest_asyncio.fixture
async def shop(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Stage]:
    async with stage(kafka, mongodb, redis, namespace, window=8) as built:
        steps = (catalog.Step(step=1, name="press", device_type="press", expected_seconds=1),)
        built.put(
            catalog.PublishDeviceType(device_type="press", name="Press"),
            catalog.PublishRecipe(recipe_code="BELL", name="Bell", steps=steps),
        )
        await built.run()
        yield built


def order() -> erp.OrderRequested:
    lines = [{"line_id": "10", "recipe_code": "BELL", "quantity": QUANTITY}]
    return erp.OrderRequested.model_validate({"order_id": "A-1", "revision": 1, "lines": lines})


async def tasks(shop: Stage) -> int:
    return int(await shop.database("execution")["tasks"].count_documents({"project_id": PROJECT}))


async def complete(shop: Stage, done: set[str], most: int) -> None:
    """Devices finish what they have, up to so many tasks."""
    assigned = [each for each in shop.all(devices.TaskAssigned) if each.task_id not in done][:most]
    for task in assigned:
        done.add(task.task_id)
        ids = {"task_id": task.task_id, "fence": task.fence, "device_id": task.device_id, "project_id": PROJECT}
        shop.put(devices.TaskCompleted(**ids, at=AT))


def is_batch(message: Message) -> bool:
    return isinstance(message, task_generation.TaskBatch)


async def test_the_plan_is_generated_exactly_once_window_by_window(shop: Stage) -> None:
    shop.put(devices.DeviceOnline(device_id="p-1", device_type="press", slots=3), order())
    await shop.run()
    assert await tasks(shop) == 8
    done: set[str] = set()
    while not shop.all(erp.OrderCompleted):
        await complete(shop, done, 3)
        await shop.run()
        open_tasks = await tasks(shop) - len(done)
        assert open_tasks <= 8 + 4, "a refill comes only when half of the window is worked off"
    assert await tasks(shop) == QUANTITY
    ranges = [batch.executions for batch in shop.all(task_generation.TaskBatch)]
    numbers = [n for each in ranges for n in range(each.first_execution, each.last_execution + 1)]
    assert numbers == list(range(1, QUANTITY + 1))


async def test_a_lost_batch_is_noticed_and_asked_for_again(shop: Stage) -> None:
    shop.put(devices.DeviceOnline(device_id="p-1", device_type="press", slots=4), order())
    await shop.run()
    done: set[str] = set()
    await complete(shop, done, 4)
    await shop.run(until=is_batch)
    lost = shop.wire.pop(0)
    await shop.run()
    assert await tasks(shop) == 8
    await shop.tick("execution", "generations")
    assert shop.wire == [], "it may still come"
    await shop.tick("execution", "generations", later=timedelta(minutes=1))
    await shop.run()
    assert await tasks(shop) == 16
    await shop.deliver(lost)
    await shop.tick("execution", "generations", later=timedelta(minutes=2))
    await shop.run()
    assert await tasks(shop) == 16, "found again and known"
    while not shop.all(erp.OrderCompleted):
        await complete(shop, done, 4)
        await shop.run()
    assert await tasks(shop) == QUANTITY
