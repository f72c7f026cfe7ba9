"""Messages that meet in the database at the same moment: one goes first, the other sees what it did."""

import asyncio
from collections.abc import Callable

import pytest

from libs.contracts import catalog, erp, task_generation
from libs.contracts.projects import ProjectState
from libs.messaging.records import Record
from services.projects.saga import ACTIVATION
from tests.integration.projects.activations import CAN_FAIL, COMMANDS, STEPS, UNDOS, Activation, under_a_new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def at_once(order: Activation, *records: Record) -> None:
    await asyncio.gather(*(order.stage.deliver(record) for record in records))


@pytest.mark.parametrize("step", CAN_FAIL)
async def test_an_answer_and_a_cancellation(order: Activation, step: str) -> None:
    order.ordered()
    answer = await order.next(ACTIVATION.by_name[step].success)
    order.cancelled()
    await at_once(order, answer, order.stage.wire.pop())
    await order.run()
    assert (await order.project())["state"] == ProjectState.CANCELLED
    if not order.all(erp.OrderActivated):
        await order.is_cancelled()
    else:  # the release was on its way before the cancellation
        assert step == "generate"
        work_order = await order.stage.database("execution")["work_orders"].find_one({"_id": order.project_id})
        assert work_order["state"] == "CANCELLED"


@pytest.mark.parametrize("step", STEPS)
async def test_an_answer_and_a_time_out(order: Activation, step: str) -> None:
    order.ordered()
    answer = await order.next(ACTIVATION.by_name[step].success)
    deadline = await order.deadline()
    await asyncio.gather(order.deliver(answer), order.silence(deadline))
    await order.run()
    await order.is_active()


@pytest.mark.parametrize("step", CAN_FAIL)
async def test_an_answer_and_the_last_time_out(order: Activation, step: str) -> None:
    order.ordered()
    answer = await order.next(ACTIVATION.by_name[step].success)
    for _ in range(ACTIVATION.by_name[step].tries - 1):
        await order.silence()
        await order.run()
    deadline = await order.deadline()
    await asyncio.gather(order.deliver(answer), order.silence(deadline))
    await order.run()
    if (await order.project())["state"] == ProjectState.ACTIVE:
        await order.is_active()
    else:
        await order.is_planned(step, "TIMED_OUT")


@pytest.mark.parametrize("step", STEPS)
async def test_one_command_under_two_ids(order: Activation, step: str) -> None:
    order.ordered()
    command = await order.next(COMMANDS[step])
    await at_once(order, command, under_a_new_id(command))
    await order.run()
    await order.is_active()


@pytest.mark.parametrize("step", ["freeze", "admit"])
async def test_a_command_and_its_undo(order: Activation, step: str) -> None:
    """Both are about one document. Those of task generation are kept apart by their key, the project, alone."""
    order.ordered()
    command = await order.next(COMMANDS[step])
    await order.silence()
    await order.lost(COMMANDS[step], ACTIVATION.by_name[step].tries - 1)
    undo = await order.next(UNDOS[step])
    await at_once(order, command, undo)
    await order.run()
    await order.is_planned(step, "TIMED_OUT")
    await order.activates_again()


async def test_batches_and_the_withdrawal(order: Activation) -> None:
    order.ordered()
    batches = [await order.next(task_generation.TaskBatch) for _ in range(2)]
    await order.silence()
    await order.silence()
    await order.silence()
    withdrawal = await order.next(UNDOS["admit"])
    await at_once(order, *batches, withdrawal)
    await order.run()
    await order.is_planned("generate", "TIMED_OUT")


async def test_two_orders_of_something_new(new_order: Callable[[], Activation]) -> None:
    """Both want the same snapshots and the same routings, which nobody has made yet."""
    one, other = new_order(), new_order()
    recipes = (
        catalog.ProductRecipe(recipe_code="BELL", quantity=2),
        catalog.ProductRecipe(recipe_code="FOOT", quantity=1),
    )
    edited = (catalog.Step(step=1, name=f"press for {one.order_id}", device_type="press", expected_seconds=1),)
    one.stage.put(
        catalog.PublishRecipe(recipe_code="BELL", name=f"Bell of {one.order_id}", steps=edited),
        catalog.PublishProduct(product_code="NEW-LAMP", name="New", recipes=recipes),
    )
    await one.run()
    for order in (one, other):
        order.ordered(product="NEW-LAMP")
    stage = one.stage
    for step in STEPS:
        first = await one.next(COMMANDS[step])
        await stage.run(until=lambda message, cls=COMMANDS[step]: isinstance(message, cls))
        await at_once(one, first, stage.wire.pop(0))
    await one.run()
    for order in (one, other):
        await order.is_active()
    assert await stage.database("snapshot")["snapshots"].count_documents({"code": "NEW-LAMP"}) == 1
