"""Given devices, when planners book, cancel and set calendars, then the books say so, and dispatch is woken up."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.contracts.base import Message
from libs.contracts.execution import DispatchRequested
from libs.contracts.reservations import (
    CalendarChanged,
    CalendarRefused,
    RemoveCalendar,
    ReservationBooked,
    ReservationCancelled,
    ReservationCancelRefused,
    ReservationRefused,
)
from libs.kernel.clock import utc_now
from libs.messaging.background import ticking
from libs.messaging.work import Work
from libs.runtime.service import Service
from services.execution.equipment.domain.availability import Availability
from services.execution.equipment.mongo_plans import MongoPlans
from tests.harness import Kernel, Said, said_of
from tests.integration.execution.planning import HOUR, book, calendar, cancel, soon


def types(said: list[Said]) -> list[type[Message]]:
    return [type(each.message) for each in said]


def codes(message: Any) -> list[str]:
    return [error.code for error in message.errors]


async def availability(service: Service, device_id: str = "saw-1", site: str = "main") -> Availability | None:
    async with service.backends.store.transaction() as transaction:
        work = Work(transaction, "/test", utc_now())
        return (await MongoPlans(service.backends.database).availability(work, site, [device_id])).get(device_id)


async def blocked_from(service: Service, now: datetime, project: str = "P") -> datetime | None:
    found = await availability(service)
    assert found is not None
    return found.blocked_from(now, project)


async def time_passes(kernel: Kernel, service: Service, until: datetime) -> list[Said]:
    """The tick of the plans, as if it were later than it is."""
    (tick,) = [each for each in service.ticks if each.name == "plans"]
    before = len(kernel.published)
    await ticking(service.name, tick, service.backends.store, kernel.publisher, lambda: until).once()
    return [said_of(record) for record in kernel.published[before:]]


async def test_a_booked_span_is_on_the_books_and_a_pass_follows(kernel: Kernel, service: Service) -> None:
    start = soon()
    said = await kernel.give(book("R", start, 2))
    booked, wake_up = (each.message for each in said)
    assert isinstance(booked, ReservationBooked)
    assert (booked.from_, booked.to, booked.by) == (start, start + 2 * HOUR, "planner")
    assert wake_up == DispatchRequested(device_type="saw")
    assert await blocked_from(service, utc_now()) == start
    assert await availability(service, "saw-2") is None
    assert await availability(service, site="north") is None


async def test_the_same_wish_again_is_answered_again_and_changes_nothing(kernel: Kernel, service: Service) -> None:
    wish = book("R", soon())
    await kernel.give(wish)
    before = await availability(service)
    said = await kernel.give(wish, wish)
    assert types(said) == [ReservationBooked, ReservationBooked]
    assert await availability(service) == before


async def test_what_overlaps_is_refused_and_names_what_is_in_the_way(kernel: Kernel, service: Service) -> None:
    start = soon()
    await kernel.give(book("A", start, 2), book("B", start + 2 * HOUR, 2, project="P"))
    before = await availability(service)
    (refused,) = (each.message for each in await kernel.give(book("C", start + HOUR, 2)))
    assert isinstance(refused, ReservationRefused)
    assert codes(refused) == ["OVERLAPS"]
    assert [each.reservation_id for each in refused.in_the_way] == ["A", "B"]
    assert await availability(service) == before


async def test_of_two_that_overlap_in_one_batch_the_first_wins(kernel: Kernel) -> None:
    start = soon()
    elsewhere = book("C", start + HOUR, 1, device="saw-2")
    said = await kernel.give(book("A", start, 2), book("B", start + HOUR, 2), elsewhere)
    assert types(said) == [ReservationBooked, ReservationRefused, ReservationBooked, DispatchRequested]


async def test_spans_that_touch_do_not_overlap(kernel: Kernel) -> None:
    start = soon()
    said = await kernel.give(book("B", start + HOUR), book("A", start), book("C", start + 2 * HOUR))
    assert types(said)[:3] == [ReservationBooked] * 3


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (book("R", soon(), device="saw-9"), "UNKNOWN_DEVICE"),
        (book("R", soon(), 0), "EMPTY_SPAN"),
        (book("R", soon(), -1), "EMPTY_SPAN"),
        (book("R", soon() - 30 * HOUR), "PAST"),
        (book("R", soon(), project="P").model_copy(update={"project_id": None}), "MISSING"),
        (book("KNOWN", soon() + HOUR), "ALREADY_BOOKED"),
        (book("GONE", soon() + HOUR), "CLOSED"),
    ],
)
async def test_what_cannot_be_booked_is_refused(kernel: Kernel, service: Service, wish: Any, code: str) -> None:
    await kernel.give(book("KNOWN", soon() + 30 * HOUR), book("GONE", soon() + 40 * HOUR), cancel("GONE"))
    before = await availability(service)
    (refused,) = (each.message for each in await kernel.give(wish))
    assert isinstance(refused, ReservationRefused)
    assert codes(refused) == [code]
    assert await availability(service) == before


async def test_a_device_of_another_site_is_not_known(kernel: Kernel) -> None:
    (refused,) = (each.message for each in await kernel.give(book("R", soon()), site="north"))
    assert isinstance(refused, ReservationRefused)
    assert codes(refused) == ["UNKNOWN_DEVICE"]


async def test_what_is_cancelled_is_free_again_and_remembered(kernel: Kernel, service: Service) -> None:
    start = soon()
    await kernel.give(book("R", start))
    said = await kernel.give(cancel("R"), book("NEXT", start))
    assert types(said) == [ReservationCancelled, ReservationBooked, DispatchRequested]
    past = await kernel.database["past_reservations"].find_one({"_id": "main/saw-1/R"})
    assert past is not None
    assert past["cancelled"]["by"] == "planner"
    again = await kernel.give(cancel("R"))
    assert [each.message for each in again] == [said[0].message]
    found = await availability(service)
    assert found is not None
    assert [span.reservation_id for span in found.spans] == ["NEXT"]


@pytest.mark.parametrize(("wish", "code"), [(cancel("R"), "UNKNOWN_RESERVATION"), (cancel("R", "x"), "UNKNOWN_DEVICE")])
async def test_what_was_never_booked_cannot_be_cancelled(kernel: Kernel, wish: Any, code: str) -> None:
    (refused,) = (each.message for each in await kernel.give(wish))
    assert isinstance(refused, ReservationCancelRefused)
    assert codes(refused) == [code]


async def test_begin_and_end_of_a_span_make_a_pass_and_what_is_over_leaves(kernel: Kernel, service: Service) -> None:
    start = soon()
    await kernel.give(book("R", start), book("LATER", start + 5 * HOUR), book("P", start + 9 * HOUR, device="press-1"))
    minute = timedelta(minutes=1)
    assert await time_passes(kernel, service, start - minute) == []
    begun = await time_passes(kernel, service, start)
    assert [each.message for each in begun] == [DispatchRequested(device_type="saw")]
    assert await time_passes(kernel, service, start + minute) == []
    over = await time_passes(kernel, service, start + HOUR)
    assert [each.message for each in over] == [DispatchRequested(device_type="saw")]
    found = await availability(service)
    assert found is not None
    assert [span.reservation_id for span in found.spans] == ["LATER"]
    assert await kernel.database["past_reservations"].count_documents({"_id": "main/saw-1/R"}) == 1
    assert await time_passes(kernel, service, start + HOUR + minute) == []
    (refused,) = (each.message for each in await kernel.give(cancel("R")))
    assert isinstance(refused, ReservationCancelRefused)
    assert codes(refused) == ["CLOSED"]


async def test_a_calendar_is_set_changed_and_removed(kernel: Kernel, service: Service) -> None:
    said = await kernel.give(calendar())
    assert types(said) == [CalendarChanged, DispatchRequested]
    noon = (utc_now() + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
    assert await blocked_from(service, noon) == noon + 2 * HOUR
    assert types(await kernel.give(calendar())) == [CalendarChanged], "nothing has changed"
    await kernel.give(calendar(timezone="Asia/Kolkata"))
    assert await blocked_from(service, noon) == noon
    said = await kernel.give(RemoveCalendar(device_id="saw-1", by="planner"))
    assert said[0].message == CalendarChanged(device_id="saw-1", by="planner", calendar=None)
    assert await blocked_from(service, noon) is None


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (calendar(timezone="Berlin"), "UNKNOWN_TIMEZONE"),
        (calendar(timezone="Europe"), "UNKNOWN_TIMEZONE"),
        (calendar(timezone="../../etc/passwd"), "UNKNOWN_TIMEZONE"),
        (calendar("saw-9"), "UNKNOWN_DEVICE"),
        (calendar(exceptions=[{"date": "2026-12-24", "shifts": []}] * 2), "DUPLICATE_DATE"),
    ],
)
async def test_a_wrong_calendar_is_refused(kernel: Kernel, service: Service, wish: Any, code: str) -> None:
    (refused,) = (each.message for each in await kernel.give(wish))
    assert isinstance(refused, CalendarRefused)
    assert codes(refused) == [code]
    found = await availability(service)
    assert found is None or found.calendar is None


async def test_begin_and_end_of_a_shift_make_a_pass(kernel: Kernel, service: Service) -> None:
    await kernel.give(calendar())
    moment = utc_now()
    woken: list[datetime] = []
    for _ in range(2 * 24 * 4):
        moment += timedelta(minutes=15)
        if await time_passes(kernel, service, moment):
            woken.append(moment)
    assert len(woken) == 4
    assert [each.hour for each in woken] in ([6, 14] * 2, [14, 6] * 2)
