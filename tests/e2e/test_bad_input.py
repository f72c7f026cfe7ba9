"""Wrong input: every error is told with its path, nothing is left behind, and the rest goes on."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from pymongo import MongoClient

from tests.e2e.shop import Shop
from tests.e2e.wire import Heard, Wire

pytestmark = [pytest.mark.timeout(240)]

TOPICS = (
    "erp.order-status.v1",
    "catalog.events.v1",
    "execution.events.v1",
    "projects.events.v1",
    "erp.orders.v1.dlq",
    "catalog.commands.v1.dlq",
    "devices.reports.v1.dlq",
)


@pytest.fixture(scope="module")
def shop(shared_shop: Shop) -> Shop:
    return shared_shop


@pytest_asyncio.fixture
async def wire(shop: Shop) -> AsyncIterator[Wire]:
    async with Wire(shop.address, TOPICS) as opened:
        yield opened


def order(order_id: str, **more: object) -> dict[str, object]:
    lines = [{"line_id": "10", "recipe_code": "BELL", "quantity": 1}]
    return {"order_id": order_id, "revision": 1, "lines": lines, **more}


async def publish_bell(wire: Wire) -> None:
    await wire.send("catalog.commands.v1", "catalog.device-type.publish.v1", "press", device_type="press", name="Press")
    step = {"step": 1, "name": "press", "device_type": "press", "expected_seconds": 1}
    await wire.send(
        "catalog.commands.v1", "catalog.recipe.publish.v1", "BELL", recipe_code="BELL", name="Bell", steps=[step]
    )
    await wire.answer("catalog.recipe.published.v1", recipe_code="BELL")


def errors(record: Heard) -> set[tuple[str, str]]:
    return {(error["code"], error["path"]) for error in record.data["errors"]}


async def test_what_cannot_be_read_is_set_aside_and_the_rest_goes_on(wire: Wire) -> None:
    await publish_bell(wire)
    await wire.raw("erp.orders.v1", b"\xff\xfe not json", "A")
    await wire.raw("erp.orders.v1", b"{}", "A", [("ce_type", b"\xff\xff"), ("ce_id", b"1")])
    await wire.send("erp.orders.v1", "erp.order.guessed.v1", "A", order_id="A")
    await wire.send("erp.orders.v1", "erp.order.requested.v1", "UNREADABLE-1", **order("UNREADABLE-1"))
    await wire.answer("erp.order.activated.v1", order_id="UNREADABLE-1")
    for reason in ("not JSON", "not UTF-8", "erp.order.guessed.v1"):
        letter = await wire.until(
            lambda record, reason=reason: record.topic == "erp.orders.v1.dlq" and reason in record.headers["dlq_reason"]
        )
        assert letter.headers["dlq_topic"] == "erp.orders.v1"
        assert {"dlq_partition", "dlq_offset", "dlq_attempts", "dlq_stack"} <= letter.headers.keys()


async def test_every_error_of_an_order_is_told(wire: Wire) -> None:
    lines = [
        {"line_id": "10", "product_code": "BIKE", "quantity": 0},
        {"line_id": "10", "product_code": "BI KE", "quantity": -3},
    ]
    await wire.send("erp.orders.v1", "erp.order.requested.v1", "BAD-1", **order("BAD-1", lines=lines, priority="SOON"))
    rejected = await wire.answer("erp.order.rejected.v1", order_id="BAD-1")
    assert rejected.data.get("project_id") is None
    assert errors(rejected) == {
        ("TOO_SMALL", "lines[0].quantity"),
        ("TOO_SMALL", "lines[1].quantity"),
        ("INVALID_CODE", "lines[1].product_code"),
        ("DUPLICATE_LINE", "lines[1].line_id"),
        ("UNKNOWN_VALUE", "priority"),
    }
    await wire.send("erp.orders.v1", "erp.order.requested.v1", "BAD-2", **order("BAD-2", lines=[]))
    assert errors(await wire.answer("erp.order.rejected.v1", order_id="BAD-2")) == {("EMPTY", "lines")}


async def test_an_unknown_product_fails_the_activation_and_leaves_nothing(wire: Wire, shop: Shop) -> None:
    lines = [
        {"line_id": "10", "product_code": "LAMP", "quantity": 1},
        {"line_id": "20", "recipe_code": "NO-SUCH", "quantity": 1},
    ]
    await wire.send("erp.orders.v1", "erp.order.requested.v1", "UNKNOWN-1", **order("UNKNOWN-1", lines=lines))
    failed = await wire.answer("erp.order.activation-failed.v1", order_id="UNKNOWN-1")
    assert errors(failed) == {
        ("UNKNOWN_PRODUCT", "lines[0].product_code"),
        ("UNKNOWN_RECIPE", "lines[1].recipe_code"),
    }
    assert (failed.data["step"], failed.data["compensated"]) == ("resolve", True)
    project_id = failed.data["project_id"]
    client: MongoClient[dict[str, object]] = MongoClient(shop.mongodb)
    execution = client[f"{shop.address.namespace}_factory_execution"]
    assert execution["work_orders"].count_documents({"_id": project_id}) == 0
    assert execution["tasks"].count_documents({"project_id": project_id}) == 0
    snapshots = client[f"{shop.address.namespace}_factory_snapshot"]
    assert snapshots["activations"].count_documents({"project_id": project_id, "references": {"$ne": []}}) == 0
    client.close()

    await publish_bell(wire)
    await wire.send(
        "catalog.commands.v1",
        "catalog.product.publish.v1",
        "LAMP",
        product_code="LAMP",
        name="Lamp",
        recipes=[{"recipe_code": "BELL", "quantity": 1}],
    )
    step = {"step": 1, "name": "press", "device_type": "press", "expected_seconds": 1}
    await wire.send(
        "catalog.commands.v1", "catalog.recipe.publish.v1", "NO-SUCH", recipe_code="NO-SUCH", name="New", steps=[step]
    )
    await wire.answer("catalog.recipe.published.v1", recipe_code="NO-SUCH")
    async with httpx.AsyncClient(base_url=shop.factory.gateway or "", timeout=30) as gateway:
        answer = await gateway.post(f"/api/v1/projects/{project_id}/activate", headers={"Prefer": "wait=20"})
        assert answer.status_code == 200, answer.text
    await wire.answer("erp.order.activated.v1", order_id="UNKNOWN-1", project_id=project_id)


async def test_a_cycle_is_named(wire: Wire) -> None:
    await publish_bell(wire)
    steps = [
        {"step": number, "name": "s", "device_type": "press", "expected_seconds": 1, "depends_on": depends_on}
        for number, depends_on in ((1, [3]), (2, [1]), (3, [2]))
    ]
    await wire.send(
        "catalog.commands.v1", "catalog.recipe.publish.v1", "ROUND", recipe_code="ROUND", name="R", steps=steps
    )
    rejected = await wire.answer("catalog.publication-rejected.v1", code="ROUND")
    (cycle,) = [error for error in rejected.data["errors"] if "CYCLE" in error["code"]]
    assert cycle["message"].count("→") == 3


async def test_the_same_order_again_is_one_project(wire: Wire) -> None:
    await publish_bell(wire)
    for _ in range(3):
        await wire.send("erp.orders.v1", "erp.order.requested.v1", "SAME-1", **order("SAME-1", auto_activate=False))
    await wire.send("erp.orders.v1", "erp.order.requested.v1", "SAME-1", **order("SAME-1", priority="LOW"))
    conflict = await wire.answer("erp.order.rejected.v1", order_id="SAME-1")
    assert errors(conflict) == {("REVISION_CONFLICT", "revision")}
    accepted = [
        record
        for record in wire.heard
        if record.type == "erp.order.accepted.v1" and record.data["order_id"] == "SAME-1"
    ]
    assert len(accepted) == 1


async def test_reports_that_mean_nothing_are_told_and_move_nothing(wire: Wire) -> None:
    report = {"fence": 1, "device_id": "d-1", "project_id": "nobody", "at": "2026-03-02T08:00:00Z"}
    await wire.send("devices.reports.v1", "device.task.completed.v1", "nobody", task_id="nobody/1/x/1/1", **report)
    ignored = await wire.answer("execution.report.ignored.v1", project_id="nobody")
    assert ignored.data["reason"] == "UNKNOWN_TASK"
    await wire.send("devices.reports.v1", "device.task.completed.v1", "nobody", task_id="x", **(report | {"fence": -1}))
    letter = await wire.until(lambda record: record.topic == "devices.reports.v1.dlq")
    assert "fence" in letter.headers["dlq_reason"]
