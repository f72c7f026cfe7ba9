"""Before its release nothing of an order is dispatched: its tasks are there, devices are free, and dispatch looks."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from libs.contracts import devices, erp, execution
from libs.contracts.base import Message
from libs.messaging.records import Cause, encode
from tests.harness import said_of
from tests.integration.projects.activations import COMMANDS, FIRST_TASKS, UNDOS, Activation
from tests.leftovers import Leftovers
from tests.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = ("press", "polisher", "saw", "lathe", "bench")


@pytest_asyncio.fixture(autouse=True, scope="module", loop_scope="module")
async def machines(factory: tuple[Stage, Leftovers]) -> AsyncIterator[None]:
    """More slots of every device type than there will ever be tasks."""
    stage, _ = factory
    stage.put(
        *(devices.DeviceOnline(device_id=f"{name}-1", device_type=name, slots=1000) for name in TYPES),
    )
    await stage.run()
    yield


async def look_for_work(stage: Stage) -> None:
    """Dispatch is asked to look, at every device type."""
    for name in TYPES:
        await stage.deliver(encode(execution.DispatchRequested(device_type=name), Cause("main"), "/test"))


async def run_looking(order: Activation, *, until: type[Message] | None = None) -> None:
    """Deliver everything before the next message of a class, and look for work after each single delivery."""
    stage = order.stage
    while stage.wire:
        if until is not None and isinstance(said_of(stage.wire[0]).message, until):
            return
        await stage.deliver(stage.wire.pop(0))
        await look_for_work(stage)
    assert until is None, f"{until} never came"


async def waiting(order: Activation) -> set[str]:
    """Its tasks, all of which nobody has ever held."""
    found = order.stage.database("execution")["tasks"].find({"project_id": order.project_id})
    tasks = {task["_id"].removeprefix(f"{order.project_id}/"): task async for task in found}
    assert {(task["state"], task["fence"], "pool" in task) for task in tasks.values()} <= {("READY", 0, False)}
    return set(tasks)


def assigned(order: Activation) -> list[str]:
    return [task.task_id.removeprefix(f"{order.project_id}/") for task in order.all(devices.TaskAssigned)]


async def test_what_is_staged_waits_for_its_release(new_order: Callable[[], Activation]) -> None:
    neighbour, order = new_order(), new_order()
    neighbour.ordered()
    await neighbour.run()
    assert set(assigned(neighbour)) == FIRST_TASKS, "there are devices, and they have slots to spare"
    order.ordered()
    await run_looking(order, until=execution.ReleaseWorkOrder)
    assert await waiting(order) == FIRST_TASKS
    assert assigned(order) == []
    release = order.stage.wire.pop(0)
    await order.silence()
    assert order.all(execution.ReleaseWorkOrder)[1:], "sent again"
    order.stage.wire.clear()
    await look_for_work(order.stage)
    await order.stage.tick("execution", "delays")
    assert await waiting(order) == FIRST_TASKS
    assert assigned(order) == []
    await order.deliver(release)
    await order.run()
    assert sorted(assigned(order)) == sorted(FIRST_TASKS)


@pytest.mark.parametrize("step", ["admit", "generate"])
async def test_nothing_of_a_cancelled_activation_is_dispatched(order: Activation, step: str) -> None:
    order.ordered()
    await run_looking(order, until=COMMANDS[step])
    if step == "generate":  # all tasks are there, and only the saga does not know it yet
        await run_looking(order, until=execution.TasksStaged)
        assert await waiting(order) == FIRST_TASKS
    held = order.stage.wire.pop(0)
    order.cancelled()
    await run_looking(order, until=UNDOS["admit"])
    await order.deliver(held)
    await run_looking(order)
    await order.is_cancelled()
    assert assigned(order) == []
    assert order.all(devices.TaskRevoked) == [], "nobody had anything"


async def test_nothing_of_a_failed_activation_is_dispatched(order: Activation) -> None:
    """Some of its batches are stored when the saga gives up."""
    order.ordered()
    await run_looking(order, until=execution.TasksStaged)
    for _ in range(3):
        order.stage.wire.clear()
        await order.silence()
        await look_for_work(order.stage)
    await run_looking(order)
    await order.is_planned("generate", "TIMED_OUT")
    assert assigned(order) == []
    order.activated_by_an_operator()
    await run_looking(order)
    assert len(order.all(erp.OrderActivated)) == 1
    assert sorted(assigned(order)) == sorted(FIRST_TASKS)
