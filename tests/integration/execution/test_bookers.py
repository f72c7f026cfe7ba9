"""Fifty planners want one device at the same time: never two at once, and nobody's booking is lost."""

import asyncio
import random
from collections import Counter
from datetime import datetime
from itertools import pairwise

import pytest

from libs.contracts.reservations import BookReservation, ReservationBooked, ReservationRefused
from libs.kernel.clock import utc_now
from libs.kernel.errors import Transient
from libs.messaging.work import Work
from libs.runtime.service import Service
from services.execution.equipment.domain.availability import Span
from services.execution.equipment.domain.reservations import Plan, span_of
from services.execution.equipment.mongo_plans import MongoPlans
from tests.harness import Kernel
from tests.integration.execution.planning import HOUR, book, soon

BOOKERS = 50
SLOTS = 5


async def spans(kernel: Kernel) -> list[tuple[datetime, datetime, str]]:
    document = await kernel.database["plans"].find_one({"_id": "main/saw-1"})
    assert document is not None
    return sorted((each["from"], each["to"], each["reservation_id"]) for each in document["spans"])


def assert_apart(booked: list[tuple[datetime, datetime, str]]) -> None:
    for (_, end, one), (start, _, other) in pairwise(booked):
        assert end <= start, f"{one} and {other} overlap"


def wishes(first: datetime) -> list[BookReservation]:
    """Each slot of two hours is wanted by ten, each a little later than the other."""
    return [book(f"R{number}", first + (number % SLOTS) * 2 * HOUR, 1 + number / 100) for number in range(BOOKERS)]


async def test_of_bookers_who_all_saw_it_free_one_wins_a_span(kernel: Kernel, service: Service) -> None:
    """The database alone: every transaction reads the free device before any of them writes."""
    plans = MongoPlans(service.backends.database)
    async with service.backends.store.transaction() as transaction:
        await plans.begin(Work(transaction, "/test", utc_now()), [Plan("main", "saw-1")])
    all_have_looked = asyncio.Barrier(BOOKERS)
    conflicts: Counter[str] = Counter()

    async def take(wish: BookReservation) -> bool:
        span = span_of(wish)
        has_read = False
        while True:
            try:
                async with service.backends.store.transaction() as transaction:
                    work = Work(transaction, "/test", utc_now())
                    plan = (await plans.load(work, "main", ["saw-1"]))["saw-1"]
                    if not has_read:
                        has_read = True
                        assert plan.spans == ()
                        await all_have_looked.wait()
                    return await plans.book(work, plan.booked(span), span)
            except Transient:
                conflicts[wish.reservation_id] += 1
                await asyncio.sleep(random.uniform(0, 0.02))

    wanted = wishes(soon())
    won = [wish for wish, has in zip(wanted, await asyncio.gather(*map(take, wanted)), strict=True) if has]
    booked = await spans(kernel)
    assert sorted(wish.reservation_id for wish in won) == sorted(id_ for _, _, id_ in booked)
    assert len(booked) == SLOTS
    assert_apart(booked)
    assert conflicts, "they did get in each other's way"


@pytest.mark.parametrize("known", [True, False], ids=["a plan is there", "the first plan of the device"])
async def test_through_the_handlers_every_booker_has_an_answer_and_one_wins_a_span(kernel: Kernel, known: bool) -> None:
    first = soon()
    if known:
        await kernel.give(book("BEFORE", first - HOUR))
    wanted = wishes(first)
    said = await asyncio.gather(*(kernel.give(wish) for wish in wanted))
    assert not kernel.dead
    messages = {each.message for some in said for each in some}
    won = {each.reservation_id for each in messages if isinstance(each, ReservationBooked)} - {"BEFORE"}
    lost = {each.reservation_id for each in messages if isinstance(each, ReservationRefused)}
    assert won | lost == {wish.reservation_id for wish in wanted}
    assert not won & lost
    booked = await spans(kernel)
    assert {id_ for _, _, id_ in booked} - {"BEFORE"} == won
    assert len(won) == SLOTS
    assert_apart(booked)


async def test_bookers_with_spans_of_any_length_never_overlap(kernel: Kernel) -> None:
    dice = random.Random(4)
    first = soon()
    wanted = [book(f"R{n}", first + dice.uniform(0, 40) * HOUR, dice.uniform(0.2, 6)) for n in range(BOOKERS)]
    await asyncio.gather(*(kernel.give(wish) for wish in wanted))
    booked = await spans(kernel)
    assert_apart(booked)
    taken = [Span(id_, wanted[0].kind, start, end, "planner") for start, end, id_ in booked]
    for wish in wanted:
        span = span_of(wish)
        mine = any(span.reservation_id == each.reservation_id for each in taken)
        assert mine or any(span.overlaps(each) for each in taken), "who was refused had a reason"
