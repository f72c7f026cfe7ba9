"""What there is of the shop floor, for requests about it."""

from typing import Any

import httpx

from libs.contracts.catalog import DeviceTypePublished
from tests.unit.gateway.equipment import booked, device
from tests.unit.gateway.world import World

W_1, R_1 = "/devices/W-1", "/devices/W-1/reservations/R-1"
WELDERS = DeviceTypePublished(device_type="WELDER", name="Welding cell", version=1, content_hash="0")


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [(error["code"], error["path"]) for error in answer.json()["errors"]]


async def with_floor(world: World, site: str = "main") -> None:
    """A device type with one device, which has one reservation."""
    for event in (WELDERS, device(), booked()):
        await world.hear(event, site=site, sequence=1)


async def get(world: World, path: str, site: str = "main", **query: Any) -> httpx.Response:
    async with world.client({"X-Site": site}) as client:
        return await client.get(path, params=query)
