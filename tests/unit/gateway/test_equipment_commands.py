"""Commands to the shop floor over HTTP: devices held back, reserved, given hours to work; what each comes to."""

from typing import Any, NamedTuple

import httpx
import pytest

from libs.contracts.base import Message, jsonable
from libs.contracts.equipment import HoldDevice, HoldDeviceType, ReleaseDevice, ReleaseDeviceType
from libs.contracts.reservations import BookReservation, CancelReservation, RemoveCalendar, SetCalendar
from services.gateway.api import equipment_bodies
from services.gateway.api.examples import CALENDAR, FOR_AN_ORDER, MAINTENANCE, RELEASE, WORD
from tests.unit.gateway.asking import R_1, W_1, codes, get, with_floor
from tests.unit.gateway.equipment import (
    PO_1,
    booked,
    booking_refused,
    calendar,
    calendar_refused,
    cancel_refused,
    cancelled,
    device,
    device_refused,
    type_changed,
)
from tests.unit.gateway.world import World, project

WAIT = {"Prefer": "wait=5"}
SPAN = {name: value for name, value in jsonable(booked()).items() if name != "device_id"}


class Telling(NamedTuple):
    """A request, the command that it becomes, where its effect is to be seen, what is answered, and how."""

    method: str
    path: str
    body: dict[str, Any] | None
    command: Message
    location: str
    event: Message
    sequence: int | None
    shown: dict[str, Any]
    refusal: Message | None
    status: int = 200


BY = {"device_id": "W-1", "by": "m.keller"}
TELLINGS = {
    "hold": Telling(
        "POST",
        f"{W_1}/hold",
        WORD,
        HoldDevice(device_id="W-1", **WORD),
        W_1,
        device(held="bent"),
        2,
        {"held": "bent"},
        device_refused("UNKNOWN_DEVICE"),
    ),
    "release, though it was not held": Telling(
        "POST",
        f"{W_1}/release",
        RELEASE,
        ReleaseDevice(**BY),
        W_1,
        device(),
        1,
        {"held": None},
        device_refused("UNKNOWN_DEVICE"),
    ),
    "hold device type": Telling(
        "POST",
        "/device-types/WELDER/hold",
        WORD,
        HoldDeviceType(device_type="WELDER", **WORD),
        "/device-types/WELDER",
        type_changed(),
        None,
        {"device_type": "WELDER", "held": "service"},
        None,
    ),
    "release device type": Telling(
        "POST",
        "/device-types/WELDER/release",
        RELEASE,
        ReleaseDeviceType(device_type="WELDER", by="m.keller"),
        "/device-types/WELDER",
        type_changed(None),
        None,
        {"held": None},
        None,
    ),
    "book again": Telling(
        "POST",
        f"{W_1}/reservations",
        SPAN,
        BookReservation.model_validate(SPAN | {"device_id": "W-1"}),
        R_1,
        booked(),
        None,
        {"reservation_id": "R-1", "cancelled_at": None},
        booking_refused("OVERLAPS"),
    ),
    "book": Telling(
        "POST",
        f"{W_1}/reservations",
        SPAN | {"reservation_id": "R-2"},
        BookReservation.model_validate(SPAN | {"device_id": "W-1", "reservation_id": "R-2"}),
        f"{W_1}/reservations/R-2",
        booked("R-2"),
        2,
        {"reservation_id": "R-2", "from": SPAN["from"], "to": SPAN["to"]},
        booking_refused("ALREADY_BOOKED"),
        201,
    ),
    "cancel": Telling(
        "DELETE",
        f"{R_1}?by=m.keller&reason=not+needed",
        None,
        CancelReservation(reservation_id="R-1", reason="not needed", **BY),
        R_1,
        cancelled(),
        3,
        {"cancelled_by": "k"},
        cancel_refused("CLOSED"),
    ),
    "set calendar": Telling(
        "PUT",
        f"{W_1}/calendar",
        CALENDAR,
        SetCalendar.model_validate(CALENDAR | {"device_id": "W-1"}),
        W_1,
        calendar(),
        4,
        {"calendar": {name: value for name, value in CALENDAR.items() if name != "by"}},
        calendar_refused("UNKNOWN_TIMEZONE"),
    ),
    "remove calendar": Telling(
        "DELETE",
        f"{W_1}/calendar?by=m.keller",
        None,
        RemoveCalendar(**BY),
        W_1,
        calendar(False),
        5,
        {"calendar": None},
        calendar_refused("UNKNOWN_DEVICE"),
    ),
}
STATUSES = {"UNKNOWN_DEVICE": 404, "UNKNOWN_TIMEZONE": 422}
EVERY = pytest.mark.parametrize("telling", TELLINGS.values(), ids=TELLINGS.keys())
_refusable = {name: telling for name, telling in TELLINGS.items() if telling.refusal is not None}
REFUSABLE = pytest.mark.parametrize("telling", _refusable.values(), ids=_refusable.keys())
"""Of device types nothing is refused: what is no device type is known here."""


