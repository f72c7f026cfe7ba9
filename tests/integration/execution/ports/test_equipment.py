"""Given devices and their plans, when they are kept, then both adapters find, lock and book them alike."""

from dataclasses import replace
from datetime import datetime

import pytest

from libs.contracts.devices import DeviceState, Quantity
from libs.contracts.reservations import ReservationKind, WorkingCalendar
from libs.kernel.errors import Busy, Conflict
from libs.messaging.work import Work
from services.execution.equipment import memory, mongo_plans
from services.execution.equipment.domain.availability import Availability, Span
from services.execution.equipment.domain.calendars import calendar_of
from services.execution.equipment.domain.device import Device
from services.execution.equipment.domain.reservations import Cancellation, Closed, Plan
from services.execution.equipment.ports import TypeState
from tests.integration.execution.planning import calendar as wish
from tests.integration.execution.ports.given import HOUR, NOON, SECOND, Ports, device
from tests.transactions import refused, rolled_back


async def save(ports: Ports, *devices: Device) -> None:
    async with ports.work() as work:
        await ports.devices.save(work, devices)


async def load(ports: Ports, *ids: str, site: str = "main") -> dict[str, Device]:
    async with ports.work() as work:
        return await ports.devices.load(work, site, ids)


async def type_state(ports: Ports, device_type: str = "saw", site: str = "main") -> TypeState:
    async with ports.work() as work:
        return await ports.devices.type_state(work, site, device_type)


class TestDevices:
    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        full = device(
            slots=3,
            name="Saw",
            reason="jammed",
            groups=("HALL-1",),
            properties={"laser.power": Quantity(value=6.5, unit="kW"), "axes": 5.0, "cooled": True, "material": "oak"},
            before_silence=DeviceState.RUNNING,
            told_at=NOON,
            held="dull",
            sequence=7,
        )
        await save(ports, full, device("saw-2"))
        await save(ports)

        assert await load(ports, "saw-1", "unknown") == {"saw-1": full}
        assert await load(ports) == {}

    async def test_the_last_state_replaces_the_one_before(self, ports: Ports) -> None:
        await save(ports, device(held="dull"), device("saw-2"))
        await save(ports, device(state=DeviceState.DOWN))

        assert await load(ports, "saw-1", "saw-2") == {
            "saw-1": device(state=DeviceState.DOWN),
            "saw-2": device("saw-2"),
        }

    async def test_sites_do_not_meet(self, ports: Ports) -> None:
        await save(ports, device(), device(site="north", slots=9))

        assert await load(ports, "saw-1", site="north") == {"saw-1": device(site="north", slots=9)}
        assert await load(ports, "saw-1", site="south") == {}
        async with ports.work() as work:
            assert await ports.devices.of_type(work, "south", "saw") == []
            assert await ports.devices.registered(work, "south", {"saw"}) == set()

    async def test_what_is_heard_changes_nothing_but_when(self, ports: Ports) -> None:
        await save(ports, device(state=DeviceState.DOWN))
        before = await type_state(ports)
        later = NOON + SECOND

        async with ports.work() as work:
            await ports.devices.seen(work, [device(last_seen=later, told_at=later), device("unknown")])
            await ports.devices.seen(work, [])

        heard = device(state=DeviceState.DOWN, last_seen=later, told_at=later)
        assert await load(ports, "saw-1", "unknown") == {"saw-1": heard}
        assert await type_state(ports) == before

    async def test_the_silent_ones_are_those_that_should_be_heard_of(self, ports: Ports) -> None:
        states = {state: device(state.value, state=state) for state in DeviceState}
        await save(ports, *states.values(), device("heard", last_seen=NOON + SECOND))

        async with ports.work() as work:
            assert await ports.devices.silent(work, NOON, 9) == []
            found = await ports.devices.silent(work, NOON + SECOND, 9)
            assert len(await ports.devices.silent(work, NOON + SECOND, 2)) == 2

        assert {each.id for each in found} == {state.value for state in DeviceState} - {DeviceState.OFFLINE.value}

    async def test_by_their_types(self, ports: Ports) -> None:
        offline = device("saw-2", state=DeviceState.OFFLINE)
        await save(ports, device(), offline, device("press-1", "press"))

        async with ports.work() as work:
            assert await ports.devices.registered(work, "main", {"saw", "oven"}) == {"saw"}
            assert await ports.devices.registered(work, "main", ()) == set()
            found = await ports.devices.of_type(work, "main", "saw")
            assert await ports.devices.of_type(work, "main", "oven") == []
        assert sorted(found, key=lambda each: each.id) == [device(), offline]

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await save(ports, device())
        before = await type_state(ports)

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.devices.save(work, [device(slots=9), device("saw-2")])
            await ports.devices.hold_type(work, "main", "saw", "dull")
            assert await ports.devices.load(work, "main", ["saw-1"]) == {"saw-1": device(slots=9)}

        assert await load(ports, "saw-1", "saw-2") == {"saw-1": device()}
        assert await type_state(ports) == before


