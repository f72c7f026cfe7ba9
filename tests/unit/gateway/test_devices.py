"""Devices over HTTP: listed and shown, with their reservations and calendars."""

from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.base import Message
from libs.contracts.devices import DeviceState
from libs.kernel.clock import utc_now
from services.gateway.api.examples import CALENDAR
from tests.unit.gateway.asking import R_1, W_1, codes, get, with_floor
from tests.unit.gateway.equipment import booked, calendar, cancelled, device, type_changed
from tests.unit.gateway.world import World


class TestReading:
    async def test_pages_by_id_of_the_site_alone(self, world: World) -> None:
        for n in range(5):
            await world.hear(device(f"W-{n}"), sequence=1)
        await world.hear(device("W-9"), site="other", sequence=1)

        seen, cursor = [], None
        while True:
            page = (await get(world, "/devices", limit=2, **({"cursor": cursor} if cursor else {}))).json()
            seen += [each["device_id"] for each in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert seen == ["W-0", "W-1", "W-2", "W-3", "W-4"]
        assert (await get(world, "/devices/W-9")).status_code == 404
        assert (await get(world, "/devices/W-9", "other")).json()["device_id"] == "W-9"

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"device_type": "WELDER"}, ["W-1", "W-2"]),
            ({"state": "DOWN"}, ["C-1", "W-2"]),
            ({"device_type": "WELDER", "state": "DOWN"}, ["W-2"]),
            ({"device_type": "SAW"}, []),
        ],
    )
    async def test_filters(self, world: World, query: dict[str, str], expected: list[str]) -> None:
        down = DeviceState.DOWN
        for each in (device("C-1", "CUTTER", state=down), device(), device("W-2", state=down)):
            await world.hear(each, sequence=1)

        assert [each["device_id"] for each in (await get(world, "/devices", **query)).json()["items"]] == expected

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ({"state": "BUSY"}, "query.state"),
            ({"device_type": "a b"}, "query.device_type"),
            ({"cursor": "x"}, "query.cursor"),
            ({"limit": 0}, "query.limit"),
        ],
    )
    async def test_senseless_queries(self, world: World, query: dict[str, Any], path: str) -> None:
        answer = await get(world, "/devices", **query)

        assert (answer.status_code, [each[1] for each in codes(answer)]) == (422, [path])

    async def test_one_with_all_that_decides_about_its_work(self, world: World) -> None:
        properties = {"laser.power": {"value": 6.0, "unit": "kW"}, "material": "steel", "cooled": True}
        told = device(groups=("HALL-1",), properties=properties, held="bent", name="Big one")
        await world.hear(told, sequence=1)
        await world.hear(type_changed())
        await world.hear(calendar(), sequence=2)
        shown = (await get(world, W_1)).json()

        assert (shown["device_type_held"], shown["held"], shown["properties"]) == ("service", "bent", properties)
        assert shown["calendar"] == {name: value for name, value in CALENDAR.items() if name != "by"}

    async def test_a_device_type_says_that_it_is_held(self, world: World) -> None:
        await with_floor(world)
        assert (await get(world, "/device-types/WELDER")).json()["held"] is None
        await world.hear(type_changed())

        assert (await get(world, "/device-types/WELDER")).json()["held"] == "service"

    async def test_reservations_that_are_to_come(self, world: World) -> None:
        await world.hear(device(), sequence=1)
        now = utc_now()
        told: list[Message] = [
            booked("over", at=now, hours=-3),
            *(booked(f"R-{n}", at=now, hours=n) for n in (4, 2, 0, 6)),
        ]
        told += [cancelled("R-4", at=now, hours=4), booked("R-1", "W-2", at=now)]
        for n, event in enumerate(told, 1):
            await world.hear(event, sequence=n)
        first = (await get(world, f"{W_1}/reservations", limit=2)).json()
        second = (await get(world, f"{W_1}/reservations", limit=2, cursor=first["next"])).json()
        earlier = (await get(world, f"{W_1}/reservations", since=(now - timedelta(days=1)).isoformat())).json()

        assert [each["reservation_id"] for each in first["items"]] == ["R-0", "R-2"]
        assert ([each["reservation_id"] for each in second["items"]], second["next"]) == (["R-6"], None)
        assert [each["reservation_id"] for each in earlier["items"]] == ["over", "R-0", "R-2", "R-6"]
        assert (await get(world, f"{W_1}/reservations/R-4")).json()["cancelled_by"] == "k"

    @pytest.mark.parametrize("path", [W_1, f"{W_1}/reservations", R_1])
    async def test_unknown_things_and_those_of_another_site_are_not_found(self, world: World, path: str) -> None:
        await with_floor(world, "other")

        assert (await get(world, path)).status_code == 404
        assert (await get(world, path, "other")).status_code == 200

    async def test_a_device_has_reservations_of_its_own_only(self, world: World) -> None:
        await with_floor(world)
        await world.hear(device("W-2"), sequence=1)
        answer = await get(world, "/devices/W-2/reservations/R-1")

        assert (answer.status_code, codes(answer)) == (404, [("UNKNOWN_RESERVATION", "path.reservation_id")])
