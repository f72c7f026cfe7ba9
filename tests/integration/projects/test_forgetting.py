"""What is over is marked to be forgotten by the database itself; what is needed never is."""

from collections.abc import AsyncIterator

import pytest_asyncio

from libs.contracts import catalog, erp, execution
from libs.kernel.ids import project_id_of
from tests.stage import Stage, stage


@pytest_asyncio.fixture
async def shop(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Stage]:
    async with stage(kafka, mongodb, redis, namespace) as built:
        steps = (catalog.Step(step=1, name="press", device_type="press", expected_seconds=1),)
        built.put(
            catalog.PublishDeviceType(device_type="press", name="Press"),
            catalog.PublishRecipe(recipe_code="BELL", name="Bell", steps=steps),
        )
        await built.run()
        yield built


async def expiring(shop: Stage, service: str, collection: str) -> set[str]:
    marked = shop.database(service)[collection].find({"expires_at": {"$type": "date"}})
    return {document["_id"] async for document in marked}


async def test_only_what_is_over_expires(shop: Stage) -> None:
    done, undone = project_id_of("main", "DONE"), project_id_of("main", "UNDONE")
    for order_id in ("DONE", "UNDONE", "OPEN"):
        lines = [{"line_id": "1", "recipe_code": "BELL", "quantity": 1}]
        shop.put(erp.OrderRequested.model_validate({"order_id": order_id, "revision": 1, "lines": lines}))
        if order_id == "DONE":
            await shop.run()
        else:
            await shop.run(until=lambda message: isinstance(message, execution.AdmitWorkOrder))
            if order_id == "UNDONE":
                shop.put(erp.OrderCancelled(order_id="UNDONE", revision=1, reason=""))
                await shop.run()
    assert await expiring(shop, "projects", "sagas") == {f"{done}:1", f"{undone}:1"}
    assert await expiring(shop, "execution", "work_orders") == {undone}
    assert await expiring(shop, "execution", "generations") == {f"{done}:1"}
    indexes = await shop.database("projects")["sagas"].index_information()
    assert any(index.get("expireAfterSeconds") == 0 for index in indexes.values())