class TestTelling:
    async def ask(self, world: World, telling: Telling, **headers: str) -> httpx.Response:
        async with world.client(headers) as client:
            return await client.request(telling.method, telling.path, json=telling.body)

    @EVERY
    async def test_the_command_is_sent_and_accepted(self, world: World, telling: Telling) -> None:
        await with_floor(world)
        answer = await self.ask(world, telling)

        [sent] = world.sent
        assert sent.data == telling.command
        location = f"/api/v1{telling.location}"
        assert (answer.status_code, answer.headers["location"]) == (202, location)
        assert answer.json() == {"command_id": sent.envelope.id, "location": location}

    @EVERY
    async def test_who_waits_gets_it_as_it_is_then(self, world: World, telling: Telling) -> None:
        await with_floor(world)
        world.answer = lambda command: [(telling.event, telling.sequence)]
        answer = await self.ask(world, telling, **WAIT)

        assert answer.status_code == telling.status, answer.text
        assert answer.json().items() >= telling.shown.items()
        shown = (await get(world, telling.location)).json()
        assert {name: shown[name] for name in telling.shown} == telling.shown

    @REFUSABLE
    async def test_or_why_it_cannot_be(self, world: World, telling: Telling) -> None:
        await with_floor(world)
        refusal = telling.refusal
        assert refusal is not None
        world.answer = lambda command: [(refusal, None)]
        answer = await self.ask(world, telling, **WAIT)

        [error] = refusal.errors  # type: ignore[attr-defined]
        assert (answer.status_code, codes(answer)) == (STATUSES.get(error.code, 409), [(error.code, "somewhere")])

    @EVERY
    async def test_the_same_key_is_the_same_command(self, world: World, telling: Telling) -> None:
        await with_floor(world)
        world.answer = lambda command: [(telling.event, telling.sequence)]
        first, second = [await self.ask(world, telling, **WAIT, **{"Idempotency-Key": "k"}) for _ in range(2)]

        assert (first.status_code, first.json()) == (second.status_code, second.json())
        assert len({sent.envelope.id for sent in world.sent}) == 1

    @EVERY
    async def test_unknown_things_are_not_found_and_nothing_is_sent(self, world: World, telling: Telling) -> None:
        await with_floor(world, "other")
        answer = await self.ask(world, telling)

        assert answer.status_code == 404
        assert codes(answer)
        assert not world.sent

    @pytest.mark.parametrize(
        ("method", "path", "body", "expected"),
        [
            ("POST", f"{W_1}/hold", {"by": "m"}, [("MISSING", "reason")]),
            ("POST", f"{W_1}/release", {}, [("MISSING", "by")]),
            ("POST", "/device-types/WELDER/hold", {"by": 1}, [("INVALID_VALUE", "by"), ("MISSING", "reason")]),
            (
                "POST",
                f"{W_1}/reservations",
                {
                    "kind": "ORDER",
                    "from": "2027-02-01T06:00:00Z",
                    "to": "2027-02-01T06:00:00Z",
                    "reservation_id": "a b",
                },
                [
                    ("INVALID_CODE", "reservation_id"),
                    ("MISSING", "by"),
                    ("EMPTY_SPAN", "to"),
                    ("MISSING", "project_id"),
                ],
            ),
            (
                "POST",
                f"{W_1}/reservations",
                {"kind": "NAP", "from": "soon", "to": "2027-02-01T06:00:00", "by": ""},
                [
                    ("UNKNOWN_VALUE", "kind"),
                    ("INVALID_VALUE", "from"),
                    ("INVALID_VALUE", "to"),
                    ("INVALID_VALUE", "by"),
                ],
            ),
            ("POST", f"{W_1}/reservations", FOR_AN_ORDER, [("UNKNOWN_PROJECT", "project_id")]),
            (
                "PUT",
                f"{W_1}/calendar",
                {
                    "timezone": "",
                    "shifts": [{"days": ["MON", "DAY"], "from": "6", "to": "14:00"}],
                    "exceptions": [{"date": "never", "shifts": []}],
                },
                [
                    ("INVALID_VALUE", "timezone"),
                    ("INVALID_CODE", "shifts[0].from"),
                    ("UNKNOWN_VALUE", "shifts[0].days[1]"),
                    ("INVALID_VALUE", "exceptions[0].date"),
                    ("MISSING", "by"),
                ],
            ),
            ("DELETE", R_1, None, [("MISSING", "query.by")]),
            ("DELETE", f"{W_1}/calendar?by=", None, [("INVALID_VALUE", "query.by")]),
        ],
    )
    async def test_everything_wrong_is_told(
        self, world: World, method: str, path: str, body: dict[str, Any] | None, expected: list[tuple[str, str]]
    ) -> None:
        await with_floor(world)
        async with world.client() as client:
            answer = await client.request(method, path, json=body)

        assert answer.status_code == 422
        assert codes(answer) == expected
        assert not world.sent

    async def test_an_id_is_made_where_none_is_given(self, world: World) -> None:
        await with_floor(world)
        async with world.client({"Idempotency-Key": "k"}) as client:
            answers = [await client.post(f"{W_1}/reservations", json=MAINTENANCE) for _ in range(2)]

        assert answers[0].json() == answers[1].json()
        assert {f"/api/v1{W_1}/reservations/{sent.data.reservation_id}" for sent in world.sent} == {
            answers[0].headers["location"]
        }

    async def test_an_order_s_reservation_is_for_a_project_of_the_site(self, world: World) -> None:
        await with_floor(world)
        await world.hear(project(), sequence=1)
        async with world.client() as client:
            answer = await client.post(f"{W_1}/reservations", json=FOR_AN_ORDER | {"project_id": PO_1})

        assert answer.status_code == 202
        assert world.sent[0].data.project_id == PO_1

    async def test_another_wish_with_the_same_key_is_refused(self, world: World) -> None:
        """Of a DELETE, too, whose wish stands in its query."""
        await with_floor(world)
        async with world.client({"Idempotency-Key": "k"}) as client:
            await client.delete(f"{R_1}?by=m")
            answer = await client.delete(f"{R_1}?by=k")

        assert (answer.status_code, codes(answer)[0][0]) == (422, "KEY_REUSED")
        assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("body", "command", "of_path"),
    [
        (equipment_bodies.Word, HoldDevice, {"device_id"}),
        (equipment_bodies.Word, HoldDeviceType, {"device_type"}),
        (equipment_bodies.Release, ReleaseDevice, {"device_id"}),
        (equipment_bodies.Release, ReleaseDeviceType, {"device_type"}),
        (equipment_bodies.ReservationWish, BookReservation, {"device_id"}),
        (equipment_bodies.CalendarWish, SetCalendar, {"device_id"}),
    ],
)
def test_a_body_is_its_command_without_what_the_path_names(body: Any, command: Any, of_path: set[str]) -> None:
    """So that no body is taken that makes no command."""
    assert body.model_fields.keys() == command.model_fields.keys() - of_path
    for name, field in body.model_fields.items():
        if name != "reservation_id":
            assert field.annotation == command.model_fields[name].annotation
            assert field.metadata == command.model_fields[name].metadata
