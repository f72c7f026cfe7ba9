"""The score is the sum of its parts, to the letter; and nothing waits for ever."""

from dataclasses import replace
from datetime import timedelta

import pytest

from libs.contracts.base import Priority
from services.execution.dispatch.domain.dispatch_pass import FreeDevice
from services.execution.dispatch.domain.score import Source, aging_part, deadline_part, is_fresh, score
from services.execution.orders.domain.policies import Aging, Rule
from tests.unit.execution.dispatch.given import NOW, decide, device, order, recipe, step, stocked, waiting

CHAIN = recipe(step(1, expected_seconds=5.0), step(2, 1, expected_seconds=7.0), step(3, 2, expected_seconds=11.0))


@pytest.mark.parametrize(("days", "part"), [(None, 0), (0, 10), (4, 6), (10, 0), (30, 0), (-2, 12), (9.5, 0.5)])
def test_deadline_part(days: float | None, part: float) -> None:
    deadline = None if days is None else NOW + timedelta(days=days)
    assert deadline_part(order(deadline=deadline), NOW) == part


@pytest.mark.parametrize(
    ("priority", "number", "fresh", "total"),
    [
        (Priority.LOW, 3, False, 10),
        (Priority.MEDIUM, 1, False, 20 + 5 * 2),
        (Priority.HIGH, 2, True, 30 + 5 * 1 + 15),
        (Priority.URGENT, 3, True, 40 + 15),
    ],
)
def test_the_priority_score(priority: Priority, number: int, fresh: bool, total: float) -> None:
    found = score(Rule.PRIORITY, Source(order(priority=priority), CHAIN, number), fresh, NOW, Aging())
    assert found.total == total == sum(found.parts.values())


@pytest.mark.parametrize(("hours", "part"), [(0, 0), (24, 0), (36, 5), (48, 10), (24 * 8, 70)])
def test_an_order_gains_by_waiting_from_its_second_day_on(hours: float, part: float) -> None:
    assert aging_part(order(released_at=NOW - timedelta(hours=hours)), NOW, Aging()) == part
    assert aging_part(order(released_at=NOW - timedelta(hours=hours)), NOW, Aging(per_day=0)) == 0


def test_low_is_served_though_urgent_orders_never_end() -> None:
    """One slot, and at every decision an urgent order that was released just now."""
    low = Source(order("low", priority=Priority.LOW), CHAIN, 3)
    waited = 0
    for hour in range(24 * 30):
        now = NOW + timedelta(hours=hour)
        urgent = Source(order("urgent", priority=Priority.URGENT, ordered_at=now, released_at=now), CHAIN, 1)
        stock = stocked((low, [waiting(low, 1)]), (urgent, [waiting(urgent, 1)]))
        (assignment,) = decide(stock, [FreeDevice(device(), 1)], now=now)
        if assignment.source is low:
            break
        waited = hour
    assert 24 * 4 < waited < 24 * 6, "30 for the priority and 10 for the waiting steps, at 10 a day after the first"


@pytest.mark.parametrize(
    ("rule", "order_of_steps"),
    [
        (Rule.SHORTEST_PROCESSING_TIME, [1, 2, 3]),
        (Rule.MOST_WORK_REMAINING, [1, 2, 3]),
        (Rule.PRIORITY, [1, 2, 3]),
    ],
)
def test_rules_within_an_order(rule: Rule, order_of_steps: list[int]) -> None:
    sources = [Source(order(), CHAIN, number) for number in (3, 1, 2)]
    stock = stocked(*((source, [waiting(source, 10 - source.number)]) for source in sources))
    assignments = decide(stock, [FreeDevice(device(slots=3), 3)], rule)
    assert [assignment.source.number for assignment in assignments] == order_of_steps


def test_the_earliest_due_date_goes_first_and_none_last() -> None:
    deadlines = {"A": None, "B": NOW + timedelta(days=2), "C": NOW - timedelta(days=1)}
    sources = [Source(order(name, deadline=due), CHAIN, 1) for name, due in deadlines.items()]
    stock = stocked(*((source, [waiting(source, 1)]) for source in sources))
    assignments = decide(stock, [FreeDevice(device(slots=3), 3)], Rule.EARLIEST_DUE_DATE)
    assert [assignment.source.order.id for assignment in assignments] == ["C", "B", "A"]


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        (Rule.SHORTEST_PROCESSING_TIME, {"expected_seconds": -7.0}),
        (Rule.MOST_WORK_REMAINING, {"work_left_seconds": 18.0}),
        (Rule.EARLIEST_DUE_DATE, {"seconds_to_deadline": -3600.0}),
    ],
)
@pytest.mark.parametrize("fresh", [True, False])
def test_the_other_rules_look_at_one_thing(rule: Rule, parts: dict[str, float], fresh: bool) -> None:
    due = Source(order(deadline=NOW + timedelta(hours=1)), CHAIN, 2)
    found = score(rule, due, fresh, NOW, Aging())
    assert found.parts == parts
    assert found.total == sum(parts.values())


def test_an_order_that_is_not_released_gains_nothing_by_waiting() -> None:
    assert aging_part(order(released_at=None), NOW, Aging()) == 0


def test_freshness_ends_at_its_moment() -> None:
    fresh = waiting(Source(order(), CHAIN, 1), 1, fresh=True)
    assert fresh.fresh_until is not None
    assert is_fresh(fresh, fresh.fresh_until - timedelta(seconds=1))
    assert not is_fresh(fresh, fresh.fresh_until)
    assert not is_fresh(replace(fresh, fresh_until=None), NOW)


def test_a_fresh_task_gains_its_bonus_once() -> None:
    fresh = waiting(Source(order(), CHAIN, 1), 1).freshened(NOW + timedelta(minutes=30))
    assert fresh.freshened(NOW + timedelta(minutes=60)).rank == fresh.rank
    assert replace(fresh, fresh_until=None).rank == fresh.rank
