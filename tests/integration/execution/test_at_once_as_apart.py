"""A dispatch pass at once, in the transaction of reports, gives away what a pass by itself would have given away."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from libs.contracts.devices import TaskAssigned, TaskCompleted
from services.execution.app import build
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, handling
from tests.integration.execution.talk import AT, dispatch, given, online, release, woken

TYPES = ("lathe", "press", "saw")
ROUNDS = 6
DEVICES = {f"{device_type}-{number}": device_type for device_type in TYPES for number in (1, 2)}


@pytest.fixture
async def kernels(mongodb: str, namespace: str) -> AsyncIterator[dict[bool, Kernel]]:
    """One with passes at once, and one with passes by wake-ups."""
    async with AsyncExitStack() as stack:
        yield {
            at_once: await stack.enter_async_context(
                handling(
                    build(
                        ExecutionSettings(
                            mongodb=mongodb,
                            namespace=f"{namespace}-{at_once:d}",
                            dispatch_at_once=at_once,
                            retry_seconds=0.0,
                        )
                    )
                )
            )
            for at_once in (True, False)
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


async def settled(kernel: Kernel, *messages: Any) -> list[TaskAssigned]:
    """What is assigned until no pass is asked for."""
    said = await kernel.give(*messages) if messages else []
    assigned = [each.message for each in said if isinstance(each.message, TaskAssigned)]
    while due := sorted(set(woken(said))):
        said = [each for device_type in due for each in await dispatch(kernel, device_type)]
        assigned += [each.message for each in said if isinstance(each.message, TaskAssigned)]
    return assigned


async def settled_dispatch(kernel: Kernel, device_type: str) -> list[TaskAssigned]:
    return [each.message for each in await dispatch(kernel, device_type) if isinstance(each.message, TaskAssigned)]


async def state(kernel: Kernel, name: str, *left_out: str) -> dict[str, Any]:
    return {
        each["_id"]: {name: value for name, value in each.items() if name not in {"_id", *left_out}}
        async for each in kernel.database[name].find({})
    }


@pytest.mark.parametrize("seed", range(2))
async def test_the_same_tasks_go_to_the_same_devices_and_look_the_same(kernels: dict[bool, Kernel], seed: int) -> None:
    dice = random.Random(seed)
    orders = {f"P{number}": an_order(dice) for number in range(5)}
    held: dict[bool, dict[str, TaskAssigned]] = {True: {}, False: {}}
    for at_once, kernel in kernels.items():
        for device_id, device_type in DEVICES.items():
            await online(kernel, device_id, device_type, slots=2)
        for id_, each in orders.items():
            await release(kernel, id_, *each["steps"], quantity=each["quantity"], priority=each["priority"])
        for device_type in TYPES:
            held[at_once] |= {task.task_id: task for task in await settled_dispatch(kernel, device_type)}
    for _ in range(ROUNDS):
        assert {id_: task.device_id for id_, task in held[True].items()} == {
            id_: task.device_id for id_, task in held[False].items()
        }
        if not held[True]:
            break
        chosen = dice.sample(sorted(held[True]), dice.randint(1, len(held[True])))
        outcomes = {id_: dice.choice(["GOOD"] * 8 + ["SCRAP", "REWORK"]) for id_ in chosen}
        for at_once, kernel in kernels.items():
            reports = [report(held[at_once].pop(id_), outcomes[id_]) for id_ in chosen]
            held[at_once] |= {task.task_id: task for task in await settled(kernel, *reports)}
            live = {each["_id"] async for each in kernel.database["tasks"].find({"pool": {"$exists": True}})}
            held[at_once] = {id_: task for id_, task in held[at_once].items() if id_ in live}
    times = ("leased_at", "lease_expires_at", "started_at", "completed_at", "fresh_until", "cause", "dispatch")
    assert await state(kernels[True], "tasks", *times) == await state(kernels[False], "tasks", *times)
    assert await state(kernels[True], "waiting", *times) == await state(kernels[False], "waiting", *times)


def report(task: TaskAssigned, outcome: str) -> TaskCompleted:
    ids = {"task_id": task.task_id, "fence": task.fence, "device_id": task.device_id, "project_id": task.project_id}
    return TaskCompleted.model_validate({**ids, "at": AT, "outcome": outcome})


async def test_what_waits_longer_goes_first_though_others_have_just_become_ready(mongodb: str, namespace: str) -> None:
    service = build(ExecutionSettings(mongodb=mongodb, namespace=namespace))
    async with handling(service) as kernel:
        await online(kernel, "saw-1")
        await release(kernel, "A", {}, {})
        (first,) = await settled_dispatch(kernel, "saw")
        await release(kernel, "B", priority="URGENT")
        said = await kernel.give(report(first, "GOOD"))
        assert given(said) == [("B/10/R/1/1", "saw-1")], "40 against 20 and 15"
        waiting = await kernel.database["waiting"].find_one({"_id": "A/10/R/1/2"})
        task = await kernel.database["tasks"].find_one({"_id": "A/10/R/1/2"})
        assert task is not None
        assert waiting is not None, "what has just become ready and was not taken waits"
        assert (task["state"], waiting["rank"]) == ("READY", 15)
