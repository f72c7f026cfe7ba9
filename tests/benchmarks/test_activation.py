"""A million executions are activated, paused, re-prioritised and cancelled like ten, in the same memory."""

import re
import statistics
import time
import uuid
from pathlib import Path

import pytest

from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.stations import Device
from tests.benchmarks.conftest import Report
from tests.e2e.shop import Shop, open_shop
from tests.e2e.wire import Wire

pytestmark = pytest.mark.timeout(900)

SMALL, LARGE = 10, 1_000_000
ROUNDS = 9
ANSWERS = ("erp.order-status.v1", "catalog.events.v1", "projects.events.v1")


async def publish(wire: Wire, device_type: str = "press") -> None:
    await wire.send(
        "catalog.commands.v1", "catalog.device-type.publish.v1", device_type, device_type=device_type, name="Press"
    )
    steps = [
        {"step": number, "name": "press", "device_type": device_type, "expected_seconds": 1} for number in (1, 2, 3)
    ]
    await wire.send(
        "catalog.commands.v1", "catalog.recipe.publish.v1", "BELL", recipe_code="BELL", name="Bell", steps=steps
    )
    await wire.answer("catalog.recipe.published.v1", recipe_code="BELL")


async def request(wire: Wire, order_id: str, quantity: int, revision: int = 1, **more: object) -> None:
    lines = [{"line_id": "1", "recipe_code": "BELL", "quantity": quantity}]
    body = {"order_id": order_id, "revision": revision, "lines": lines, **more}
    await wire.send("erp.orders.v1", "erp.order.requested.v1", order_id, **body)


async def life(wire: Wire, order_id: str, quantity: int) -> dict[str, float]:
    """Seconds from the message to the answer, for everything that an order goes through."""
    seconds: dict[str, float] = {}

    def since(began: float) -> float:
        return time.perf_counter() - began

    began = time.perf_counter()
    await request(wire, order_id, quantity)
    activated = await wire.answer("erp.order.activated.v1", order_id=order_id)
    seconds["activate"] = since(began)
    project_id = activated.data["project_id"]

    began = time.perf_counter()
    await wire.send("projects.commands.v1", "projects.project.pause.v1", project_id, project_id=project_id)
    await wire.answer("projects.project.changed.v1", project_id=project_id, state="PAUSED")
    seconds["pause"] = since(began)

    began = time.perf_counter()
    await request(wire, order_id, quantity, revision=2, priority="URGENT")
    await wire.answer("projects.project.changed.v1", project_id=project_id, priority="URGENT", state="PAUSED")
    seconds["re-prioritise"] = since(began)

    began = time.perf_counter()
    await wire.send("erp.orders.v1", "erp.order.cancelled.v1", order_id, order_id=order_id, revision=2, reason="enough")
    await wire.answer("erp.order.cancelled.v1", order_id=order_id)
    seconds["cancel"] = since(began)
    return seconds


async def test_a_million_executions_cost_what_ten_do(shop: Shop, report: Report) -> None:
    async with Wire(shop.address, ANSWERS) as wire:
        await publish(wire)
        await life(wire, "WARM-UP", SMALL)
        taken: dict[int, list[dict[str, float]]] = {SMALL: [], LARGE: []}
        for number in range(ROUNDS):
            for quantity in (SMALL, LARGE):
                taken[quantity].append(await life(wire, f"ORDER-{quantity}-{number}", quantity))
    for what in taken[SMALL][0]:
        small, large = (statistics.median(one[what] for one in taken[quantity]) for quantity in (SMALL, LARGE))
        report(f"{what}: {large:.3f} s for {LARGE:,} executions ÷ {small:.3f} s for {SMALL} = {large / small:.2f}")
        assert large / small <= 1.5, what


async def test_two_hundred_orders_at_once_are_all_activated(shop: Shop, report: Report) -> None:
    async with Wire(shop.address, ANSWERS) as wire:
        await publish(wire)
        await life(wire, "WARM-UP", SMALL)
        began = {}
        for number in range(200):
            began[f"ORDER-{number}"] = time.perf_counter()
            await request(wire, f"ORDER-{number}", SMALL)
        seconds = []
        for order_id, start in began.items():
            await wire.answer("erp.order.activated.v1", order_id=order_id)
            activated = next(
                each.at
                for each in wire.heard
                if each.type == "erp.order.activated.v1" and each.data["order_id"] == order_id
            )
            seconds.append(activated - start)
    slowest, median = max(seconds), statistics.median(seconds)
    report(f"200 orders at once: slowest {slowest:.2f} s ÷ median {median:.2f} s = {slowest / median:.2f}")
    assert slowest / median <= 5


def peak_memory(shop: Shop) -> dict[str, float]:
    """Megabytes that each service has used at most."""
    peaks = {}
    for process in shop.factory.status().processes:
        if process.name in ("kafka", "mongodb", "redis"):
            continue
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        peaks[process.name] = int(found.group(1)) / 1024
    return peaks


async def produced_for(shop: Shop, quantity: int, executions: int) -> dict[str, float]:
    """Peak memory after so many good executions of one order of `quantity`."""
    async with (
        Wire(shop.address, ANSWERS) as wire,
        DeviceFleet(shop.address, [Device(f"p-{number}", "press", 50) for number in range(4)], speed=0) as fleet,
    ):
        await publish(wire)
        await fleet.online(60)
        await request(wire, "BIG", quantity)
        await wire.until(
            lambda record: (
                record.type in ("erp.order.progressed.v1", "erp.order.completed.v1")
                and record.data["lines"][0]["executions_good"] >= executions
            ),
            patience=600,
        )
    return peak_memory(shop)


async def test_memory_is_flat_in_the_size_of_an_order(
    tmp_path: Path, backends: dict[str, str], backend_settings: dict[str, str], report: Report
) -> None:
    peaks = {}
    for quantity in (10_000, LARGE):
        home = tmp_path / str(quantity)
        environment = {**backend_settings, "OTEL_TRACES_EXPORTER": "none"}
        shop = open_shop(home, backends, f"t{uuid.uuid4().hex[:10]}", environment)
        try:
            peaks[quantity] = await produced_for(shop, quantity, 9_000)
        finally:
            shop.factory.stop()
    for name, small in peaks[10_000].items():
        large = peaks[LARGE][name]
        report(f"{name}: {large:.0f} MB at {LARGE:,} ÷ {small:.0f} MB at 10,000 = {large / small:.2f}")
        assert large / small <= 1.1, name
