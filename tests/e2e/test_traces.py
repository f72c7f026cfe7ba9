"""One trace runs from the ERP's message to the last report, through outbox, batches and seven processes."""

import asyncio
import time

import pytest

from tests.e2e.shop import Shop, produce
from tests.e2e.wire import Wire

pytestmark = pytest.mark.timeout(240)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


async def test_the_trace_of_an_order_is_unbroken(shop: Shop) -> None:
    await produce(shop, orders=["PO-1006"])
    async with Wire(shop.address, ("erp.order-status.v1",)) as wire:
        # Master data is there by now; this order brings its own trace along.
        headers = [
            ("ce_id", b"traced-1"),
            ("ce_type", b"erp.order.requested.v1"),
            ("ce_source", b"/test"),
            ("ce_specversion", b"1.0"),
            ("traceparent", f"00-{TRACE}-{PARENT}-01".encode()),
        ]
        body = (
            b'{"order_id": "TRACED", "revision": 1,'
            b' "lines": [{"line_id": "1", "product_code": "CITY-BIKE", "quantity": 1}]}'
        )
        await wire.raw("erp.orders.v1", body, "TRACED", headers)
        activated = await wire.answer("erp.order.activated.v1", order_id="TRACED")
        assert activated.headers["traceparent"].split("-")[1] == TRACE
    spans = await _spans_with(shop, "process execution.work-order.released.v1")
    ids = {span["span_id"] for span in spans} | {PARENT}
    assert {span["parent_span_id"] for span in spans} <= ids
    services = {span["service"] for span in spans}
    assert {"projects", "catalog", "snapshot", "execution", "task_generation", "insight", "gateway"} <= services


async def _spans_with(shop: Shop, name: str) -> list[dict[str, object]]:
    """The spans of the trace, once one of this name is there and no more come."""
    deadline = time.monotonic() + 60
    before = -1
    while True:
        spans = [span for span in shop.spans() if span["trace_id"] == TRACE]
        if any(span["name"] == name for span in spans) and len(spans) == before:
            return spans
        assert time.monotonic() < deadline, sorted({str(span["name"]) for span in spans})
        before = len(spans)
        await asyncio.sleep(1.5)