class TestDeviceTypes:
    async def test_every_change_of_its_equipment_is_a_new_revision(self, ports: Ports) -> None:
        assert await type_state(ports) == TypeState()
        await save(ports, device(), device("press-1", "press"), device(site="north"))
        saw, press, north = (
            await type_state(ports),
            await type_state(ports, "press"),
            await type_state(ports, site="north"),
        )

        async with ports.work() as work:
            await ports.devices.changed(work, "main", {"saw"})
            await ports.devices.changed(work, "main", ())

        assert saw.revision is not None
        assert await type_state(ports) not in (saw, TypeState())
        assert (await type_state(ports, "press"), await type_state(ports, site="north")) == (press, north)

    async def test_a_hold_is_no_change_of_its_equipment(self, ports: Ports) -> None:
        await save(ports, device())
        before = await type_state(ports)

        for reason in ("dull", None):
            async with ports.work() as work:
                await ports.devices.hold_type(work, "main", "saw", reason)
            assert await type_state(ports) == before._replace(held=reason)

    async def test_a_type_without_devices_can_be_held(self, ports: Ports) -> None:
        async with ports.work() as work:
            await ports.devices.hold_type(work, "main", "oven", "cold")

        assert await type_state(ports, "oven") == TypeState(held="cold")

    async def test_of_two_that_lock_it_the_later_tries_again(self, ports: Ports) -> None:
        await save(ports, device())
        state = await type_state(ports)

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.devices.type_state(late, "main", "saw")
            async with ports.work() as work:
                assert await ports.devices.lock(work, "main", "saw") == state
            await ports.devices.lock(late, "main", "saw")

        assert await type_state(ports) == state

    async def test_those_that_lock_different_types_do_not_meet(self, ports: Ports) -> None:
        await save(ports, device(), device("press-1", "press"))

        async with ports.work() as one, ports.work() as other:
            await ports.devices.lock(one, "main", "saw")
            await ports.devices.lock(other, "main", "press")

    async def test_where_there_are_no_devices_nothing_is_locked(self, ports: Ports) -> None:
        async with ports.work() as one, ports.work() as other:
            assert await ports.devices.lock(one, "main", "oven") == TypeState()
            assert await ports.devices.lock(other, "main", "oven") == TypeState()

        assert await type_state(ports, "oven") == TypeState()


def span(id_: str = "R-1", hours: float = 1, at: datetime = NOON, length: float = 1) -> Span:
    start = at + hours * HOUR
    return Span(id_, ReservationKind.ORDER, start, start + length * HOUR, "planner", project_id="P", reason="rush")


def plan(*spans: Span, device_id: str = "saw-1", revision: int = 1) -> Plan:
    return Plan("main", device_id, Availability(spans), revision)


SHIFTS = WorkingCalendar.model_validate(wish().model_dump(mode="json", by_alias=True, include={"timezone", "shifts"}))


async def begin(ports: Ports, *device_ids: str) -> None:
    async with ports.work() as work:
        await ports.plans.begin(work, [Plan("main", id_) for id_ in device_ids])


async def book(ports: Ports, before: Plan, new: Span) -> bool:
    async with ports.work() as work:
        return await ports.plans.book(work, before.booked(new), new)


async def planned(ports: Ports, *device_ids: str) -> dict[str, Plan]:
    async with ports.work() as work:
        return await ports.plans.load(work, "main", device_ids)


async def closed(ports: Ports, *reservations: tuple[str, str], site: str = "main") -> dict[tuple[str, str], Closed]:
    async with ports.work() as work:
        return await ports.plans.closed(work, site, reservations)


async def due(ports: Ports, limit: int = 9) -> list[Plan]:
    async with ports.work() as work:
        return await ports.plans.due(work, limit)


