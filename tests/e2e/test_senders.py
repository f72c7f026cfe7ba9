"""Other senders' habits: orders and reports are understood as usual CloudEvents and Kafka clients write them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.senders import runtimes
from tests.e2e.senders.clients import ConfluentKafka, Java, Node, PythonSdk, Sender
from tests.e2e.shop import Shop
from tests.e2e.wire import Heard, Wire

pytestmark = [pytest.mark.timeout(240)]

fetches = pytest.mark.timeout(240 + runtimes.FETCH_SECONDS)
"""The time limit of a test whose libraries may have to be fetched first, once a machine."""

TOPICS = (
    "erp.order-status.v1",
    "execution.events.v1",
    "devices.tasks.press.v1",
    "erp.orders.v1.dlq",
    "devices.reports.v1.dlq",
)


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    try:
        return runtimes.java(runtimes.HERE / "Sender.java", tmp_path_factory.mktemp("classes"))
    except runtimes.RuntimeMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def node() -> dict[str, str]:
    try:
        return runtimes.node()
    except runtimes.RuntimeMissing as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(shared_shop: Shop) -> Shop:
    """A BELL can be ordered."""
    async with Wire(shared_shop.address, ("catalog.events.v1",)) as catalog:
        await publish_bell(catalog)
    return shared_shop


@pytest_asyncio.fixture
async def wire(shop: Shop) -> AsyncIterator[Wire]:
    async with Wire(shop.address, TOPICS) as opened:
        yield opened


async def publish_bell(catalog: Wire) -> None:
    """A recipe with one step; the topic of its device type exists from then on."""
    await catalog.send(
        "catalog.commands.v1", "catalog.device-type.publish.v1", "press", device_type="press", name="Press"
    )
    step = {"step": 1, "name": "press", "device_type": "press", "expected_seconds": 1}
    await catalog.send(
        "catalog.commands.v1", "catalog.recipe.publish.v1", "BELL", recipe_code="BELL", name="Bell", steps=[step]
    )
    await catalog.answer("catalog.recipe.published.v1", recipe_code="BELL")


async def make_bell(shop: Shop, wire: Wire, sender: Sender) -> None:
    """Order a bell and report its only task, both by `sender`: both are understood, and answered by their ids."""
    order_id = f"BELL-{uuid.uuid4().hex}"
    order_event, report_event = f"{order_id}/order", f"{order_id}/report"
    await asyncio.to_thread(sender.order, wire.address.topic("erp.orders.v1"), order_event, order_id)
    accepted = await said(shop, wire, order_id, "erp.order.accepted.v1")
    assert accepted.headers["ce_causationid"] == order_event
    activated = await said(shop, wire, order_id, "erp.order.activated.v1")
    assert activated.data["project_id"] == accepted.data["project_id"]

    press = {"device_id": "press-1", "device_type": "press", "slots": 20}
    await wire.send("devices.status.v1", "device.online.v1", "press-1", **press)
    task = (await said(shop, wire, order_id, "device.task.assigned.v1")).data
    await asyncio.to_thread(sender.report, wire.address.topic("devices.reports.v1"), report_event, task)
    counted = await said(shop, wire, report_event, "execution.task.completed.v1")
    assert counted.headers["ce_causationid"] == report_event
    assert counted.data["task_id"] == task["task_id"]
    completed = await said(shop, wire, order_id, "erp.order.completed.v1")
    assert [line["produced_quantity"] for line in completed.data["lines"]] == [1]

    await wire.catch_up()
    assert [record for record in about(wire, order_id) if record.topic.endswith(".dlq")] == []


async def said(shop: Shop, wire: Wire, subject: str, type_: str) -> Heard:
    """The first record of a type that names `subject` anywhere; without one, the failure tells what came instead."""
    try:
        return await wire.until(lambda record: record.type == type_ and subject in repr(record))
    except TimeoutError:
        account = await asyncio.to_thread(shop.account, ())
        raise AssertionError(f"no {type_} about {subject}, but {about(wire, subject)}\n{account}") from None


def about(wire: Wire, subject: str) -> list[Heard]:
    """All records heard so far that name `subject` anywhere: in their values or in their headers."""
    return [record for record in wire.heard if subject in repr(record)]


@pytest.mark.parametrize("mode", ["binary", "structured", "base64"])
async def test_the_cloudevents_sdk_for_python_is_understood(shop: Shop, wire: Wire, mode: str) -> None:
    await make_bell(shop, wire, PythonSdk(shop.address.kafka, mode))


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_confluent_kafka_is_understood_compressed_or_not(shop: Shop, wire: Wire, compression: str) -> None:
    await make_bell(shop, wire, ConfluentKafka(shop.address.kafka, compression))


@fetches
@pytest.mark.parametrize("mode", ["binary", "structured", "text"])
async def test_java_is_understood(java: list[str], shop: Shop, wire: Wire, tmp_path: Path, mode: str) -> None:
    await make_bell(shop, wire, Java(shop.address.kafka, mode, java, tmp_path / "java.log"))


@fetches
@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_kafkajs_is_understood(node: dict[str, str], shop: Shop, wire: Wire, tmp_path: Path, mode: str) -> None:
    await make_bell(shop, wire, Node(shop.address.kafka, mode, node, tmp_path / "node.log"))
