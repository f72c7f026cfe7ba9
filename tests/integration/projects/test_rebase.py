"""Editing a recipe changes no released order; a deliberate rebase does, for what nobody has begun."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest_asyncio

from libs.contracts import catalog, devices, erp, projects
from libs.kernel.ids import project_id_of
from tests.stage import Stage, stage

PROJECT = project_id_of("main", "A-1")
AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def recipe(force: int, steps: int = 2) -> catalog.PublishRecipe:
    return catalog.PublishRecipe(
        recipe_code="BELL",
        name="Bell",
        steps=tuple(
            catalog.Step(
                step=number, name="press", device_type="press", expected_seconds=1, parameters={"force": force}
            )
            for number in range(1, steps + 1)
        ),
    )


@pytest_asyncio.fixture
async def shop(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Stage]:
    async with stage(kafka, mongodb, redis, namespace, window=6) as built:
        built.put(catalog.PublishDeviceType(device_type="press", name="Press"), recipe(force=1))
        built.put(devices.DeviceOnline(device_id="p-1", device_type="press", slots=2))
        lines = [{"line_id": "10", "recipe_code": "BELL", "quantity": 10}]
        built.put(erp.OrderRequested.model_validate({"order_id": "A-1", "revision": 1, "lines": lines}))
        await built.run()
        yield built


async def produce(shop: Stage) -> Counter[int]:
    """Let the device finish everything; the forces of the steps, by execution."""
    done: set[str] = set()
    while not shop.all(erp.OrderCompleted):
        assigned = [each for each in shop.all(devices.TaskAssigned) if each.task_id not in done]
        assert assigned, "the order is stuck"
        for task in assigned:
            done.add(task.task_id)
            ids = {"task_id": task.task_id, "fence": task.fence, "device_id": "p-1", "project_id": PROJECT}
            shop.put(devices.TaskCompleted(**ids, at=AT))
        await shop.run()
    return Counter(f"{each.execution_number}:{each.parameters['force']}" for each in shop.all(devices.TaskAssigned))


def rebase(**more: object) -> projects.RebaseProject:
    return projects.RebaseProject.model_validate(
        {"project_id": PROJECT, "by": "m.keller", "reason": "a stronger bell", **more}
    )


async def test_an_edited_recipe_changes_nothing_that_is_released(shop: Stage) -> None:
    shop.put(recipe(force=9))
    await shop.run()
    assert await produce(shop) == Counter({f"{number}:1": 2 for number in range(1, 11)})


async def test_a_rebase_takes_what_nobody_has_begun(shop: Stage) -> None:
    shop.put(recipe(force=9, steps=3))
    shop.put(rebase())
    await shop.run()
    (event,) = shop.all(projects.ProjectRebased)
    (change,) = event.changes
    assert (event.by, event.reason) == ("m.keller", "a stronger bell")
    assert change.executions_replaced == 4, "six were generated, two are held by the device"
    assert change.previous_snapshot_id != change.snapshot_id
    old = {f"{number}:1": 2 for number in (1, 2)}
    assert await produce(shop) == Counter(old | {f"{number}:9": 3 for number in range(3, 11)})


async def test_a_rebase_begins_at_the_named_execution(shop: Stage) -> None:
    shop.put(recipe(force=9))
    shop.put(rebase(from_execution=8))
    await shop.run()
    old = {f"{number}:1": 2 for number in range(1, 8)}
    assert await produce(shop) == Counter(old | {f"{number}:9": 2 for number in (8, 9, 10)})


async def test_a_rebase_to_the_same_recipe_is_recorded_and_changes_nothing(shop: Stage) -> None:
    shop.put(rebase())
    await shop.run()
    (event,) = shop.all(projects.ProjectRebased)
    assert event.changes == ()
    assert await produce(shop) == Counter({f"{number}:1": 2 for number in range(1, 11)})


async def test_a_rebase_to_what_does_not_exist_is_refused_and_undone(shop: Stage) -> None:
    shop.put(catalog.RetireRecipe(recipe_code="BELL"), rebase())
    await shop.run()
    (refused,) = shop.all(projects.CommandRefused)
    assert [error.code for error in refused.errors] == ["RETIRED_RECIPE"]
    assert shop.all(projects.ProjectRebased) == []
    shop.put(recipe(force=9), rebase())
    await shop.run()
    assert len(shop.all(projects.ProjectRebased)) == 1, "another one may follow"
