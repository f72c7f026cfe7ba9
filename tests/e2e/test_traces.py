"""One trace runs from the ERP's message to the last report, through outbox, batches and every process."""

import asyncio
import time
from collections import Counter

import pytest

from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import FLEET_FILE, SAMPLE, load
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import load_fleet
from tests.e2e.shop import Shop
from tests.e2e.wire import Wire

pytestmark = pytest.mark.timeout(240)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
ORDER = (
    b'{"order_id": "TRACED", "revision": 1, "lines": [{"line_id": "1", "product_code": "CITY-BIKE", "quantity": 1}]}'
)
HEADERS = [
    ("ce_id", b"traced-1"),
    ("ce_type", b"erp.order.requested.v1"),
    ("ce_source", b"/test"),
    ("ce_specversion", b"1.0"),
    ("traceparent", f"00-{TRACE}-{PARENT}-01".encode()),
]


async def test_the_trace_of_an_order_is_unbroken(shop: Shop) -> None:
    master_data = [message for message in load(SAMPLE) if not message.is_order]
    async with (
        DeviceFleet(shop.address, load_fleet(SAMPLE / FLEET_FILE).devices(), speed=0) as fleet,
        ErpSimulator(shop.address) as catalog,
        Wire(shop.address, ("erp.order-status.v1", "execution.events.v1")) as wire,
    ):
        await catalog.publish(master_data, 60)
        await fleet.online(60)
        await wire.raw("erp.orders.v1", ORDER, "TRACED", HEADERS)
        completed = await wire.answer("erp.order.completed.v1", order_id="TRACED")
    assert completed.headers["traceparent"].split("-")[1] == TRACE
    done = [record for record in wire.heard if record.type == "execution.task.completed.v1"]
    assert {record.headers["traceparent"].split("-")[1] for record in done} == {TRACE}

    spans = await settled_spans(shop, "process projects.project.changed.v1")
    names = Counter(span["name"] for span in spans)
    assert names["process device.task.completed.v1"] == len(done) > 1
    assert {span["parent_span_id"] for span in spans} <= {span["span_id"] for span in spans} | {PARENT}
    participants = {"projects", "catalog", "snapshot", "execution", "task_generation", "insight", "gateway"}
    assert {span["service"] for span in spans} >= participants


async def settled_spans(shop: Shop, last: str) -> list[dict[str, object]]:
    """The spans of the trace, once one of this name is there and no more come."""
    deadline = time.monotonic() + 60
    before = -1
    while True:
        spans = [span for span in shop.spans() if span["trace_id"] == TRACE]
        if any(span["name"] == last for span in spans) and len(spans) == before:
            return spans
        assert time.monotonic() < deadline, sorted({str(span["name"]) for span in spans})
        before = len(spans)
        await asyncio.sleep(2)
