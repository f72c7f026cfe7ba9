"""The gateway and the shop floor on the real Kafka and MongoDB: devices, reservations, words on tasks, questions."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

from libs.contracts.base import Message, Problem
from libs.contracts.by_hand import HoldTask, TaskControlRefused
from libs.contracts.catalog import DeviceTypePublished
from libs.contracts.equipment import DeviceChanged, DeviceTypeChanged, HoldDevice, HoldDeviceType
from libs.contracts.execution import TaskHeld
from libs.contracts.explanation import ExplainTask
from libs.contracts.projects import ProjectState
from libs.contracts.reservations import (
    BookReservation,
    CalendarChanged,
    CancelReservation,
    ReservationBooked,
    ReservationCancelled,
    ReservationRefused,
    SetCalendar,
    WorkingCalendar,
)
from libs.contracts.topics import EXECUTION_COMMANDS, EXECUTION_DEVICE_COMMANDS, EXECUTION_DISPATCH
from libs.kernel.clock import utc_now
from libs.messaging.records import Cause, encode
from libs.runtime.service import Service
from services.gateway.api.examples import CALENDAR, MAINTENANCE, WORD
from tests.harness import Said, Wire, eventually, running
from tests.integration.gateway.test_gateway import WAIT, Talk, answer, changed, commands
from tests.unit.gateway.equipment import PO_1, TASK, device, explained, place

Gateway = Callable[..., Service]
Client = AbstractAsyncContextManager[httpx.AsyncClient]


async def tell(wire: Wire, *events: tuple[Message, int | None], site: str = "main") -> None:
    for event, sequence in events:
        await wire.send_record(encode(event, Cause(site), "/test", sequence=sequence))


async def there(client: httpx.AsyncClient, path: str, site: str = "main") -> Any:
    async def found() -> Any:
        response = await client.get(path, headers={"X-Site": site})
        return response.json() if response.status_code == 200 else None

    return await eventually(found)


def floor_of(wire: Wire, said: Callable[[Message], tuple[Message, int | None]]) -> Callable[[str, int], Any]:
    """Plays execution: answers so many commands of a topic, one after the other."""

    async def play(topic: str, number: int) -> list[Said]:
        heard: list[Said] = []
        while len(heard) < number:
            new = (await commands(wire, topic, len(heard) + 1))[len(heard) :]
            for each in new:
                event, sequence = said(each.message)
                await answer(wire, each, event, sequence)
            heard += new
        return heard

    return play


async def test_a_task_is_asked_about_and_held_on_any_of_two_instances(gateway: Gateway, talk_to: Talk) -> None:
    """The answer reaches one instance; which one asked is all the same."""
    one, other = gateway(), gateway(MONGO_DRIVER="pymongo")
    async with running(one) as wire, running(other), talk_to(other) as elsewhere, talk_to(one) as here:
        await tell(wire, (changed("PO-1", ProjectState.ACTIVE), 1))
        for client in (here, elsewhere):
            await there(client, f"/projects/{PO_1}")

        def said(message: Message) -> tuple[Message, int | None]:
            if isinstance(message, ExplainTask):
                return explained("READY" if message.task_id == TASK else None, message.task_id), None
            assert isinstance(message, HoldTask)
            if message.task_id == TASK:
                return TaskHeld(**place(message.request_id), reason=message.reason), None
            problem = Problem(code="UNKNOWN_TASK", path="task_id", message="there is no such task")
            ids = message.model_dump(include={"project_id", "task_id", "by", "request_id"})
            return TaskControlRefused(**ids, command=message.TYPE, errors=(problem,)), None

        async with asyncio.TaskGroup() as group:
            playing = group.create_task(floor_of(wire, said)(EXECUTION_COMMANDS.name, 6))
            shown = await asyncio.gather(*(client.get(f"/tasks/{TASK}") for client in (here, elsewhere)))
            unknown = await elsewhere.get(f"/tasks/{TASK}1")
            held = await here.post(f"/tasks/{TASK}/hold", json=WORD, headers=WAIT | {"Idempotency-Key": "k"})
            again = await elsewhere.post(f"/tasks/{TASK}/hold", json=WORD, headers=WAIT | {"Idempotency-Key": "k"})
            refused = await here.post(f"/tasks/{TASK}1/hold", json=WORD, headers=WAIT)

        assert [each.status_code for each in shown] == [200, 200]
        assert shown[0].json()["rank"]["parts"] == {"priority": 20.0, "laser.power": 15.5}
        assert shown[0].json()["decision"]["alternatives"][0]["lost"] == "lower score"
        assert (unknown.status_code, unknown.json()["errors"][0]["code"]) == (404, "UNKNOWN_TASK")
        assert (held.status_code, held.json()["changed"]) == (200, True)
        assert again.json() == held.json()
        assert len({each.envelope.id for each in playing.result() if isinstance(each.message, HoldTask)}) == 2
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (404, "UNKNOWN_TASK")
        strange = await here.get(f"/tasks/{TASK}", headers={"X-Site": "other"})
        assert strange.status_code == 404


async def test_a_question_that_nobody_answers(gateway: Gateway, talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        await tell(wire, (changed("PO-1", ProjectState.ACTIVE), 1))
        await there(client, f"/projects/{PO_1}")
        silence = await client.get(f"/tasks/{TASK}")

    assert silence.status_code == 504
    assert silence.headers["content-type"] == "application/problem+json"


async def test_devices_held_reserved_and_given_hours(gateway: Gateway, talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        properties = {"laser.power": {"value": 6.0, "unit": "kW"}, "cooled": True}
        await tell(wire, (device(properties=properties), 1))
        await tell(
            wire, (DeviceTypePublished(device_type="WELDER", name="Welding cell", version=1, content_hash="0"), 1)
        )
        assert (await there(client, "/devices/W-1"))["properties"] == properties
        await there(client, "/device-types/WELDER")

        def said(message: Message) -> tuple[Message, int | None]:
            match message:
                case HoldDevice():
                    return device(held=message.reason), 2
                case BookReservation(reservation_id="R-2"):
                    problem = Problem(code="OVERLAPS", path="from", message="R-1 is in the way")
                    ids = {"reservation_id": "R-2", "device_id": "W-1"}
                    return ReservationRefused(**ids, errors=(problem,)), None
                case BookReservation():
                    return ReservationBooked.model_validate(message.model_dump()), 1
                case CancelReservation():
                    span = MAINTENANCE | {"reservation_id": "R-1", "device_id": "W-1"}
                    ended = {"cancelled_by": message.by, "cancelled_at": utc_now()}
                    return ReservationCancelled.model_validate(span | ended), 2
                case SetCalendar():
                    content = WorkingCalendar.model_validate(message.model_dump())
                    return CalendarChanged(device_id="W-1", by=message.by, calendar=content), 3
            raise AssertionError(message)

        def held(message: Message) -> tuple[Message, int | None]:
            assert isinstance(message, HoldDeviceType)
            return DeviceTypeChanged(device_type="WELDER", held="service", by="m", at=utc_now()), None

        wish = MAINTENANCE | {"reservation_id": "R-1"}
        path = "/devices/W-1/reservations"
        async with asyncio.TaskGroup() as group:
            group.create_task(floor_of(wire, said)(EXECUTION_DEVICE_COMMANDS.name, 5))
            group.create_task(floor_of(wire, held)(EXECUTION_DISPATCH.name, 1))
            hold = await client.post("/devices/W-1/hold", json=WORD, headers=WAIT)
            type_hold = await client.post("/device-types/WELDER/hold", json=WORD, headers=WAIT)
            booked = await client.post(path, json=wish, headers=WAIT)
            overlapping = await client.post(path, json=wish | {"reservation_id": "R-2"}, headers=WAIT)
            listed = await client.get(path)
            cancelled = await client.delete(f"{path}/R-1", params={"by": "k"}, headers=WAIT)
            calendar = await client.put("/devices/W-1/calendar", json=CALENDAR, headers=WAIT)

        assert (hold.status_code, hold.json()["held"]) == (200, WORD["reason"])
        assert (type_hold.status_code, type_hold.json()["held"]) == (200, "service")
        assert booked.status_code == 201
        assert (await client.get(f"{path}/R-1")).json() == cancelled.json()
        assert [each["from"] for each in listed.json()["items"]] == ["2027-02-01T06:00:00.000Z"]
        assert (overlapping.status_code, overlapping.json()["errors"][0]["code"]) == (409, "OVERLAPS")
        assert (cancelled.status_code, cancelled.json()["cancelled_by"]) == (200, "k")
        assert (await client.get(path)).json()["items"] == []
        assert calendar.status_code == 200
        expected = {name: value for name, value in CALENDAR.items() if name != "by"}
        assert (await client.get("/devices/W-1")).json()["calendar"] == expected
        assert (await client.get("/device-types/WELDER")).json()["held"] == "service"


async def test_old_and_repeated_events_change_nothing(gateway: Gateway, talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        told: list[tuple[DeviceChanged, int, str]] = [
            (device(name="second"), 2, "b"),
            (device(name="first"), 1, "a"),
            (device(name="second"), 2, "b"),
            (device(name="first"), 1, "c"),
        ]
        for event, sequence, id_ in told:
            await wire.send_record(encode(event, Cause(), "/test", sequence=sequence, id_=id_))
        # Same key, same partition: once this one is seen, the others have been.
        await tell(wire, (device(), 1), site="other")
        await there(client, "/devices/W-1", "other")
        assert (await client.get("/devices/W-1")).json()["name"] == "second"


async def test_sites_see_their_own_devices_only(gateway: Gateway, talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        for site in ("north", "south"):
            wish = MAINTENANCE | {"reservation_id": site, "device_id": f"W-{site}"}
            shared = (device("W-1", name=site), 1)
            await tell(wire, shared, (device(f"W-{site}"), 1), (ReservationBooked.model_validate(wish), 1), site=site)
        for site, other in (("north", "south"), ("south", "north")):
            own = {"X-Site": site}
            await there(client, f"/devices/W-{site}/reservations/{site}", site)
            assert (await there(client, "/devices/W-1", site))["name"] == site
            listed = (await client.get("/devices", headers=own)).json()["items"]
            assert [each["device_id"] for each in listed] == ["W-1", f"W-{site}"]
            await there(client, f"/devices/W-{other}/reservations/{other}", other)
            foreign = f"/devices/W-{other}"
            refused = [
                await client.get(foreign, headers=own),
                await client.get(f"{foreign}/reservations", headers=own),
                await client.post(f"{foreign}/hold", json=WORD, headers=own),
                await client.post(f"{foreign}/reservations", json=MAINTENANCE, headers=own),
                await client.delete(f"{foreign}/reservations/{other}", params={"by": "m"}, headers=own),
                await client.put(f"{foreign}/calendar", json=CALENDAR, headers=own),
            ]
            assert [each.status_code for each in refused] == [404] * len(refused)
            assert {each.json()["errors"][0]["code"] for each in refused} == {"UNKNOWN_DEVICE"}


async def test_what_is_wrong_with_a_body_is_told_and_nothing_is_sent(gateway: Gateway, talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        await tell(wire, (device(), 1))
        await there(client, "/devices/W-1")
        wish = MAINTENANCE | {"to": MAINTENANCE["from"], "kind": "ORDER", "by": ""}
        wrong = await client.post("/devices/W-1/reservations", json=wish)
        headers = {"content-type": "application/json"}
        no_json = await client.put("/devices/W-1/calendar", content=b"{", headers=headers)
        await client.post("/devices/W-1/hold", json=WORD)

        assert wrong.status_code == 422
        expected = {("INVALID_VALUE", "by"), ("EMPTY_SPAN", "to"), ("MISSING", "project_id")}
        assert {(each["code"], each["path"]) for each in wrong.json()["errors"]} == expected
        assert no_json.status_code == 400
        [sent] = await commands(wire, EXECUTION_DEVICE_COMMANDS.name, 1)
        assert isinstance(sent.message, HoldDevice)


async def test_the_same_booking_twice_is_one_command_wherever_it_arrives(gateway: Gateway, talk_to: Talk) -> None:
    one, other = gateway(), gateway()
    async with running(one) as wire, running(other), talk_to(other) as elsewhere, talk_to(one) as here:
        await tell(wire, (device(), 1))
        for client in (here, elsewhere):
            await there(client, "/devices/W-1")
        answers = await asyncio.gather(
            *(
                client.post("/devices/W-1/reservations", json=MAINTENANCE, headers={"Idempotency-Key": "k"})
                for client in (here, elsewhere) * 2
            )
        )
        sent = await commands(wire, EXECUTION_DEVICE_COMMANDS.name, 4)

        assert {each.status_code for each in answers} == {202}
        assert {each.envelope.id for each in sent} == {answers[0].json()["command_id"]}
        assert len({each.message for each in sent}) == 1