class TestPlans:
    async def test_a_plan_begins_empty_and_once(self, ports: Ports) -> None:
        await begin(ports, "saw-1", "saw-2")
        await begin(ports)

        async with refused(ports.store, Conflict) as transaction:
            await ports.plans.begin(Work(transaction, "/test", NOON), [Plan("main", "saw-3"), Plan("main", "saw-1")])

        assert await planned(ports, "saw-1", "saw-3") == {"saw-1": Plan("main", "saw-1")}
        async with ports.work() as work:
            assert await ports.plans.availability(work, "main", ["saw-2", "saw-3"]) == {"saw-2": Availability()}
            assert await ports.plans.load(work, "north", ["saw-1"]) == {}

    async def test_spans_never_overlap(self, ports: Ports) -> None:
        await begin(ports, "saw-1")
        assert await book(ports, plan(revision=0), span("R-1", 1))

        assert not await book(ports, plan(), span("R-2", 1.5))
        assert not await book(ports, plan(), span("R-3", 0, length=9))
        assert await planned(ports, "saw-1") == {"saw-1": plan(span("R-1", 1))}
        assert await book(ports, plan(span("R-1", 1)), span("R-4", 2))
        assert await planned(ports, "saw-1") == {"saw-1": plan(span("R-1", 1), span("R-4", 2), revision=2)}

    async def test_one_reservation_is_booked_once(self, ports: Ports) -> None:
        await begin(ports, "saw-1", "saw-2")
        assert await book(ports, plan(revision=0), span())

        assert not await book(ports, plan(), span(hours=5))
        assert await book(ports, plan(device_id="saw-2", revision=0), span())

    async def test_a_device_has_only_so_many(self, ports: Ports, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (memory, mongo_plans):
            monkeypatch.setattr(module, "MOST_SPANS", 2)
        await begin(ports, "saw-1")
        assert await book(ports, plan(revision=0), span("R-1", 1))
        assert await book(ports, plan(span("R-1", 1)), span("R-2", 3))

        assert not await book(ports, plan(span("R-1", 1), span("R-2", 3), revision=2), span("R-3", 5))

    async def test_without_a_plan_nothing_is_booked_or_cancelled(self, ports: Ports) -> None:
        async with ports.work() as work:
            assert not await ports.plans.book(work, plan(span()), span())
            assert not await ports.plans.cancel(work, plan(), Closed(span(), Cancellation(NOON, "m", None)))
            await ports.plans.set_calendar(work, plan(), SHIFTS)

        assert await planned(ports, "saw-1") == {}
        assert await closed(ports, ("saw-1", "R-1")) == {}

    async def test_what_is_cancelled_is_remembered_as_such(self, ports: Ports) -> None:
        await begin(ports, "saw-1")
        await book(ports, plan(revision=0), span("R-1", 1))
        await book(ports, plan(span("R-1", 1)), span("R-2", 3))
        cancelled = Closed(span("R-1", 1), Cancellation(NOON, "m.keller", "not now"))
        left = plan(span("R-2", 3), revision=3)

        async with ports.work() as work:
            assert await ports.plans.cancel(work, left, cancelled)
        async with ports.work() as work:
            assert not await ports.plans.cancel(work, replace(left, revision=4), cancelled)

        assert await planned(ports, "saw-1") == {"saw-1": left}
        assert await closed(ports, ("saw-1", "R-1"), ("saw-1", "R-2")) == {("saw-1", "R-1"): cancelled}
        assert await closed(ports, ("saw-1", "R-1"), site="north") == {}
        assert await closed(ports) == {}

    async def test_a_calendar_leaves_what_is_booked_as_it_is(self, ports: Ports) -> None:
        await begin(ports, "saw-1")
        await book(ports, plan(revision=0), span())
        with_calendar = Plan("main", "saw-1", Availability((span(),), calendar_of(SHIFTS)), 2)

        for calendar, expected in ((SHIFTS, with_calendar), (None, plan(span(), revision=3))):
            given = replace(expected, availability=replace(expected.availability, spans=()))
            async with ports.work() as work:
                await ports.plans.set_calendar(work, given, calendar)
            assert await planned(ports, "saw-1") == {"saw-1": expected}

    async def test_what_begins_or_ends_is_due_the_earliest_first(self, ports: Ports) -> None:
        await begin(ports, "saw-1", "saw-2", "saw-3")
        await book(ports, plan(device_id="saw-2", revision=0), span(hours=2))
        await book(ports, plan(revision=0), span(hours=1))

        ports.now = NOON + HOUR - SECOND
        assert await due(ports) == []
        ports.now = NOON + 2 * HOUR
        assert [each.device_id for each in await due(ports)] == ["saw-1", "saw-2"]
        assert [each.device_id for each in await due(ports, limit=1)] == ["saw-1"]

    async def test_what_is_over_is_remembered_and_due_no_more(self, ports: Ports) -> None:
        await begin(ports, "saw-1")
        await book(ports, plan(revision=0), span("R-1", 1))
        await book(ports, plan(span("R-1", 1)), span("R-2", 3))
        ports.now = NOON + 2 * HOUR

        async with ports.work() as work:
            [found] = await ports.plans.due(work, 9)
            await ports.plans.turn(work, {"main/saw-1": found.passed(work.now)})
            await ports.plans.turn(work, {})

        assert await planned(ports, "saw-1") == {"saw-1": plan(span("R-2", 3), revision=3)}
        assert await closed(ports, ("saw-1", "R-1"), ("saw-1", "R-2")) == {
            ("saw-1", "R-1"): Closed(span("R-1", 1), None)
        }
        assert await due(ports) == []
        ports.now = NOON + 3 * HOUR
        assert len(await due(ports)) == 1

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await begin(ports, "saw-1")
        await book(ports, plan(revision=0), span())

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            assert await ports.plans.book(work, plan(span(), span("R-2", 5), revision=2), span("R-2", 5))
            assert await ports.plans.cancel(work, plan(revision=3), Closed(span(), Cancellation(NOON, "m", None)))
            await ports.plans.begin(work, [Plan("main", "saw-2")])

        assert await planned(ports, "saw-1", "saw-2") == {"saw-1": plan(span())}
        assert await closed(ports, ("saw-1", "R-1")) == {}

    async def test_of_two_bookers_the_later_tries_again(self, ports: Ports) -> None:
        await begin(ports, "saw-1")

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.plans.load(late, "main", ["saw-1"])
            await book(ports, plan(revision=0), span())
            await ports.plans.book(late, plan(span("R-2", 5)), span("R-2", 5))

        assert await planned(ports, "saw-1") == {"saw-1": plan(span())}
