"""The clients in the README work as they stand there; only the addresses are the test's."""

import asyncio
import contextlib
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import FLEET_FILE, SAMPLE, load
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import load_fleet
from tests.e2e.shop import Shop
from tests.e2e.wire import Wire

pytestmark = pytest.mark.timeout(240)

README = Path(__file__).parents[2] / "README.md"

Main = Callable[..., Coroutine[Any, Any, None]]


def clients(shop: Shop) -> list[Main]:
    """The `main` of every Python block, with this factory's topics."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    found = []
    for block in blocks:
        code, _, _ = block.partition("asyncio.run(")
        code = re.sub(
            r'(?<=send_and_wait\()"|(?<=AIOKafkaConsumer\()f?"|(?<=say\()"',
            lambda quote: f"{quote[0]}{shop.address.topic('')}",
            code,
        )
        names: dict[str, Any] = {}
        exec(compile(code, str(README), "exec"), names)
        found.append(names["main"])
    return found


async def test_the_clients_of_the_readme_build_a_bicycle(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    erp_client, gateway_client, observer = clients(shop)
    plan = load_fleet(SAMPLE / FLEET_FILE)
    others = [device for device in plan.devices() if device.device_type != "tube-saw"]
    master_data = [message for message in load(SAMPLE) if not message.is_order]
    async with (
        DeviceFleet(shop.address, others, speed=0) as fleet,
        ErpSimulator(shop.address) as catalog,
        Wire(shop.address, ("execution.events.v1",)) as wire,
    ):
        await catalog.publish(master_data, 60)
        await fleet.online(60)
        sawing = asyncio.create_task(gateway_client(shop.address.kafka))
        following = asyncio.create_task(observer(f"{shop.factory.url('gateway')}/api/v1", "A-1"))
        async with asyncio.timeout(90):
            await erp_client(shop.address.kafka)
            await following
        sawn = await wire.until(lambda record: record.data.get("device_id") == "saw-77")
        assert sawn.type == "execution.task.completed.v1"
        sawing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sawing
    printed = capsys.readouterr().out
    for answer in ("accepted", "activated", "progressed", "completed"):
        assert f"erp.order.{answer}.v1" in printed
    for state in ("ACTIVE", "COMPLETED"):
        assert f" {state}\n" in printed
