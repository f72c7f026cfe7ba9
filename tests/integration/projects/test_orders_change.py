"""The ERP changes its mind at any moment: before, during and after an activation."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from libs.contracts import catalog, devices, erp, execution, projects, snapshot, task_generation
from libs.contracts.base import Message
from libs.contracts.projects import ProjectState
from libs.kernel.ids import project_id_of
from tests.stage import Stage, stage

PROJECT = project_id_of("main", "A-1")
AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest_asyncio.fixture
async def shop(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Stage]:
    async with stage(kafka, mongodb, redis, namespace) as built:
        built.put(
            catalog.PublishDeviceType(device_type="press", name="Press"),
            catalog.PublishRecipe(
                recipe_code="BELL",
                name="Bell",
                steps=(catalog.Step(step=1, name="press", device_type="press", expected_seconds=1),),
            ),
            catalog.PublishProduct(
                product_code="LAMP", name="Lamp", recipes=(catalog.ProductRecipe(recipe_code="BELL", quantity=2),)
            ),
        )
        await built.run()
        yield built


def order(revision: int = 1, quantity: int = 3, **more: object) -> erp.OrderRequested:
    lines = [{"line_id": "10", "product_code": "LAMP", "quantity": quantity}]
    return erp.OrderRequested.model_validate({"order_id": "A-1", "revision": revision, "lines": lines, **more})


def cancellation(revision: int = 1) -> erp.OrderCancelled:
    return erp.OrderCancelled(order_id="A-1", revision=revision, reason="lost")


def answers(shop: Stage) -> list[str]:
    return [type(each.message).__name__ for each in shop.said if isinstance(each.message, erp.OrderAnswer)]


async def state(shop: Stage) -> str:
    return str((await shop.database("projects")["projects"].find_one({"_id": PROJECT}))["state"])


async def assert_nothing_left(shop: Stage) -> None:
    """No task, snapshot reference, open work order or lease of the project anywhere."""
    database = shop.database("execution")
    assert await database["tasks"].count_documents({"project_id": PROJECT}) == 0
    assert await database["generations"].count_documents({"project_id": PROJECT}) == 0
    work_order = await database["work_orders"].find_one({"_id": PROJECT})
    assert work_order is None or work_order["state"] == "WITHDRAWN"
    references = shop.database("snapshot")["activations"]
    async for document in references.find({"project_id": PROJECT}):
        assert document["references"] == [], document


COMMANDS = (
    catalog.ResolveOrder,
    snapshot.FreezeSnapshots,
    execution.AdmitWorkOrder,
    task_generation.GenerateTasks,
)
"""What the saga sends on its way to the pivot."""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("delivered", [False, True], ids=["before", "after"])
async def test_a_cancellation_during_activation_leaves_nothing(
    shop: Stage, command: type[Message], delivered: bool
) -> None:
    shop.put(order())
    await shop.run(until=lambda message: isinstance(message, command))
    if delivered:
        await shop.deliver(shop.wire.pop(0))
    held, shop.wire = shop.wire, []
    shop.put(cancellation())
    cancel = shop.wire.pop(0)
    await shop.deliver(cancel)
    # The undo overtakes what was on its way before the cancellation.
    shop.wire += held
    await shop.run()
    assert await state(shop) == ProjectState.CANCELLED
    assert answers(shop) == ["OrderAccepted", "OrderCancellationConfirmed"]
    await assert_nothing_left(shop)


async def test_a_cancellation_after_the_pivot_waits_for_the_release(shop: Stage) -> None:
    shop.put(order())
    await shop.run(until=lambda message: isinstance(message, execution.ReleaseWorkOrder))
    shop.put(cancellation())
    await shop.run()
    assert await state(shop) == ProjectState.CANCELLED
    assert answers(shop) == ["OrderAccepted", "OrderActivated", "OrderCancellationConfirmed"]


async def test_a_revision_during_activation_replaces_the_order(shop: Stage) -> None:
    shop.put(order())
    await shop.run(until=lambda message: isinstance(message, task_generation.GenerateTasks))
    shop.put(order(revision=2, quantity=5))
    await shop.run()
    assert await state(shop) == ProjectState.ACTIVE
    (activated,) = shop.all(erp.OrderActivated)
    assert (activated.revision, activated.lines[0].target_quantity) == (2, 5)
    assert await shop.database("execution")["tasks"].count_documents({"project_id": PROJECT}) == 10


async def test_an_active_order_grows(shop: Stage) -> None:
    shop.put(order(), order(revision=2, quantity=5, priority="URGENT"))
    await shop.run()
    shop.put(order(revision=3, quantity=7, priority="LOW"))
    await shop.run()
    assert [accepted.revision for accepted in shop.all(erp.OrderAccepted)][-1] == 3
    work_order = await shop.database("execution")["work_orders"].find_one({"_id": PROJECT})
    assert (work_order["priority"], work_order["lines"][0]["target_quantity"]) == ("LOW", 7)
    assert await shop.database("execution")["tasks"].count_documents({"project_id": PROJECT}) == 14


async def test_an_active_order_keeps_what_is_in_work_and_its_lines(shop: Stage) -> None:
    shop.put(order())
    await shop.run()
    shop.put(order(revision=2, quantity=1))
    other = [{"line_id": "20", "product_code": "LAMP", "quantity": 9}]
    shop.put(erp.OrderRequested.model_validate({"order_id": "A-1", "revision": 3, "lines": other}))
    await shop.run()
    rejected = shop.all(erp.OrderRejected)
    found = {(each.revision, error.code, error.path) for each in rejected for error in each.errors}
    assert found == {
        (2, "NOT_CHANGEABLE", "lines[0].quantity"),
        (3, "NOT_CHANGEABLE", "lines"),
        (3, "NOT_CHANGEABLE", "lines[0]"),
    }
    assert await state(shop) == ProjectState.ACTIVE
    shop.put(order(revision=2, quantity=4))
    await shop.run()
    assert shop.all(erp.OrderAccepted)[-1].revision == 2, "a rejected revision may be sent again, put right"


async def test_a_cancelled_order_counts_what_runs_and_revokes_the_rest(shop: Stage) -> None:
    shop.put(devices.DeviceOnline(device_id="p-1", device_type="press", slots=2))
    shop.put(order())
    await shop.run()
    running, leased = shop.all(devices.TaskAssigned)
    report = {"device_id": "p-1", "project_id": PROJECT, "at": AT}
    shop.put(devices.TaskStarted(task_id=running.task_id, fence=running.fence, **report))
    await shop.run()
    shop.put(cancellation())
    await shop.run()
    assert [(each.task_id, each.fence) for each in shop.all(devices.TaskRevoked)] == [(leased.task_id, leased.fence)]
    for task in (running, leased):
        shop.put(devices.TaskCompleted(task_id=task.task_id, fence=task.fence, **report))
    await shop.run()
    assert await state(shop) == ProjectState.CANCELLED
    assert [each.reason for each in shop.all(execution.ReportIgnored)] == [execution.IgnoredReason.NOT_LEASED]
    assert shop.all(execution.WorkOrderProgressed)[-1].lines[0].executions_good == 1
    assert len(shop.all(devices.TaskAssigned)) == 2, "nothing new is dispatched"


async def test_a_paused_order_dispatches_nothing_until_it_is_resumed(shop: Stage) -> None:
    shop.put(order())
    await shop.run()
    shop.put(projects.PauseProject(project_id=PROJECT))
    await shop.run()
    assert await state(shop) == ProjectState.PAUSED
    shop.put(devices.DeviceOnline(device_id="p-1", device_type="press", slots=2))
    await shop.run()
    assert shop.all(devices.TaskAssigned) == []
    shop.put(projects.ResumeProject(project_id=PROJECT))
    await shop.run()
    assert await state(shop) == ProjectState.ACTIVE
    assert len(shop.all(devices.TaskAssigned)) == 2


@pytest.mark.parametrize("command", [projects.PauseProject, projects.ResumeProject, projects.ActivateProject])
async def test_an_unknown_project_cannot_be_steered(shop: Stage, command: type[Message]) -> None:
    shop.put(command(project_id="nobody"))
    await shop.run()
    (refused,) = shop.all(projects.CommandRefused)
    assert [error.code for error in refused.errors] == ["UNKNOWN_PROJECT"]
