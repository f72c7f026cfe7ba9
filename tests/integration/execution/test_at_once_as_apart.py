"""What is given away along with reports, and written in one go, is what a look by itself would have given away."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from libs.contracts.devices import TaskAssigned, TaskCompleted
from services.execution.app import build
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, handling
from tests.integration.execution.talk import AT, given, look, nudged, online, release

TYPES = ("lathe", "press", "saw")
ROUNDS = 6
DEVICES = {f"{device_type}-{number}": device_type for device_type in TYPES for number in (1, 2)}


@pytest.fixture
async def floors(mongodb: str, namespace: str) -> AsyncIterator[dict[bool, Kernel]]:
    """One that looks along with reports, and one that does not."""
    async with AsyncExitStack() as stack:
        yield {
            along: await stack.enter_async_context(
                handling(
                    build(
                        ExecutionSettings(
                            mongodb=mongodb, namespace=f"{namespace}-{along}", dispatch_at_once=along, retry_seconds=0.0
                        )
                    )
                )
            )
            for along in (True, False)
        }


def an_order(dice: random.Random) -> dict[str, Any]:
    """Steps that wait for one or two others, some of which may be done on other device types as well."""
    steps: list[dict[str, Any]] = []
    for number in range(1, dice.randint(3, 6)):
        before = list(range(1, number))
        own, *others = dice.sample(TYPES, 3)
        steps.append(
            {
                "device_type": own,
                "depends_on": sorted(dice.sample(before, min(len(before), dice.choice([1, 1, 2])))),
                "alternatives": others[: dice.choice([0, 0, 1, 2])] or None,
            }
        )
    return {"steps": steps, "quantity": dice.randint(1, 3), "priority": dice.choice(["LOW", "MEDIUM", "HIGH"])}


async def settled(floor: Kernel, *messages: Any) -> list[TaskAssigned]:
    """What is assigned until nobody is to look again."""
    said = await floor.give(*messages) if messages else []
    assigned = [each.message for each in said if isinstance(each.message, TaskAssigned)]
    while due := sorted(set(nudged(said))):
        said = [each for device_type in due for each in await look(floor, device_type)]
        assigned += [each.message for each in said if isinstance(each.message, TaskAssigned)]
    return assigned


async def settled_look(floor: Kernel, device_type: str) -> list[TaskAssigned]:
    return [each.message for each in await look(floor, device_type) if isinstance(each.message, TaskAssigned)]


async def state(floor: Kernel, name: str, *left_out: str) -> dict[str, Any]:
    return {
        each["_id"]: {name: value for name, value in each.items() if name not in {"_id", *left_out}}
        async for each in floor.database[name].find({})
    }


@pytest.mark.parametrize("seed", range(2))
async def test_the_same_tasks_go_to_the_same_devices_and_look_the_same(floors: dict[bool, Kernel], seed: int) -> None:
    dice = random.Random(seed)
    orders = {f"P{number}": an_order(dice) for number in range(5)}
    held: dict[bool, dict[str, TaskAssigned]] = {True: {}, False: {}}
    for along, floor in floors.items():
        for device_id, device_type in DEVICES.items():
            await online(floor, device_id, device_type, slots=2)
        for id_, each in orders.items():
            await release(floor, id_, *each["steps"], quantity=each["quantity"], priority=each["priority"])
        for device_type in TYPES:
            held[along] |= {task.task_id: task for task in await settled_look(floor, device_type)}
    for _ in range(ROUNDS):
        assert {id_: task.device_id for id_, task in held[True].items()} == {
            id_: task.device_id for id_, task in held[False].items()
        }
        if not held[True]:
            break
        chosen = dice.sample(sorted(held[True]), dice.randint(1, len(held[True])))
        outcomes = {id_: dice.choice(["GOOD"] * 8 + ["SCRAP", "REWORK"]) for id_ in chosen}
        for along, floor in floors.items():
            reports = [report(held[along].pop(id_), outcomes[id_]) for id_ in chosen]
            held[along] |= {task.task_id: task for task in await settled(floor, *reports)}
            live = {each["_id"] async for each in floor.database["tasks"].find({"pool": {"$exists": True}})}
            held[along] = {id_: task for id_, task in held[along].items() if id_ in live}
    times = ("leased_at", "lease_expires_at", "started_at", "completed_at", "fresh_until", "cause", "dispatch")
    assert await state(floors[True], "tasks", *times) == await state(floors[False], "tasks", *times)
    assert await state(floors[True], "waiting", *times) == await state(floors[False], "waiting", *times)


def report(task: TaskAssigned, outcome: str) -> TaskCompleted:
    ids = {"task_id": task.task_id, "fence": task.fence, "device_id": task.device_id, "project_id": task.project_id}
    return TaskCompleted.model_validate({**ids, "at": AT, "outcome": outcome})


async def test_what_waits_longer_goes_first_though_others_have_just_become_ready(mongodb: str, namespace: str) -> None:
    service = build(ExecutionSettings(mongodb=mongodb, namespace=namespace))
    async with handling(service) as floor:
        await online(floor, "saw-1")
        await release(floor, "A", {}, {})
        (first,) = await settled_look(floor, "saw")
        await release(floor, "B", priority="URGENT")
        said = await floor.give(report(first, "GOOD"))
        assert given(said) == [("B/10/R/1/1", "saw-1")], "40 against 20 and 15"
        waiting = await floor.database["waiting"].find_one({"_id": "A/10/R/1/2"})
        task = await floor.database["tasks"].find_one({"_id": "A/10/R/1/2"})
        assert task is not None
        assert waiting is not None, "what has just become ready and was not taken waits"
        assert (task["state"], waiting["rank"]) == ("READY", 15)
